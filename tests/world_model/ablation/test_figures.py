"""Figures of rollouts that are wrong in known ways; a point that is not there is never better than one that is."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_world_model.ablation.figures import FIGURES, figures_of
from k4d_world_model.errors import CloudError
from k4d_world_model.evaluation.truth import Truth, truth_of
from k4d_world_model.rollout import Rollout

from ..evaluation.conftest import make_rollout
from ..training.conftest import FRAMES, HEIGHT, WIDTH, make_episode

EPISODE = make_episode("one", 2)
NAN = np.float32(np.nan)


@pytest.fixture
def truth() -> Truth:
    """A robot that uncovers still floor, and a hole of two rows without points."""
    return truth_of(EPISODE)


def rollout(rgb: np.ndarray, points: np.ndarray) -> Rollout:
    return make_rollout(rgb, points, EPISODE.camera, EPISODE.times)


def test_a_shift_is_measured_in_millimetres_and_the_given_frame_does_not_count(truth: Truth) -> None:
    rgb, points = truth.rgb.copy(), truth.points.copy()
    rgb[0], points[0] = 0, 9.0
    rgb[1:] ^= 1  # every level is off by one
    points[1:, ..., 1] += 0.012
    figures = figures_of(rollout(rgb, points), truth)
    assert list(figures) == list(FIGURES)
    for name in ("psnr", "psnr_robot", "psnr_changed"):
        assert figures[name] == pytest.approx(20 * np.log10(255))
    for name in ("xyz_error_mm", "xyz_error_changed_mm", "robot_error_mm"):
        assert figures[name] == pytest.approx(12.0, rel=1e-4)
    assert 0 < figures["chamfer_l1_mm"] < 12.001
    assert figures["missing_share"] == 0.0


def test_regions_are_the_robots_and_what_changed(truth: Truth) -> None:
    robot = truth.robot_mask[1:]
    changed = ~robot & truth.robot_mask[0]  # this floor is uncovered, all other floor is as it was
    rgb, points = truth.rgb.copy(), truth.points.copy()
    rgb[1:][robot] += 2
    rgb[1:][changed] ^= 4
    points[1:][robot] += np.float32([0.03, 0, 0])
    points[1:][changed] += np.float32([0, 0, 0.05])
    figures = figures_of(rollout(rgb, points), truth)
    mean_square = (4 * robot.sum() + 16 * changed.sum()) / ((FRAMES - 1) * HEIGHT * WIDTH)
    assert figures["psnr"] == pytest.approx(10 * np.log10(255**2 / mean_square))
    assert figures["psnr_robot"] == pytest.approx(10 * np.log10(255**2 / 4))
    assert figures["psnr_changed"] == pytest.approx(10 * np.log10(255**2 / 16))
    known = np.isfinite(truth.points[1:, ..., 2])
    assert figures["robot_error_mm"] == pytest.approx(30.0, rel=1e-4)
    assert figures["xyz_error_changed_mm"] == pytest.approx(50.0, rel=1e-4)
    sum_mm = 30 * (robot & known).sum() + 50 * (changed & known).sum()
    assert figures["xyz_error_mm"] == pytest.approx(sum_mm / known.sum(), rel=1e-4)


def test_chamfer_is_the_mean_of_both_directions_frame_by_frame(truth: Truth) -> None:
    flat = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1)  # a point a metre
    points = np.concatenate([flat, np.ones((HEIGHT, WIDTH, 1))], axis=-1).astype(np.float32)
    true = replace(truth, points=np.broadcast_to(points, truth.points.shape).copy())
    predicted = true.points.copy()
    predicted[2, ..., 2] += 0.1
    predicted[5, 3, 4, 2] += 0.4
    figures = figures_of(rollout(true.rgb, predicted), true)
    frames = (100.0 + 400.0 / (HEIGHT * WIDTH)) / (FRAMES - 1)
    assert figures["chamfer_l1_mm"] == pytest.approx(frames, rel=1e-3)


@pytest.mark.parametrize("frames", [slice(3, 4), slice(1, None)])
def test_missing_points_never_help(truth: Truth, frames: slice) -> None:
    wrong = truth.points + np.float32([0.3, 0.0, 0.0])
    lacking = wrong.copy()
    lacking[frames] = NAN
    there = figures_of(rollout(truth.rgb, wrong), truth)
    figures = figures_of(rollout(truth.rgb, lacking), truth)
    known = np.isfinite(truth.points[..., 2])
    share = known[frames].sum() / known[1:].sum()
    assert figures["missing_share"] == pytest.approx(share)
    expected = 1000 * np.sqrt(3) * share + 300 * (1 - share)
    assert figures["xyz_error_mm"] == pytest.approx(expected, rel=1e-4)
    for name in ("chamfer_l1_mm", "xyz_error_changed_mm"):
        assert figures[name] > there[name] + 10
    assert figures["robot_error_mm"] == pytest.approx(1000 * np.sqrt(3) if share == 1 else 300, rel=1e-4)


def test_holes_in_the_truth_are_nobodys_fault(truth: Truth) -> None:
    points = truth.points.copy()
    points[2] = NAN
    figures = figures_of(rollout(truth.rgb, truth.points), replace(truth, points=points))
    assert (figures["missing_share"], figures["xyz_error_mm"]) == (0.0, 0.0)
    empty = replace(truth, points=np.full_like(points, NAN))
    figures = figures_of(rollout(truth.rgb, truth.points), empty)
    assert {name for name in FIGURES if figures[name] is None} >= {"chamfer_l1_mm", "xyz_error_mm", "missing_share"}


def test_broken_points_are_named(truth: Truth) -> None:
    points = truth.points.copy()
    points[3, -1, 0] = (np.nan, 0.0, 1.0)  # in the hole, where nothing is compared
    with pytest.raises(CloudError, match="1 are neither"):
        figures_of(rollout(truth.rgb, points), truth)
