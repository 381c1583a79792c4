"""How pixels of points move with a small correction of the camera's pose and focal length."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Correction:
    """A change of ``T_cam_parent`` by 6 numbers, or 7 with the focal length.

    The numbers are an offset (3) in metres and a rotation vector (3) in radians about ``center`` (3,), both along the
    camera's axes, and the logarithm of the factor on fx and fy. About a point amid the robot the two are all but
    independent of each other, about the camera they are not.
    """

    center: Array

    def transform(self, x: Array) -> Array:
        """``T_new_old`` (4, 4) of the optical frame."""
        R = Rotation.from_rotvec(x[3:6]).as_matrix()
        return se3.from_rotation_translation(R, self.center + x[:3] - R @ self.center)

    def project(self, camera: Camera, points_cam: Array, x: Array) -> tuple[Array, Array]:
        """Pixels (N, 2) of points (N, 3) after the correction, and their derivatives (N, 2, 6 or 7).

        NaN where a point is behind the camera or outside of its lens model.
        """
        R = Rotation.from_rotvec(x[3:6]).as_matrix()
        turned = (points_cam - self.center) @ R.T
        p = turned + self.center + x[:3]
        z = np.where(p[:, 2] > 0.0, p[:, 2], np.nan)
        xy = p[:, :2] / z[:, None]
        bent, lens = (xy, np.eye(2)) if camera.distortion is None else camera.distortion.distort_with_jacobian(xy)
        M = camera.matrix
        focal = np.array([M[0, 0], M[1, 1]]) * (np.exp(x[6]) if len(x) > 6 else 1.0)
        pixels = bent * focal + M[:2, 2]
        flat = np.zeros((len(p), 2, 3))  # of x/z, y/z by the point
        flat[:, 0, 0] = flat[:, 1, 1] = 1.0 / z
        flat[:, :, 2] = -xy / z[:, None]
        by_point = (lens * focal[:, None]) @ flat  # (N, 2, 3)
        by_turn = by_point @ -_cross_matrices(turned) @ _left_jacobian(x[3:6])
        columns = [by_point, by_turn] + ([(bent * focal)[..., None]] if len(x) > 6 else [])
        return pixels, np.concatenate(columns, axis=-1)


def corrected_camera(camera: Camera, log_focal: float) -> Camera:
    """The camera with fx and fy multiplied by exp(``log_focal``), in K and in P."""
    K, P = camera.K.copy(), camera.P.copy()
    for M in (K, P):
        M[[0, 1], [0, 1]] *= np.exp(log_focal)
    return Camera(
        camera.height, camera.width, K, camera.D, camera.distortion_model, camera.R, P, camera.binning_x,
        camera.binning_y, camera.roi, camera.frame_id,
    )  # fmt: skip


def place_covariance(covariance: Array, center: Array, T_cam_parent: Array) -> Array:
    """Of the camera's position and turn along the parent frame's axes (6, 6), from that of a Correction's first six."""
    c, R_parent_cam = center, se3.inverse(T_cam_parent)[:3, :3]
    about_camera = np.eye(6)  # offset of the camera's origin: t - w x c
    about_camera[:3, 3:] = [[0.0, -c[2], c[1]], [c[2], 0.0, -c[0]], [-c[1], c[0], 0.0]]
    A = -np.kron(np.eye(2), R_parent_cam) @ about_camera
    return np.asarray(A @ covariance @ A.T)


def _cross_matrices(vectors: Array) -> Array:
    """Matrices (N, 3, 3) that take the cross product of vectors (N, 3) with what stands to their right."""
    matrices = np.zeros((len(vectors), 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        matrices[:, i, j], matrices[:, j, i] = -vectors[:, k], vectors[:, k]
    return matrices


def _left_jacobian(rotvec: Array) -> Array:
    """What (3, 3) a change of a rotation vector is as a turn in the fixed frame. Source: Sola 2018, eq. 145."""
    angle = float(np.linalg.norm(rotvec))
    W = _cross_matrices(rotvec[None])[0]
    if angle < 1e-6:
        return np.asarray(np.eye(3) + W / 2.0)
    first, second = (1.0 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.asarray(np.eye(3) + first * W + second * W @ W)
