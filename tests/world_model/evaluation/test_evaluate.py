"""The evaluation from held-out episodes to its files, with models whose errors are known."""

import csv
import json
import math
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from k4d_world_model.cli import evaluate as program
from k4d_world_model.dataset.building.episode_work import failed
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import EvaluationError, OutOfMemoryError, PredictionError, RejectedEpisodeError
from k4d_world_model.evaluation import episode_scoring
from k4d_world_model.evaluation import evaluate as evaluating
from k4d_world_model.evaluation.episode_record import record_path
from k4d_world_model.evaluation.evaluate import evaluate
from k4d_world_model.evaluation.fitted_episode import fitted_episode, shortened
from k4d_world_model.evaluation.held_out import HeldOut
from k4d_world_model.evaluation.truth import truth_of

from .conftest import DATASET, ROBOT, SIZE, FakeModel, Make, written


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
    assert [(d["model"], d["minus"]) for d in summary["differences"]] == [
        ("better", "frozen_world"), ("worse", "frozen_world"), ("worse", "better"),
    ]  # fmt: skip
    loss = summary["differences"][2]["mean"]["xyz_psnr_changed"]
    assert (loss["mean"], loss["count"]) == (pytest.approx(-20.0, abs=0.05), 1)
    assert summary["models"][0]["sets"]["fid"] == "unavailable"
    table = (out / "table.md").read_text()
    (line,) = [line for line in table.splitlines() if line.startswith("| XYZ PSNR, changed")]
    assert line.split("|")[7].strip() == "-20.00 (-20.00)"  # one episode has no interval
    assert "| FID | unavailable | unavailable | unavailable |" in table
    (line,) = [line for line in table.splitlines() if line.startswith("| fixture_dataset | truth |")]
    assert [cell.strip() for cell in line.split("|")[4:7]] == ["-", "-", "-"]


def test_what_is_done_is_not_done_again(models: dict[str, FakeModel], settings: Make) -> None:
    first = evaluate(settings("better.yaml", "worse.yaml"))
    again = evaluate(settings("better.yaml", "worse.yaml"))
    assert [outcome.kind for outcome in (*first.outcomes, *again.outcomes)] == ["written", "kept"]
    assert (again.records, again.data_sha256) == (first.records, first.data_sha256)
    assert models["better"].predicted == 1
    # Killed between two entrants of an episode: only what is missing is predicted.
    (episode_id,) = [record.episode.episode_id for record in first.truth]
    record_path(settings("better.yaml").out, "worse", episode_id).unlink()
    assert evaluate(settings("better.yaml", "worse.yaml")).records == first.records
    assert (models["better"].predicted, models["worse"].predicted) == (1, 2)


def test_a_folder_of_another_protocol_is_refused_and_says_why(
    models: dict[str, FakeModel], settings: Make, tmp_path: Path
) -> None:
    evaluate(settings("better.yaml"))
    with pytest.raises(EvaluationError, match=r"begun otherwise.* seed was 5 and is 6 now"):
        evaluate(settings("better.yaml", seed=6))
    with pytest.raises(EvaluationError, match=r"cloud_sample was None and is 50 now"):
        evaluate(settings("better.yaml", cloud_sample=50))
    robot = tmp_path / "panda.yaml"
    robot.write_text(ROBOT.read_text().replace("finger_joint1: 0.04", "finger_joint1: 0.03"))
    with pytest.raises(EvaluationError, match=r"compared: robot.home.panda_finger_joint1 was 0.04 and is 0.03 now"):
        evaluate(settings("better.yaml", robot=robot))
    data = tmp_path / "fixture_dataset"
    data.mkdir()
    for part in DATASET.iterdir():
        (data / part.name).symlink_to(part)
    manifest = json.loads((DATASET / "manifest.json").read_text())
    manifest["samples"][0]["sha256"] = "0" * 64
    (data / "manifest.json").unlink()
    (data / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EvaluationError, match=r"compared: data.fixture_dataset.train was '"):
        evaluate(settings("better.yaml", data=(data,)))


