"""The evaluation from held-out episodes to its files, with models whose errors are known."""

import csv
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from k4d_kinematics import ConfiguredRobot, configured_robot
from k4d_world_model.cli import evaluate as program
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import DatasetError, EpisodeError, RejectedEpisodeError, SourceError, WorldModelError
from k4d_world_model.evaluation.evaluate import Evaluation, evaluate
from k4d_world_model.evaluation.fitted_episode import fitted_episode
from k4d_world_model.evaluation.held_out import HeldOut, conditioning_with_robot, of_source, of_split, robot_pictures
from k4d_world_model.evaluation.report import FIGURES, markdown_table, write_report
from k4d_world_model.evaluation.truth import truth_of
from k4d_world_model.fitting import fitted

from .conftest import FakeModel

ROOT = Path(__file__).resolve().parents[3]
DATASET = ROOT / "tests" / "world_model" / "fixture_dataset"


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> ConfiguredRobot:
    return configured_robot(ROOT / "config" / "robots" / "panda.yaml", tmp_path_factory.mktemp("surfaces"))


@pytest.fixture(scope="module")
def held_out(robot: ConfiguredRobot) -> HeldOut:
    return of_split(DATASET, "train", robot).first(2)


@pytest.fixture(scope="module")
def episode(held_out: HeldOut) -> Episode:
    return held_out.read(held_out.episode_ids[0])


@pytest.fixture(scope="module")
def evaluation(held_out: HeldOut, episode: Episode) -> Evaluation:
    truth = truth_of(episode)

    def read(episode_id: str) -> Episode:
        if episode_id == "bad":
            raise RejectedEpisodeError("it is too short")
        return replace(episode, info=replace(episode.info, episode_id=episode_id))

    models = [FakeModel(truth, "better", 2, 0.001), FakeModel(truth, "worse", 20, 0.01)]
    return evaluate(models, [HeldOut(("one", "bad", "two"), read, held_out.robot)], seed=5)


def test_models_are_scored_side_by_side_and_rejected_episodes_told(evaluation: Evaluation) -> None:
    assert [scores.info.episode_id for scores in evaluation.episodes] == ["one", "two"]
    assert evaluation.rejected == (("bad", "it is too short"),)
    for scores in evaluation.episodes:
        better, worse = scores.metrics
        assert better.environment_error_mm == pytest.approx(math.sqrt(3), rel=1e-2)
        assert worse.environment_error_mm == pytest.approx(10 * math.sqrt(3), rel=1e-2)
        assert better.psnr_changed == pytest.approx(20 * math.log10(255 / 2), abs=0.1)
        assert better.xyz_psnr_changed - worse.xyz_psnr_changed == pytest.approx(20.0, abs=0.05)


def test_the_report_says_what_the_evaluation_found(evaluation: Evaluation, tmp_path: Path) -> None:
    write_report(tmp_path, evaluation)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["episode"], row["model"]) for row in rows] == [
        ("one", "better"), ("one", "worse"), ("two", "better"), ("two", "worse"),
    ]  # fmt: skip
    assert float(rows[1]["psnr_changed"]) == pytest.approx(evaluation.episodes[0].metrics[1].psnr_changed, rel=1e-5)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [model["name"] for model in summary["models"]] == ["better", "worse"]
    assert set(summary["models"][0]["pooled"]) == set(FIGURES)
    gain = summary["gain"]["xyz_psnr_changed"]
    assert (gain["mean"], gain["count"]) == (pytest.approx(20.0, abs=0.05), 2)
    assert summary["rejected"] == [{"episode": "bad", "reason": "it is too short"}]
    table = (tmp_path / "table.md").read_text()
    assert table == markdown_table(evaluation)
    (line,) = [line for line in table.splitlines() if line.startswith("| XYZ PSNR, changed")]
    assert line.split("|")[4].strip() == "+20.00 (+20.00 [+20.00, +20.00])"


def test_models_of_different_sizes_are_not_compared(held_out: HeldOut, episode: Episode) -> None:
    truth = truth_of(episode)
    other = truth_of(fitted_episode(episode, 32, 40))
    with pytest.raises(WorldModelError, match=r"\(49, 32, 40\), \(49, 64, 96\)"):
        evaluate([FakeModel(truth, "a", 0, 0.0), FakeModel(other, "b", 0, 0.0)], [held_out], seed=0)


def test_nothing_but_rejected_episodes_is_no_evaluation(held_out: HeldOut, episode: Episode) -> None:
    def read(episode_id: str) -> Episode:
        raise RejectedEpisodeError("it is empty")

    with pytest.raises(WorldModelError, match="it is empty"):
        evaluate([FakeModel(truth_of(episode), "a", 0, 0.0)], [HeldOut(("x",), read, held_out.robot)], seed=0)


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
    episode: Episode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = iter([FakeModel(truth_of(episode), "model", 2, 0.001), FakeModel(truth_of(episode), "baseline", 9, 0.01)])
    monkeypatch.setattr(program, "open_world_model", lambda path, device: next(models))
    words = ["k4d-evaluate", "--data", str(DATASET), "--split", "train", "--episodes", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*words, "--robot", str(ROOT / "config" / "robots" / "panda.yaml")])
    assert program.main() == 0
    assert "| RGB PSNR, changed region (dB) |" in capsys.readouterr().out
    (sheet,) = (tmp_path / "sheets").iterdir()
    assert sheet.stem == episode.info.episode_id
    assert np.asarray(Image.open(sheet)).shape == (6 * 160, 6 * 240, 3)
    monkeypatch.setattr(sys, "argv", ["k4d-evaluate", "--out", str(tmp_path)])
    assert program.main() == 1
    assert "give either --source or --data" in capsys.readouterr().err
