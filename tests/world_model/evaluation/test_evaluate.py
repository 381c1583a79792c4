"""The evaluation from held-out episodes to its files, with models whose errors are known."""

import csv
import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from k4d_kinematics import ConfiguredRobot, configured_robot
from k4d_world_model.cli import evaluate as program
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import DatasetError, EpisodeError, EvaluationError, PredictionError, SourceError
from k4d_world_model.evaluation import entrants
from k4d_world_model.evaluation.episode_record import read_features, read_record, record_path
from k4d_world_model.evaluation.evaluate import Evaluation, evaluate
from k4d_world_model.evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.evaluation.fitted_episode import evenly, fitted_episode
from k4d_world_model.evaluation.held_out import HeldOut, conditioning_with_robot, of_source, of_split, robot_pictures
from k4d_world_model.evaluation.joining import joined, read_evaluation
from k4d_world_model.evaluation.judges import JudgeSettings
from k4d_world_model.evaluation.report import write_report
from k4d_world_model.evaluation.tables import markdown_report
from k4d_world_model.evaluation.truth import truth_of
from k4d_world_model.fitting import fitted
from k4d_world_model.rollout_files import write_rollout
from k4d_world_model.world_model import WorldModel

from .conftest import FakeModel, make_rollout

ROOT = Path(__file__).resolve().parents[3]
DATASET = ROOT / "tests" / "world_model" / "fixture_dataset"
ROBOT = ROOT / "config" / "robots" / "panda.yaml"
SIZE = (7, 24, 36)  # frames, height and width that are scored


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("surfaces")


@pytest.fixture(scope="module")
def robot(cache: Path) -> ConfiguredRobot:
    return configured_robot(ROBOT, cache)


@pytest.fixture(scope="module")
def held_out(robot: ConfiguredRobot) -> HeldOut:
    return of_split(DATASET, "train", robot).first(2)


@pytest.fixture(scope="module")
def episode(held_out: HeldOut) -> Episode:
    return held_out.read(held_out.episode_ids[0])


def small(episode: Episode) -> Episode:
    return fitted_episode(evenly(episode, SIZE[0]), *SIZE[1:])


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, episode: Episode) -> dict[str, FakeModel]:
    """Fake models by the name of the YAML file that they are opened from."""
    truth = truth_of(small(episode))
    known = {name: FakeModel(truth, name, *off) for name, off in (("better", (2, 0.001)), ("worse", (20, 0.01)))}

    def opened(path: Path, *, device: str | None = None) -> WorldModel:
        return known[path.stem]

    monkeypatch.setattr(entrants, "open_world_model", opened)
    return known


@pytest.fixture
def settings(tmp_path: Path, cache: Path) -> Callable[..., EvaluationSettings]:
    """Settings for one episode of the fixture's data set, judged without networks."""

    def make(*names: str, out: str = "out", **others: object) -> EvaluationSettings:
        plain = {
            "data": (DATASET,), "split": "train", "robot": ROBOT, "models": tuple(map(Path, names)), "episodes": 1,
            "size": SIZE, "seed": 5, "judges": JudgeSettings(efficientnet_lite0=False), "sheets": 0, "cache": cache,
        }  # fmt: skip
        return EvaluationSettings(out=tmp_path / out, **{**plain, **others})  # type: ignore[arg-type]

    return make


Make = Callable[..., EvaluationSettings]


def written(evaluation: Evaluation, out: Path) -> dict[str, object]:
    write_report(out, evaluation)
    content: dict[str, object] = json.loads((out / "summary.json").read_text())
    return content


def test_models_are_scored_side_by_side_with_the_frozen_world(models: dict[str, FakeModel], settings: Make) -> None:
    evaluation = evaluate(settings("better.yaml", "worse.yaml"))
    assert evaluation.entrants == ("better", "worse", "frozen_world")
    better, worse, frozen = (evaluation.records[name][0] for name in evaluation.entrants)
    assert better.figure("environment_error_mm").number == pytest.approx(math.sqrt(3), rel=1e-2)
    assert worse.figure("environment_error_mm").number == pytest.approx(10 * math.sqrt(3), rel=1e-2)
    assert better.figure("psnr_changed").number == pytest.approx(20 * math.log10(255 / 2), abs=0.1)
    assert better.figure("psnr_robot").number == pytest.approx(better.figure("psnr_environment").number, abs=0.2)
    assert worse.figure("f_score").number < better.figure("f_score").number == 1.0
    assert 0 < better.figure("chamfer_l1").number <= 0.001 * math.sqrt(3) + 1e-9
    assert frozen.figure("robot_error_mm").number < 0.1
    truth = evaluation.truth[0]
    assert better.figure("chamfer_l1_temp").number == pytest.approx(truth.figure("chamfer_l1_temp").number, rel=1e-3)
    assert better.figure("fid").reason == "better has no fid"
    assert better.seconds.value is None  # the fake measures nothing