def test_a_model_that_fails_is_an_invalid_row(
    models: dict[str, FakeModel], settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PredictionError("the model gave no numbers")

    monkeypatch.setattr(models["worse"], "predict", fail)
    evaluation = evaluate(settings("better.yaml", "worse.yaml"))
    assert evaluation.records["worse"][0].invalid == "PredictionError: the model gave no numbers"
    assert math.isnan(evaluation.records["worse"][0].figure("psnr").number)
    summary = written(evaluation, settings("better.yaml").out)
    (row,) = summary["models"][1]["invalid"]
    assert row["reason"] == "PredictionError: the model gave no numbers"
    assert summary["models"][1]["mean"]["psnr"]["count"] == 0
    words = ["k4d-evaluate", "--data", str(DATASET), "--split", "train", "--episodes", "1", "--size", *map(str, SIZE)]
    words += [
        "--robot",
        str(ROBOT),
        "--no-lite",
        "--model",
        "better.yaml",
        "worse.yaml",
        "--seed",
        "5",
        "--sheets",
        "0",
    ]
    out = settings("better.yaml").out
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(out), "--cache", str(settings("better.yaml").cache)])
    assert program.main() == 1
    assert "PredictionError: the model gave no numbers" in capsys.readouterr().out


@pytest.mark.parametrize("error", [OutOfMemoryError("cuda is full"), OSError("the disk is gone")])
def test_where_the_machine_failed_there_is_no_row_and_the_same_command_tries_again(
    models: dict[str, FakeModel], settings: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(models["worse"], "predict", fail)
        with pytest.raises(EvaluationError, match=f"no episode could be scored: .*{type(error).__name__}: {error}"):
            evaluate(settings("better.yaml", "worse.yaml"))
    assert not any((settings("better.yaml").out / "episodes" / "worse").glob("*"))
    evaluation = evaluate(settings("better.yaml", "worse.yaml"))
    assert evaluation.records["worse"][0].figure("psnr").number < evaluation.records["better"][0].figure("psnr").number
    assert models["better"].predicted == 1  # what others had is kept


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"data": ()}, "give either sources or data sets"),
        ({"models": ()}, "give a model or a folder of predictions"),
        ({"models": (), "predictions": (Path("x"),), "size": None}, r"say which \(frames, height, width\)"),
        ({"data": (DATASET, DATASET)}, "domains need different names, got fixture_dataset, fixture_dataset"),
        ({"episodes": 0}, "episodes must be at least 1, got 0"),
        ({"size": (1, 24, 36)}, "at least 2 frames"),
        ({"size": (7, 11, 10)}, r"of 11 x 11 px, SSIM's window, are scored, got \(7, 11, 10\)"),
    ],
)
def test_settings_that_name_nothing_are_refused(settings: Make, changed: dict[str, object], reason: str) -> None:
    with pytest.raises(EvaluationError, match=reason):
        settings("better.yaml", **changed)


