"""Figures of a rollout against their definitions, pixel by pixel."""

import math
from dataclasses import replace

import numpy as np
import pytest

from k4d_world_model.errors import EpisodeError, PredictionError, WorldModelError
from k4d_world_model.evaluation.pixel_figures import FIGURES
from k4d_world_model.evaluation.regions import regions
from k4d_world_model.evaluation.rollout_metrics import RolloutMetrics, SquaredError, compare
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.rollout import Rollout

from .conftest import FRAMES, HEIGHT, WIDTH, make_rollout


def noisy(truth: Truth, seed: int = 0) -> Rollout:
    """Wrong everywhere, and without some of the points."""
    generator = np.random.default_rng(seed)
    rgb = np.clip(truth.rgb + generator.normal(0, 20, truth.rgb.shape), 0, 255).astype(np.uint8)
    points = np.nan_to_num(truth.points, nan=1.0) + generator.normal(0, 0.02, truth.points.shape)
    points[generator.random(points.shape[:3]) < 0.1] = np.nan
    return make_rollout(rgb, points.astype(np.float32))


def by_hand(rollout: Rollout, truth: Truth) -> dict[str, list[float]]:
    """Squared errors of levels and coordinates by region, from the words of the definition."""
    errors: dict[str, list[float]] = {
        name: [] for name in ("rgb", "rgb_changed", "rgb_objects", "xyz", "xyz_changed", "xyz_objects")
    }
    for t in range(1, FRAMES):
        for v in range(HEIGHT):
            for u in range(WIDTH):
                now, first = truth.points[t, v, u].astype(float), truth.points[0, v, u].astype(float)
                distance = math.dist(now, first)  # NaN compares as False
                levels = truth.rgb[t, v, u].astype(int), truth.rgb[0, v, u].astype(int)
                recoloured = max(abs(a - b) for a, b in zip(*levels, strict=True)) > 8
                robot_now, robot_first = truth.robot_mask[t, v, u], truth.robot_mask[0, v, u]
                suffixes = [""]
                if not robot_now and (recoloured or distance > 0.01):
                    suffixes.append("_changed")
                if not robot_now and not robot_first and distance > 0.01:
                    suffixes.append("_objects")
                predicted = rollout.points[t, v, u].astype(float)
                if np.isnan(predicted[2]):
                    predicted = now + 1.0
                for suffix in suffixes:
                    errors[f"rgb{suffix}"] += [
                        (float(a) - float(b)) ** 2 for a, b in zip(rollout.rgb[t, v, u], levels[0], strict=True)
                    ]
                    if not np.isnan(now[2]):
                        errors[f"xyz{suffix}"] += [(a - b) ** 2 for a, b in zip(predicted, now, strict=True)]
    return errors


def test_squared_errors_are_those_of_the_definition(truth: Truth) -> None:
    rollout = noisy(truth)
    metrics, expected = compare(rollout, truth), by_hand(rollout, truth)
    for name, values in expected.items():
        found = getattr(metrics, name)
        assert found.count == len(values) > 100, name
        np.testing.assert_allclose(found.total, sum(values), rtol=1e-5, err_msg=name)
    changed = np.mean(expected["rgb_changed"])
    np.testing.assert_allclose(metrics.psnr_changed, 20 * math.log10(255 / math.sqrt(changed)))
    np.testing.assert_allclose(metrics.xyz_psnr_objects, -10 * math.log10(np.mean(expected["xyz_objects"])), rtol=1e-5)


def test_a_perfect_rollout_has_no_error_whatever_its_first_frame(truth: Truth) -> None:
    rgb, points = truth.rgb.copy(), np.nan_to_num(truth.points, nan=5.0)
    rgb[0] = 255 - rgb[0]
    points[0] += 3.0 * (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1) % 2)
    points[::2] = np.nan_to_num(truth.points, nan=5.0)[::2]  # the fit takes the even frames
    metrics = compare(make_rollout(rgb, points), truth)
    for name in FIGURES:
        if "psnr" in name:
            assert getattr(metrics, name) == math.inf, name
    assert (metrics.environment_error_mm, metrics.environment_error_p95_mm, metrics.missing_points) == (0.0, 0.0, 0)
    assert metrics.robot_error_mm < 1e-3
    assert metrics.moved_iou == 1.0


def test_missing_points_are_counted_and_count_as_a_metre_off(truth: Truth) -> None:
    points = truth.points.copy()
    points[3] = np.nan
    metrics = compare(make_rollout(truth.rgb, points), truth)
    missing = int(np.isfinite(truth.points[3, ..., 2]).sum())
    assert metrics.missing_points == missing
    assert (metrics.xyz.total, metrics.xyz.count) == (
        pytest.approx(3 * missing), 3 * int(np.isfinite(truth.points[1:, ..., 2]).sum())
    )  # fmt: skip
    assert metrics.environment_error_p95_mm == pytest.approx(1000 * math.sqrt(3), rel=1e-5)


