"""A similarity against its definition, and the cameras that come through it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from k4d_kinematics import Camera, se3
from k4d_kinematics.alignment import Similarity
from k4d_kinematics.errors import TransformError

R = Rotation.from_rotvec([0.3, -1.1, 2.0]).as_matrix()
SIMILARITY = Similarity(se3.from_rotation_translation(R, [7.0, -3.0, 11.0]), 40.0)
POINTS = np.random.default_rng(3).normal(size=(17, 3))


def test_points_follow_the_definition_and_come_back() -> None:
    points_recon = SIMILARITY.to_recon(POINTS)
    np.testing.assert_allclose(points_recon, [R @ (40.0 * p) + (7.0, -3.0, 11.0) for p in POINTS])
    np.testing.assert_allclose(SIMILARITY.to_base(points_recon), POINTS, atol=1e-12)


def test_its_matrix_takes_the_reconstruction_to_metres_and_makes_it_again() -> None:
    np.testing.assert_allclose(se3.transform_points(SIMILARITY.matrix, SIMILARITY.to_recon(POINTS)), POINTS, atol=1e-12)
    again = Similarity.from_matrix(SIMILARITY.matrix)
    assert again.scale == pytest.approx(40.0)
    np.testing.assert_allclose(again.T_recon_base, SIMILARITY.T_recon_base, atol=1e-12)


def test_a_camera_of_the_reconstruction_sees_the_same_pixels_in_metres() -> None:
    camera = Camera.pinhole(40, 60, 50.0, 52.0, 29.5, 19.5)
    T_cam_recon = se3.look_at((90.0, -60.0, 80.0), SIMILARITY.T_recon_base[:3, 3])
    pixels = camera.project(se3.transform_points(T_cam_recon, SIMILARITY.to_recon(POINTS)))
    points_cam = se3.transform_points(SIMILARITY.camera(T_cam_recon), POINTS)
    np.testing.assert_allclose(camera.project(points_cam), pixels)
    distance = np.linalg.norm(points_cam[0] - points_cam[1])
    assert distance == pytest.approx(np.linalg.norm(POINTS[0] - POINTS[1]))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_other_scales_are_refused(scale: float) -> None:
    with pytest.raises(TransformError, match="scale must be a finite number above 0"):
        Similarity(np.eye(4), scale)


@pytest.mark.parametrize("diagonal", [(1.0, 2.0, 1.0, 1.0), (-1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 1.0)])
def test_matrices_that_stretch_or_mirror_are_refused(diagonal: tuple[float, ...]) -> None:
    with pytest.raises(TransformError):
        Similarity.from_matrix(np.diag(diagonal))