def test_rejected_episodes_are_told(
    models: dict[str, FakeModel], settings: Make, episode: Episode, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(episode_id: str) -> Episode:
        if episode_id == "bad":
            raise RejectedEpisodeError("it is too short")
        return replace(episode, info=replace(episode.info, episode_id=episode_id))

    part = HeldOut(("bad", "good"), read, held_out.robot)
    monkeypatch.setattr(episode_scoring, "of_split", lambda *_: part)
    evaluation = evaluate(settings("better.yaml", episodes=2))
    assert [(o.episode_id, o.kind, o.reason) for o in evaluation.outcomes] == [
        ("bad", "rejected", "it is too short"), ("good", "written", ""),
    ]  # fmt: skip
    assert written(evaluation, settings("better.yaml").out)["rejected"] == [
        {"episode": "bad", "reason": "it is too short"}
    ]
    with pytest.raises(EvaluationError, match="no episode could be scored: bad: it is too short"):
        evaluate(settings("better.yaml", out="none", episodes=1))


def test_ray_is_handed_every_episode(
    models: dict[str, FakeModel], settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def on_ray(work: Any, tasks: Any, address: str, cores: int) -> Iterator[Any]:
        asked.extend([address, [task.episode_id for task in tasks], pickle.loads(pickle.dumps(tasks)) == tasks])  # noqa: S301
        yield work(tasks[0])
        yield failed(tasks[1], "its worker died")

    monkeypatch.setattr(evaluating, "run_on_ray", on_ray)
    evaluation = evaluate(settings("better.yaml", episodes=2), ray="local")
    ids = [outcome.episode_id for outcome in evaluation.outcomes]
    assert asked == ["local", ids, True]
    assert [(outcome.kind, outcome.reason) for outcome in evaluation.outcomes] == [
        ("written", ""), ("failed", "its worker died"),
    ]  # fmt: skip


def test_models_that_cannot_be_scored_together_are_refused(
    models: dict[str, FakeModel], settings: Make, episode: Episode, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match="each must have a name of its own"):
        evaluate(settings("better.yaml", "better.yaml"))
    theirs = tmp_path / "frozen_world"
    theirs.mkdir()
    for names in ((), ("better.yaml",)):
        with pytest.raises(EvaluationError, match=r"other than frozen_world and truth, got .*frozen_world"):
            evaluate(settings(*names, predictions=(theirs,)))
    models["worse"].truth = truth_of(fitted_episode(shortened(episode, 5), *SIZE[1:]))
    with pytest.raises(EvaluationError, match=r"a model of 5 frames of 24 x 36 px cannot be scored at 7 frames"):
        evaluate(settings("better.yaml", "worse.yaml"))
    models["worse"].truth = truth_of(fitted_episode(shortened(episode, 7), 24, 40))
    with pytest.raises(EvaluationError, match=r"a model of 7 frames of 24 x 40 px cannot be scored"):
        evaluate(settings("better.yaml", "worse.yaml"))


def test_a_larger_model_with_more_frames_is_scored_at_the_first_ones_size(
    models: dict[str, FakeModel], settings: Make, episode: Episode
) -> None:
    models["worse"].truth = truth_of(fitted_episode(shortened(episode, 13), 48, 72))
    evaluation = evaluate(settings("better.yaml", "worse.yaml", size=None))
    assert (evaluation.protocol["read_frames"], evaluation.protocol["frames"]) == (13, 7)
    worse = evaluation.records["worse"][0]
    assert worse.figure("psnr").number == pytest.approx(20 * math.log10(255 / 20), abs=1.5)
    # A point keeps its depth and comes to lie on its new pixel's ray: 1 cm of depth, and what that is aside.
    assert 10.0 < worse.figure("environment_error_mm").number < 14.0


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
    sheets = sorted((tmp_path / "sheets" / episode.info.episode_id).iterdir())
    assert [sheet.stem for sheet in sheets] == ["better", "frozen_world", "worse"]
    assert np.asarray(Image.open(sheets[0])).shape == (4 * 160, 6 * 240, 3)
    monkeypatch.setattr(sys, "argv", ["k4d-evaluate", "--join", str(tmp_path), "--out", str(tmp_path / "joined")])
    assert program.main() == 0
    assert (tmp_path / "joined" / "table.md").read_text() == (tmp_path / "table.md").read_text()
    capsys.readouterr()
    both = [
        "k4d-evaluate",
        "--join",
        str(tmp_path),
        "--data",
        str(DATASET),
        "--out",
        str(tmp_path / "both"),
        "--no-lite",
    ]
    monkeypatch.setattr(sys, "argv", both)
    assert program.main() == 1
    assert "--join evaluates nothing and takes --out alone, got --data, --lite" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["k4d-evaluate", "--out", str(tmp_path)])
    assert program.main() == 1
    assert "give either sources or data sets" in capsys.readouterr().err
