"""Cameras found from noisy masks, and sets of poses that must be refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import Renderer, se3
from k4d_kinematics.calibration import CalibrationSettings, PoseSetLimits, calibrate
from k4d_kinematics.calibration.expected_deviation import expected_position_std
from k4d_kinematics.calibration.projection import Correction, corrected_camera
from k4d_kinematics.calibration.silhouettes import DistanceField, border_share, contour_pixels, outward_normals
from k4d_kinematics.calibration.views import expected_contours
from k4d_kinematics.errors import CalibrationError, IllConditionedError, PoseSetError

from .conftest import CAMERAS, NOISY


def test_noisy_masks_lead_to_the_camera_and_say_how_surely(set_up: Callable, spoiled: Callable) -> None:
    errors = []
    for kind, seed in NOISY:
        case = set_up(seed, kind, poses=20)
        far, turned = case.errors(case.T_guess_base)
        assert far >= 0.04
        assert np.degrees(turned) >= 2.0
        found = calibrate(case.robot.surface, case.camera, spoiled(case.views, 50 + seed), case.T_guess_base)
        distance, angle = case.errors(found.T_cam_parent)
        print(f"{kind}: {1e3 * distance:.2f} mm {np.degrees(angle):.3f} deg, stated {1e3 * found.position_std:.2f} mm")
        assert distance <= 0.003
        assert np.degrees(angle) <= 0.15
        for residual in found.residuals:
            assert residual.median_after_px < 1.0 < residual.median_before_px
        errors.append(case.errors_over_deviations(found))
    # Over more masks and other set-ups it is what docs/calibration.md says.
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) < 1.5, np.round(errors, 1)


def test_masks_of_another_size_are_not_refused_and_their_error_is_stated(
    set_up: Callable, spoiled: Callable, grown: Callable
) -> None:
    case = set_up(0, poses=6)
    surface, camera, guess = case.robot.surface, case.camera, case.T_guess_base
    errors, founds = [], {}
    for pixels, views in ((1, case.views), (2, case.views), (-1, case.views), (2, spoiled(case.views, 50))):
        founds[pixels] = calibrate(surface, camera, grown(views, pixels), guess)
        assert founds[pixels].growth_px == pytest.approx(pixels, abs=0.25)
        errors.append(case.errors_over_deviations(founds[pixels]))
        distance = case.errors(founds[pixels].T_cam_parent)[0]
        print(f"{pixels:+d} px: {1e3 * distance:.2f} mm, stated {1e3 * founds[pixels].position_std:.2f} mm")
    # Of the same set-up with more poses, see docs/calibration.md.
    assert 0.3 < np.sqrt(np.mean(np.square(errors))) < 1.5, np.round(errors, 1)
    strict = CalibrationSettings(most_position_std=0.8 * founds[1].position_std)
    with pytest.raises(IllConditionedError, match=r"the masks end 1\.\d px beyond the robot all around, ones that end"):
        calibrate(surface, camera, grown(case.views, 1), guess, strict)


def test_clean_masks_lead_to_the_camera_exactly_also_on_a_link(set_up: Callable) -> None:
    case = set_up(7)
    found = calibrate(case.robot.surface, case.camera, case.views, case.T_guess_base)
    assert case.errors(found.T_cam_parent)[0] < 1e-3
    T_base_parent = se3.from_xyz_rpy((0.3, -0.1, 0.2), (0.2, 0.4, -0.3))
    views = [replace(view, T_parent_link=se3.inverse(T_base_parent) @ view.T_parent_link) for view in case.views]
    elsewhere = calibrate(case.robot.surface, case.camera, views, case.T_guess_base @ T_base_parent)
    np.testing.assert_allclose(elsewhere.T_cam_parent @ se3.inverse(T_base_parent), found.T_cam_parent, atol=1e-3)


def test_equal_runs_are_equal_to_the_last_bit(set_up: Callable, spoiled: Callable) -> None:
    case = set_up(6, poses=6)
    views = spoiled(case.views, 3)
    first, second = (calibrate(case.robot.surface, case.camera, views, case.T_guess_base) for _ in range(2))
    np.testing.assert_array_equal(first.T_cam_parent, second.T_cam_parent)
    np.testing.assert_array_equal(first.covariance, second.covariance)


def test_what_postures_will_tell_is_known_before(set_up: Callable, spoiled: Callable) -> None:
    case = set_up(0, poses=20)

    def expected(count: int) -> float:
        renderer = Renderer(case.robot.surface, case.camera)
        contours = expected_contours(renderer, case.views[:count], case.T_guess_base, 500)
        return expected_position_std(contours, case.camera, case.T_guess_base)

    # Independent errors of n postures come to a deviation of 1 / sqrt(n).
    assert expected(20) == pytest.approx(expected(5) / 2, rel=0.4)
    found = calibrate(case.robot.surface, case.camera, spoiled(case.views, 50), case.T_guess_base)
    assert 0.5 < expected(20) / found.position_std < 2.0
    hidden = expected_contours(
        Renderer(case.robot.surface, case.camera), case.views[:1], np.diag([1, -1, -1, 1.0]), 500
    )
    assert expected_position_std(hidden, case.camera, case.T_guess_base) == np.inf


def test_the_focal_length_is_found_too(set_up: Callable) -> None:
    case = set_up(8, poses=9)
    wrong = corrected_camera(case.camera, 0.03)
    found = calibrate(case.robot.surface, wrong, case.views, case.T_guess_base, CalibrationSettings(focal=True))
    np.testing.assert_allclose(found.camera.matrix, case.camera.matrix, rtol=3e-3)
    assert found.focal_std is not None


def test_unknown_parts_of_a_mask_do_not_count(set_up: Callable) -> None:
    case = set_up(9)
    known = np.ones(case.views[0].mask.shape, bool)
    known[:, 150:] = False
    views = [replace(view, mask=view.mask & known, known=known) for view in case.views]
    found = calibrate(case.robot.surface, case.camera, views, case.T_guess_base)
    assert case.errors(found.T_cam_parent)[0] < 0.003


def test_bad_sets_of_poses_are_refused_with_their_figures(set_up: Callable) -> None:
    case = set_up(10)
    surface, camera, guess = case.robot.surface, case.camera, case.T_guess_base
    with pytest.raises(PoseSetError, match="5 usable poses are needed, got 4 of 4"):
        calibrate(surface, camera, case.views[:4], guess)
    alike = [replace(case.views[0], name=str(k)) for k in range(6)]
    with pytest.raises(PoseSetError, match=r"5 different poses are needed, got 1: of 6 .* 0.03 m"):
        calibrate(surface, camera, alike, guess)
    mask_shape = case.views[0].mask.shape
    v = np.indices(mask_shape)[0]
    hidden = [replace(view, mask=view.mask & (np.cumsum(view.mask).reshape(mask_shape) < 99)) for view in case.views]
    with pytest.raises(PoseSetError, match=r"pose 0: the robot covers 0.23% of the picture, 1.00% are needed"):
        calibrate(surface, camera, hidden, guess)
    flooded = [replace(view, mask=np.asarray(v < 100)) for view in case.views]
    with pytest.raises(PoseSetError, match=r"of the robot's outline is the picture's border, 30% may be"):
        calibrate(surface, camera, flooded, guess)
    strict = CalibrationSettings(most_position_std=1e-9)
    with pytest.raises(IllConditionedError, match=r"uncertain by .* deg; the limits are 0.0 mm .* deg: more poses"):
        calibrate(surface, camera, case.views, guess, strict)
    with pytest.raises(CalibrationError, match="at least 5, got 4"):
        PoseSetLimits(poses=4)
    with pytest.raises(CalibrationError, match=r"masks must have the camera's size \(62, 94\)"):
        calibrate(surface, replace(camera, height=62, width=94), case.views, guess)
    with pytest.raises(CalibrationError, match="with 0 of 43200 pixels set"):
        replace(case.views[0], mask=np.zeros_like(case.views[0].mask))


@pytest.mark.parametrize("kind", CAMERAS)
@pytest.mark.parametrize("size", [6, 7])
def test_derivatives_are_those_of_finite_differences(kind: str, size: int) -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform((-0.3, -0.2, 0.9), (0.3, 0.2, 1.4), (11, 3))
    correction, x, step = Correction(np.array([0.1, -0.1, 1.1])), rng.normal(scale=0.05, size=size), 1e-6
    _, slopes = correction.project(CAMERAS[kind], points, x)
    for k, unit in enumerate(np.eye(size)):
        ahead, behind = (correction.project(CAMERAS[kind], points, x + sign * step * unit)[0] for sign in (1, -1))
        np.testing.assert_allclose(slopes[..., k], (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-4)
    camera = corrected_camera(CAMERAS[kind], x[6] if size > 6 else 0.0)
    moved = points @ correction.transform(x)[:3, :3].T + correction.transform(x)[:3, 3]
    np.testing.assert_allclose(correction.project(CAMERAS[kind], points, x)[0], camera.project(moved), atol=1e-9)


def test_distances_contours_and_normals_of_a_disc() -> None:
    v, u = np.indices((41, 63)).astype(float)
    distance = np.hypot(v - 19.3, u - 30.6) - 11.2
    mask = distance < 0
    field, pixels = DistanceField(mask), np.random.default_rng(2).uniform((5, 5), (57, 35), (97, 2))
    far = np.hypot(*(pixels - (30.6, 19.3)).T) > 3
    values, gradients = field.sample(pixels[far])
    np.testing.assert_allclose(values, np.hypot(*(pixels[far] - (30.6, 19.3)).T) - 11.2, atol=0.8)
    outward = (pixels[far] - (30.6, 19.3)) / np.hypot(*(pixels[far] - (30.6, 19.3)).T)[:, None]
    assert np.median((gradients * outward).sum(axis=1)) > 0.9
    contour = contour_pixels(mask)
    assert (np.abs(distance[contour[:, 1], contour[:, 0]] + 0.5) < 0.8).all()
    normals = outward_normals(mask, contour)
    truth = (contour - (30.6, 19.3)) / np.hypot(*(contour - (30.6, 19.3)).T)[:, None]
    assert ((normals * truth).sum(axis=1) > 0.97).all()
    assert border_share(mask) == 0.0
    assert border_share(np.ones((7, 9), bool)) == 1.0