def test_the_report_says_what_the_evaluation_found(models: dict[str, FakeModel], settings: Make) -> None:
    evaluation = evaluate(settings("better.yaml", "worse.yaml"))
    out = settings("better.yaml").out
    summary = written(evaluation, out)
    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["better", "worse", "frozen_world"]
    assert float(rows[1]["ssim"]) == pytest.approx(evaluation.records["worse"][0].figure("ssim").number, rel=1e-5)
    assert [(d["model"], d["minus"]) for d in summary["differences"]] == [  # type: ignore[attr-defined]
        ("better", "frozen_world"), ("worse", "frozen_world"), ("worse", "better"),
    ]  # fmt: skip
    loss = summary["differences"][2]["mean"]["xyz_psnr_changed"]  # type: ignore[index]
    assert (loss["mean"], loss["count"]) == (pytest.approx(-20.0, abs=0.05), 1)
    assert summary["models"][0]["sets"]["fid"] == "unavailable"  # type: ignore[index]
    table = (out / "table.md").read_text()
    assert table == markdown_report(evaluation)
    (line,) = [line for line in table.splitlines() if line.startswith("| XYZ PSNR, changed")]
    assert line.split("|")[7].strip() == "-20.00 (-20.00 [-20.00, -20.00])"
    assert "| FID | unavailable | unavailable | unavailable |" in table
    (line,) = [line for line in table.splitlines() if line.startswith("| fixture_dataset | truth |")]
    assert [cell.strip() for cell in line.split("|")[4:7]] == ["-", "-", "-"]


def test_what_is_done_is_not_done_again(models: dict[str, FakeModel], settings: Make) -> None:
    first = evaluate(settings("better.yaml", "worse.yaml"))
    again = evaluate(settings("better.yaml", "worse.yaml"))
    assert [outcome.kind for outcome in (*first.outcomes, *again.outcomes)] == ["scored", "kept"]
    assert (again.records, again.data_sha256) == (first.records, first.data_sha256)
    assert models["better"].predicted == 1
    # Killed between two entrants of an episode: only what is missing is predicted.
    (episode_id,) = [record.episode.episode_id for record in first.truth]
    record_path(settings("better.yaml").out, "worse", episode_id).unlink()
    assert evaluate(settings("better.yaml", "worse.yaml")).records == first.records
    assert (models["better"].predicted, models["worse"].predicted) == (1, 2)


def test_a_folder_of_another_protocol_is_refused_and_says_why(models: dict[str, FakeModel], settings: Make) -> None:
    evaluate(settings("better.yaml"))
    with pytest.raises(EvaluationError, match=r"begun otherwise.* seed was 5 and is 6 now"):
        evaluate(settings("better.yaml", seed=6))
    with pytest.raises(EvaluationError, match=r"cloud_sample was None and is 50 now"):
        evaluate(settings("better.yaml", cloud_sample=50))


