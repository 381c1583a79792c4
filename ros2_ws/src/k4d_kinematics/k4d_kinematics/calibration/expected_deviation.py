"""How well postures will tell where a camera is, before any mask of them has been looked at."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.calibration.projection import Correction, place_covariance
from k4d_kinematics.calibration.silhouette_lines import CLUSTER_PX
from k4d_kinematics.calibration.views import RobotContour
from k4d_kinematics.camera import Camera

Array = NDArray[np.float64]

# By how much a mask's outline is off, as one over CLUSTER_PX: what the noisy masks of docs/calibration.md come to.
_ERROR_PX = 0.3
_LEAST_INFORMATION = 1e-9  # of the largest, below which a direction counts as open


def expected_position_std(contours: Sequence[RobotContour], camera: Camera, T_cam_parent: Array) -> float:
    """Largest standard deviation in metres along any axis that the camera's position will have; infinite when open.

    ``contours`` are the robot's in the postures, as ``camera`` would see them from ``T_cam_parent`` (4, 4).
    """
    points = np.concatenate([contour.points_cam for contour in contours])
    if not len(points):
        return float("inf")
    correction = Correction(points.mean(axis=0))
    information = np.zeros((7, 7))
    for contour in contours:
        _, by_x = correction.project(camera, contour.points_cam, np.zeros(6))
        slopes = np.einsum("ni,nij->nj", contour.normals, by_x)
        slopes = np.concatenate([slopes, np.ones((len(slopes), 1))], axis=1)  # the last: masks are too large all around
        used = np.isfinite(slopes).all(axis=1) & contour.normals.any(axis=1)
        squares = np.unique(contour.pixels[used] // CLUSTER_PX, axis=0, return_inverse=True)[1].ravel()
        sums, counts = np.zeros((squares.max(initial=-1) + 1, 7)), np.bincount(squares)
        np.add.at(sums, squares, slopes[used])
        means = sums / counts[:, None]
        information += means.T @ means / _ERROR_PX**2
    eigenvalues = np.linalg.eigvalsh(information)
    if eigenvalues[0] < _LEAST_INFORMATION * eigenvalues[-1]:
        return float("inf")
    of_correction = np.asarray(np.linalg.inv(information)[:6, :6], np.float64)
    covariance = place_covariance(of_correction, correction.center, T_cam_parent)
    return float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3]).max()))
