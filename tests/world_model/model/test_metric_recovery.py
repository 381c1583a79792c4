"""The fit that makes metres: exact without noise, unmoved by outliers, honest where the robot says too little."""

import numpy as np
import pytest

from k4d_world_model.metric_recovery import EVEN_FRAMES, FEWEST_PIXELS, apply, recover_metric, robot_distance

SCALE, OFFSET = np.array([1.7, 0.6, 1.2]), np.array([0.3, -0.2, 0.5])


@pytest.fixture
def robot(make_conditioning):
    conditioning = make_conditioning(6, 30, 50)
    return conditioning.robot_points, conditioning.robot_mask


def predicted_from(points: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """What a model with that scale and offset predicts of the robot, everything else far away."""
    rng = np.random.default_rng(1)
    exact = (np.nan_to_num(points, nan=3.0) - OFFSET) / SCALE
    return (exact + noise * rng.standard_normal(points.shape)).astype(np.float32)


def test_an_exact_prediction_gives_its_scale_and_offset(robot):
    points, mask = robot
    fit = recover_metric(predicted_from(points), points, mask)
    np.testing.assert_allclose(fit.scale, SCALE, rtol=1e-4)
    np.testing.assert_allclose(fit.offset, OFFSET, atol=1e-4)
    assert fit.residual < 1e-5
    assert fit.reason == ""
    np.testing.assert_allclose(apply(fit, predicted_from(points))[mask], points[mask], atol=1e-5)


@pytest.mark.parametrize(("away", "is_left"), [(0.003, True), (0.03, False)])
def test_points_that_are_metres_already_are_left_alone(robot, away, is_left):
    points, mask = robot
    predicted = np.nan_to_num(points, nan=3.0) + np.float32([0.0, 0.0, away])
    fit = recover_metric(predicted, points, mask)
    assert np.array_equal(apply(fit, predicted), predicted) == is_left
    assert fit.residual == pytest.approx(away if is_left else 0.0, abs=1e-5)


def test_a_third_of_outliers_does_not_move_it(robot):
    points, mask = robot
    predicted = predicted_from(points, noise=0.003)
    rng = np.random.default_rng(2)
    predicted[rng.random(mask.shape) < 0.33] = [2.0, -1.0, 4.0]
    fit = recover_metric(predicted, points, mask)
    np.testing.assert_allclose(fit.scale, SCALE, rtol=0.01)
    np.testing.assert_allclose(fit.offset, OFFSET, atol=0.01)
    # Least squares would find nearly no scale at all.
    assert abs(np.polyfit(predicted[mask][:, 2], points[mask][:, 2], 1)[0]) < 0.1


def test_noise_in_the_prediction_does_not_shrink_the_scale(robot):
    points, mask = robot
    fit = recover_metric(predicted_from(points, noise=0.05), points, mask)
    np.testing.assert_allclose(fit.scale[[0, 2]], SCALE[[0, 2]], rtol=0.06)


def test_the_silhouette_does_not_count(robot):
    points, mask = robot
    predicted = predicted_from(points)
    inner = np.zeros_like(mask)
    for t in range(len(mask)):
        v, u = np.nonzero(mask[t])
        inner[t, v.min() + 1 : v.max(), u.min() + 1 : u.max()] = True
    predicted[mask & ~inner] = 9.0
    fit = recover_metric(predicted, points, mask)
    assert fit.pixel_count == inner.sum()
    assert fit.residual < 1e-5


def test_only_the_frames_asked_for_count(robot):
    points, mask = robot
    predicted = predicted_from(points)
    predicted[1::2] += 0.4
    fit = recover_metric(predicted, points, mask, frames=EVEN_FRAMES)
    np.testing.assert_allclose(fit.scale, SCALE, rtol=1e-4)
    metres = apply(fit, predicted)
    assert robot_distance(metres, points, mask, frames=slice(0, None, 2)) < 1e-5
    expected = 0.4 * np.linalg.norm(SCALE)
    assert robot_distance(metres, points, mask, frames=slice(1, None, 2)) == pytest.approx(expected, rel=1e-3)


def test_a_hidden_robot_leaves_scale_and_offset_alone(robot):
    points, mask = robot
    few = np.zeros_like(mask)
    few[0, 8:19, 10:20] = mask[0, 8:19, 10:20]
    fit = recover_metric(predicted_from(points), points, few)
    assert 0 < fit.pixel_count < FEWEST_PIXELS
    assert f"{fit.pixel_count} pixels" in fit.reason
    np.testing.assert_array_equal(fit.scale, 1)
    np.testing.assert_array_equal(fit.offset, 0)
    assert np.isnan(fit.residual)


def test_unfinished_predictions_do_not_count(robot):
    points, mask = robot
    fit = recover_metric(np.full_like(points, np.nan), points, mask)
    assert fit.pixel_count == 0
    assert fit.reason
    assert np.isnan(robot_distance(np.full_like(points, np.nan), points, mask))


def test_an_axis_without_spread_gets_an_offset_alone(robot):
    points, mask = robot
    flat = points.copy()
    flat[..., 2] = np.where(mask, 1.25, np.nan)
    fit = recover_metric(predicted_from(flat), flat, mask)
    assert fit.reason.startswith("z: the robot spans 0.000 m")
    assert fit.scale[2] == 1
    assert fit.offset[2] == pytest.approx(1.25 - (1.25 - OFFSET[2]) / SCALE[2], abs=1e-5)
    np.testing.assert_allclose(fit.scale[:2], SCALE[:2], rtol=1e-4)
    assert fit.residual < 1e-5


def test_a_prediction_that_does_not_follow_the_robot_gets_no_scale(robot):
    points, mask = robot
    rng = np.random.default_rng(3)
    fit = recover_metric(rng.standard_normal(points.shape).astype(np.float32) / 9, points, mask)
    np.testing.assert_array_equal(fit.scale, 1)
    assert all(f"{axis}: predicted points change by" in fit.reason for axis in "xyz")
    mirrored = recover_metric(-predicted_from(points), points, mask)
    np.testing.assert_array_equal(mirrored.scale, 1)


def test_residual_is_the_median_distance(robot):
    points, mask = robot
    predicted = predicted_from(points, noise=0.02)
    fit = recover_metric(predicted, points, mask)
    assert fit.residual == pytest.approx(robot_distance(apply(fit, predicted), points, mask), rel=1e-3)