def test_the_robot_is_scored_on_odd_frames_after_a_fit_on_even_ones(truth: Truth) -> None:
    scale, offset = np.array([1.2, 0.9, 1.1]), np.array([0.1, -0.2, 0.05])
    points = np.nan_to_num((truth.points - offset) / scale, nan=1.0)
    mask = np.isfinite(truth.robot_points[..., 2])
    points[mask] = (truth.robot_points[mask] - offset) / scale
    assert compare(make_rollout(truth.rgb, points.astype(np.float32)), truth).robot_error_mm < 0.01
    points[1::2, ..., 1] += 0.012 / scale[1]
    shifted = compare(make_rollout(truth.rgb, points.astype(np.float32)), truth)
    assert shifted.robot_error_mm == pytest.approx(12.0, abs=0.05)
    points[2::2] = np.nan  # one even frame is left, and most of what there is lies in odd ones
    alone = compare(make_rollout(truth.rgb, points.astype(np.float32)), truth)
    assert alone.robot_error_mm == pytest.approx(12.0, abs=0.05)
    points[1::2][mask[1::2]] = np.nan
    unseen = compare(make_rollout(truth.rgb, points.astype(np.float32)), truth)
    assert unseen.robot_error_mm == pytest.approx(1000 * math.sqrt(3), rel=1e-4)


def test_the_environment_is_what_is_no_robot(truth: Truth) -> None:
    points = np.nan_to_num(truth.points, nan=1.0)
    points[1:] += np.where(truth.robot_mask[1:, ..., None], np.float32(0.5), np.float32([0.0, 0.003, 0.004]))
    metrics = compare(make_rollout(truth.rgb, points), truth)
    assert metrics.environment_error_mm == pytest.approx(5.0, rel=1e-3)
    assert metrics.environment_error_p95_mm == pytest.approx(5.0, rel=1e-3)


def test_moved_regions_overlap_as_far_as_they_do(truth: Truth) -> None:
    where = regions(truth)
    still = np.broadcast_to(np.nan_to_num(truth.points[0], nan=1.0), truth.points.shape).copy()
    assert compare(make_rollout(truth.rgb, still), truth).moved_iou == 0.0
    half = still.copy()
    half[1:4][where.objects[:3]] = truth.points[1:4][where.objects[:3]]
    metrics = compare(make_rollout(truth.rgb, half), truth)
    assert metrics.moved.shared == where.objects[:3].sum() < where.objects.sum() == metrics.moved.either
    invented = still.copy()
    invented[2, 23] += 0.02
    extra = int(where.still[1, 23].sum())
    assert compare(make_rollout(truth.rgb, invented), truth).moved.either == where.objects.sum() + extra
    assert extra > 20


def test_without_a_pixel_there_is_no_figure(truth: Truth) -> None:
    still = replace(truth, rgb=np.broadcast_to(truth.rgb[0], truth.rgb.shape).copy())
    still.points[:] = still.points[0]
    metrics = compare(make_rollout(still.rgb, np.nan_to_num(still.points, nan=1.0)), still)
    assert math.isnan(metrics.psnr_objects)
    assert math.isnan(metrics.moved_iou)
    assert metrics.rgb_objects == SquaredError(0.0, 0)


def test_other_sizes_are_refused(truth: Truth) -> None:
    rollout = noisy(truth)
    with pytest.raises(WorldModelError, match=r"\(7, 25, 31, 3\) and \(6, 25, 31, 3\)"):
        compare(rollout, Truth(truth.rgb[1:], truth.points[1:], truth.robot_points[1:], truth.robot_mask[1:]))
    rollout.points[1, 2, 3, 0], rollout.points[4, 5, 6] = np.nan, np.inf
    with pytest.raises(PredictionError, match="in all three coordinates; "):
        compare(rollout, truth)
    half = truth.points.copy()
    half[2, 3, 4] = (np.nan, 1.0, 1.0)
    with pytest.raises(EpisodeError, match="points must be finite, or NaN in all three coordinates; 1 are neither"):
        Truth(truth.rgb, half, truth.robot_points, truth.robot_mask)
    with pytest.raises(EpisodeError, match="points must be float32 of shape"):
        replace(truth, points=truth.points[:, :-1])
    with pytest.raises(EpisodeError, match="robot_mask must cover every robot point"):
        replace(truth, robot_mask=np.zeros_like(truth.robot_mask))


def test_every_figure_is_one_of_the_metrics() -> None:
    assert len(set(FIGURES)) == len(FIGURES)
    for name in FIGURES:
        assert name in RolloutMetrics.__dataclass_fields__ or isinstance(getattr(RolloutMetrics, name), property)