def test_a_model_that_fails_is_an_invalid_row(
    models: dict[str, FakeModel], settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PredictionError("the model gave no numbers")

    monkeypatch.setattr(models["worse"], "predict", fail)
    evaluation = evaluate(settings("better.yaml", "worse.yaml"))
    assert evaluation.records["worse"][0].invalid == "PredictionError: the model gave no numbers"
    assert math.isnan(evaluation.records["worse"][0].figure("psnr").number)
    summary = written(evaluation, settings("better.yaml").out)
    (row,) = summary["models"][1]["invalid"]  # type: ignore[index]
    assert row["reason"] == "PredictionError: the model gave no numbers"
    assert summary["models"][1]["mean"]["psnr"]["count"] == 0  # type: ignore[index]


def test_foreign_predictions_are_scored_and_bad_ones_are_invalid_rows(
    models: dict[str, FakeModel], settings: Make, episode: Episode, tmp_path: Path
) -> None:
    scored = small(episode)
    episode_id = episode.info.episode_id
    rgb = np.clip(scored.rgb.astype(int) + 2, 0, 255).astype(np.uint8)
    for name in ("pictures", "short"):
        folder = tmp_path / name / episode_id
        folder.mkdir(parents=True)
        for t, picture in enumerate(rgb[: 5 if name == "short" else 7]):
            Image.fromarray(picture).save(folder / f"{t:03d}.png")
    assert scored.scene_points is not None
    assert scored.camera is not None
    rollout = make_rollout(rgb, scored.scene_points + np.float32(0.001), scored.camera)
    write_rollout(tmp_path / "clouds" / episode_id, rollout)
    folders = tuple(tmp_path / name for name in ("pictures", "clouds", "short", "nothing"))
    folders[3].mkdir()
    evaluation = evaluate(settings(predictions=folders, cloud_sample=50))
    pictures, clouds, short, nothing = (evaluation.records[name][0] for name in evaluation.entrants[:4])
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
    moved = replace(two.truth[0], truth_sha256="0" * 64)
    with pytest.raises(EvaluationError, match="what really happened is not the same in both"):
        joined([one, replace(two, truth=(moved,))])
    path = record_path(tmp_path / "one", "truth", one.truth[0].episode.episode_id)
    path.write_text(path.read_text().replace(one.truth[0].truth_sha256, "1" * 64))
    with pytest.raises(EvaluationError, match=r"its records or its protocol are not those that summary.json"):
        read_evaluation(tmp_path / "one")


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
    sets = [model["sets"]["frechet_efficientnet_lite0"] for model in summary["models"]]  # type: ignore[attr-defined]
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
    path.write_text('{"version": 1, "entrant": "x"}')
    with pytest.raises(EvaluationError, match=r"one\.json: cannot be read as a record"):
        read_record(path)
    path.write_text('{"version": 0}')
    with pytest.raises(EvaluationError, match="of another version than 1"):
        read_record(path)
    for name in ("", "../up", ".hidden"):
        with pytest.raises(EvaluationError, match="must be a safe file name"):
            record_path(tmp_path, name, "one")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"data": ()}, "give either sources or data sets"),
        ({"models": ()}, "give a model or a folder of predictions"),
        ({"models": (), "predictions": (Path("x"),), "size": None}, r"say which \(frames, height, width\)"),
        ({"data": (DATASET, DATASET)}, "domains need different names, got fixture_dataset, fixture_dataset"),
        ({"episodes": 0}, "episodes must be at least 1, got 0"),
        ({"size": (1, 24, 36)}, "at least 2 frames"),
    ],
)
def test_settings_that_name_nothing_are_refused(settings: Make, changed: dict[str, object], reason: str) -> None:
    with pytest.raises(EvaluationError, match=reason):
        settings("better.yaml", **changed)


def test_models_that_cannot_be_scored_together_are_refused(
    models: dict[str, FakeModel], settings: Make, episode: Episode
) -> None:
    with pytest.raises(EvaluationError, match="each must have a name of its own"):
        evaluate(settings("better.yaml", "better.yaml"))
    models["worse"].truth = truth_of(fitted_episode(evenly(episode, 5), *SIZE[1:]))
    with pytest.raises(EvaluationError, match=r"a model of 5 frames of 24 x 36 px cannot be scored at 7 frames"):
        evaluate(settings("better.yaml", "worse.yaml"))
    models["worse"].truth = truth_of(fitted_episode(evenly(episode, 7), 24, 40))
    with pytest.raises(EvaluationError, match=r"a model of 7 frames of 24 x 40 px cannot be scored"):
        evaluate(settings("better.yaml", "worse.yaml"))


def test_a_larger_model_with_more_frames_is_scored_at_the_first_ones_size(
    models: dict[str, FakeModel], settings: Make, episode: Episode
) -> None:
    models["worse"].truth = truth_of(fitted_episode(evenly(episode, 13), 48, 72))
    evaluation = evaluate(settings("better.yaml", "worse.yaml", size=None))
    assert (evaluation.protocol["read_frames"], evaluation.protocol["frames"]) == (13, 7)
    worse = evaluation.records["worse"][0]
    assert worse.figure("psnr").number == pytest.approx(20 * math.log10(255 / 20), abs=1.5)
    # A point keeps its depth and comes to lie on its new pixel's ray: 1 cm of depth, and what that is aside.
    assert 10.0 < worse.figure("environment_error_mm").number < 14.0


