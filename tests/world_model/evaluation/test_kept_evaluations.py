"""What evaluations keep and compare: files of other models, records, features, joined reports."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import EvaluationError
from k4d_world_model.evaluation.episode_record import EpisodeRecord, read_features, read_record, record_path
from k4d_world_model.evaluation.evaluate import Evaluation, evaluate
from k4d_world_model.evaluation.joining import joined, read_evaluation
from k4d_world_model.evaluation.judges import JudgeSettings
from k4d_world_model.rollout_files import write_rollout

from .conftest import SIZE, FakeModel, Make, make_rollout, small, written


def test_foreign_predictions_are_scored_and_bad_ones_are_invalid_rows(
    models: dict[str, FakeModel], settings: Make, episode: Episode, tmp_path: Path
) -> None:
    scored = small(episode)
    episode_id = episode.info.episode_id
    rgb = np.clip(scored.rgb.astype(int) + 2, 0, 255).astype(np.uint8)
    for name in ("pictures", "short", "twice"):
        folder = tmp_path / name / episode_id
        folder.mkdir(parents=True)
        for t, picture in enumerate(rgb[: 5 if name == "short" else 7]):
            Image.fromarray(picture).save(folder / f"{t:03d}.png")
    assert scored.scene_points is not None
    assert scored.camera is not None
    rollout = make_rollout(rgb, scored.scene_points + np.float32(0.001), scored.camera)
    write_rollout(tmp_path / "clouds" / episode_id, rollout)
    folders = tuple(tmp_path / name for name in ("pictures", "clouds", "short", "nothing", "twice"))
    folders[3].mkdir()
    (folders[4] / f"{episode_id}.mp4").write_bytes(b"")
    evaluation = evaluate(settings(predictions=folders, cloud_sample=50))
    pictures, clouds, short, nothing, twice = (evaluation.records[name][0] for name in evaluation.entrants[:5])
    expected = evaluate(settings("better.yaml", out="expected", cloud_sample=50)).records["better"][0]
    for name in ("psnr_changed", "ssim", "xyz_psnr", "chamfer_l1_of_50_points", "robot_error_mm"):
        assert clouds.figure(name).number == pytest.approx(expected.figure(name).number, rel=1e-6)
    assert pictures.figure("psnr") == clouds.figure("psnr")
    assert pictures.figure("xyz_psnr").reason == "it has no points, only pictures"
    assert pictures.figure("chamfer_l1_of_50_points").value is None
    assert short.invalid == (
        f"PredictionError: short/{episode_id} has 5 frames, 7 are scored: it must have those, or 1 + a multiple of 6"
    )
    assert f"has no prediction of {episode_id}" in nothing.invalid
    assert f"has {episode_id} more than once" in twice.invalid
    # Files that change are scored anew.
    shutil.rmtree(folders[0] / episode_id)
    shutil.copytree(folders[2] / episode_id, folders[0] / episode_id)
    again = evaluate(settings(predictions=folders, cloud_sample=50))
    assert "has 5 frames" in again.records["pictures"][0].invalid
    assert again.records["clouds"][0] == clouds


def test_only_like_is_joined_with_like(models: dict[str, FakeModel], settings: Make, tmp_path: Path) -> None:
    for out, names, seed in (("one", ["better.yaml"], 5), ("two", ["worse.yaml"], 5), ("other", ["worse.yaml"], 6)):
        written(evaluate(settings(*names, out=out, seed=seed)), tmp_path / out)
    one, two, other = (read_evaluation(tmp_path / name) for name in ("one", "two", "other"))
    both = joined([one, two])
    assert both.entrants == ("better", "frozen_world", "worse")
    together = tmp_path / "together"
    together.mkdir()
    written(both, together)
    assert read_evaluation(together).records == both.records
    with pytest.raises(EvaluationError, match=r"different protocols cannot be compared: seed was 5 and is 6 now"):
        joined([one, other])
    with pytest.raises(EvaluationError, match="two different entrants are called 'better'"):
        joined([one, replace(two, records={"better": two.records["worse"]}, entrants=("better",))])
    twice = [_with_another_episode(evaluation) for evaluation in (one, two)]
    turned = {name: records[::-1] for name, records in twice[1].records.items()}
    in_another_order = replace(twice[1], truth=twice[1].truth[::-1], records=turned)
    assert joined([twice[0], in_another_order]).records == joined(twice).records
    moved = replace(two.truth[0], truth_sha256="0" * 64)
    with pytest.raises(EvaluationError, match="what really happened is not the same in both"):
        joined([one, replace(two, truth=(moved,))])
    path = record_path(tmp_path / "one", "truth", one.truth[0].episode.episode_id)
    path.write_text(path.read_text().replace(one.truth[0].truth_sha256, "1" * 64))
    with pytest.raises(EvaluationError, match=r"better/.*json: was scored against truth .*, which is 1{64} now"):
        read_evaluation(tmp_path / "one")
    with pytest.raises(EvaluationError, match=r"was scored against truth .*; remove the file and evaluate again"):
        evaluate(settings("better.yaml", out="one"))
    path = record_path(tmp_path / "two", "worse", one.truth[0].episode.episode_id)
    path.write_text(path.read_text().replace(two.protocol_sha256, "2" * 64))
    with pytest.raises(EvaluationError, match=r"worse/.*json: was scored against protocol 2{64}, which is"):
        read_evaluation(tmp_path / "two")
    summary = tmp_path / "other" / "summary.json"
    summary.write_text(summary.read_text().replace(other.data_sha256, "3" * 64))
    with pytest.raises(EvaluationError, match=r"its records or its protocol are not those that summary.json"):
        read_evaluation(tmp_path / "other")


def test_reports_may_be_moved_together(models: dict[str, FakeModel], settings: Make, tmp_path: Path) -> None:
    together = tmp_path / "before" / "together"
    together.mkdir(parents=True)
    one = evaluate(settings("better.yaml", out="before/one"))
    written(one, together)
    (tmp_path / "before").rename(tmp_path / "after")
    assert read_evaluation(tmp_path / "after" / "together").records == one.records


def test_networks_judge_frames_and_features_are_kept_with_their_record(
    models: dict[str, FakeModel], settings: Make
) -> None:
    evaluation = evaluate(settings("better.yaml", "worse.yaml", judges=JudgeSettings()))
    better, worse = (evaluation.records[name][0] for name in ("better", "worse"))
    name = "perceptual_efficientnet_lite0"
    assert 0 < better.figure(name).number < worse.figure(name).number
    (kept,) = read_features(settings("better.yaml").out, better).values()
    assert kept.shape == (SIZE[0] - 1, 1280)
    summary = written(evaluation, settings("better.yaml").out)
    sets = [model["sets"]["frechet_efficientnet_lite0"] for model in summary["models"]]
    assert [part["samples"] for part in sets] == [SIZE[0] - 1] * 3
    assert 0 < sets[0]["value"] < sets[1]["value"]
    weights = evaluation.protocol["weights.frechet_efficientnet_lite0"]
    assert str(weights).startswith("579344248a93e230")
    features = record_path(settings("better.yaml").out, "better", better.episode.episode_id).with_suffix(".npz")
    features.write_bytes(features.read_bytes() + b" ")
    with pytest.raises(EvaluationError, match="is not the file that its record was written with"):
        read_features(settings("better.yaml").out, better)


def test_damaged_records_and_bad_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text('{"version": 2, "entrant": "x"}')
    with pytest.raises(EvaluationError, match=r"one\.json: cannot be read as a record"):
        read_record(path)
    path.write_text('{"version": 0}')
    with pytest.raises(EvaluationError, match="of another version than 2"):
        read_record(path)
    for name in ("", "../up", ".hidden"):
        with pytest.raises(EvaluationError, match="must be a safe file name"):
            record_path(tmp_path, name, "one")


def _with_another_episode(evaluation: Evaluation) -> Evaluation:
    def doubled(records: tuple[EpisodeRecord, ...]) -> tuple[EpisodeRecord, ...]:
        other = replace(records[0], episode=replace(records[0].episode, episode_id="another"), identity="another")
        return (*records, other)

    records = {name: doubled(of_one) for name, of_one in evaluation.records.items()}
    return replace(evaluation, truth=doubled(evaluation.truth), records=records)