def test_a_larger_episode_is_brought_to_the_model_as_its_first_frame_is(held_out: HeldOut, episode: Episode) -> None:
    small = fitted_episode(episode, 30, 36)
    conditioning = fitted(conditioning_with_robot(episode, held_out.robot), 30, 36)
    np.testing.assert_array_equal(small.rgb[0], conditioning.first_frame)
    np.testing.assert_array_equal(small.scene_points[0], conditioning.first_points)
    np.testing.assert_array_equal(small.robot_points, conditioning.robot_points)
    assert small.camera == conditioning.camera
    later = replace(conditioning_with_robot(episode, held_out.robot), first_frame=episode.rgb[31])
    np.testing.assert_array_equal(small.rgb[31], fitted(later, 30, 36).first_frame)
    bare = fitted_episode(replace(episode, robot_points=None, robot_mask=None), 30, 36)
    assert bare.robot_points is bare.robot_mask is None
    np.testing.assert_array_equal(bare.scene_points[7], small.scene_points[7])
    with pytest.raises(EpisodeError, match="has no camera"):
        fitted_episode(replace(episode, camera=None), 30, 36)


def test_rendered_robot_pictures_lie_on_the_robot_and_look_like_it(held_out: HeldOut, episode: Episode) -> None:
    pictures = robot_pictures(episode, held_out.robot)
    lit = pictures.max(axis=-1) > 0
    assert (lit == episode.robot_mask).mean() > 0.99  # the fixture was drawn with reduced meshes
    both = lit & episode.robot_mask
    # Light differs; what is bright in one is bright in the other.
    assert np.corrcoef(pictures[both].mean(axis=-1), episode.rgb[both].mean(axis=-1))[0, 1] > 0.5
    with pytest.raises(EpisodeError, match="has no joints"):
        robot_pictures(replace(episode, joints=None), held_out.robot)


def test_sources_and_splits_say_what_is_wrong_with_them(robot: ConfiguredRobot, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="source must be 'simulation' to be evaluated on, got 'rosbag'"):
        of_source(ROOT / "config" / "sources" / "bag.yaml", 49)
    with pytest.raises(DatasetError, match=r"episodes must be within 1\.\.\d+, got 99"):
        of_split(DATASET, "train", robot).first(99)
    with pytest.raises(DatasetError, match="no such folder"):
        of_split(tmp_path / "nowhere", "val", robot)


def test_held_out_sources_are_fifty_seeds_beyond_those_trained_on(tmp_path: Path) -> None:
    taken: set[int] = set()
    for scene in ("easy", "medium", "hard"):
        part = of_source(ROOT / "config" / "sources" / f"held_out_{scene}.yaml", 49, tmp_path)
        seeds = {seed_of(episode_id) for episode_id in part.episode_ids}
        assert min(seeds) >= 5_000_000
        assert not taken & seeds
        taken |= seeds
        assert any(not episode_id.endswith("expert") for episode_id in part.episode_ids)
    assert len(taken) == 50


def seed_of(episode_id: str) -> int:
    return next(int(part) for part in episode_id.split("_") if part.isdigit())


def test_the_command_evaluates_and_draws(
    models: dict[str, FakeModel],
    episode: Episode,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["k4d-evaluate", "--data", str(DATASET), "--split", "train", "--episodes", "1", "--out", str(tmp_path)]
    words += ["--robot", str(ROBOT), "--cache", str(cache), "--no-lite", "--model", "better.yaml", "worse.yaml"]
    monkeypatch.setattr(sys, "argv", words)
    assert program.main() == 0
    shown = capsys.readouterr().out
    assert "| RGB PSNR, changed region (dB) |" in shown
    assert "1 episodes of 3 entrants, a file each: 3 chunks; 0 episodes were done before." in shown
    (sheet,) = (tmp_path / "sheets").iterdir()
    assert sheet.stem == episode.info.episode_id
    assert np.asarray(Image.open(sheet)).shape == (8 * 160, 6 * 240, 3)
    monkeypatch.setattr(sys, "argv", ["k4d-evaluate", "--join", str(tmp_path), "--out", str(tmp_path / "joined")])
    assert program.main() == 0
    assert (tmp_path / "joined" / "table.md").read_text() == (tmp_path / "table.md").read_text()
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["k4d-evaluate", "--out", str(tmp_path)])
    assert program.main() == 1
    assert "give either sources or data sets" in capsys.readouterr().err
