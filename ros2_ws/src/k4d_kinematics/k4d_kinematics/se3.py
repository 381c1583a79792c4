"""Rigid transforms as 4x4 arrays named ``T_<to>_<from>``: ``p_to = T_to_from @ p_from``. Metres and radians."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from k4d_kinematics.errors import TransformError

Array = NDArray[np.float64]

_ROTATION_TOLERANCE = 1e-3


def from_rotation_translation(rotation: ArrayLike, translation: ArrayLike) -> Array:
    """Transforms (..., 4, 4) from rotation matrices (..., 3, 3) and translations (..., 3) in metres."""
    R = np.asarray(rotation, np.float64)
    p = np.asarray(translation, np.float64)
    T = np.zeros((*np.broadcast_shapes(R.shape[:-2], p.shape[:-1]), 4, 4))
    T[..., :3, :3] = R
    T[..., :3, 3] = p
    T[..., 3, 3] = 1.0
    return T


def from_xyz_rpy(xyz: ArrayLike, rpy: ArrayLike) -> Array:
    """One transform (4, 4) from a URDF origin: fixed-axis roll, pitch, yaw in radians, then the offset in metres."""
    return from_rotation_translation(Rotation.from_euler("xyz", np.asarray(rpy, np.float64)).as_matrix(), xyz)


def from_xyzw(xyz: ArrayLike, quaternion_xyzw: ArrayLike) -> Array:
    """Transforms (..., 4, 4) from positions (..., 3) and quaternions (..., 4) ordered x, y, z, w as ROS messages are.

    Raises TransformError when a number is not finite or a quaternion's norm is not within 1e-3 of one; ROS peers
    accept an all-zero quaternion in silence, we do not.
    """
    p = np.asarray(xyz, np.float64)
    q = np.asarray(quaternion_xyzw, np.float64)
    norm = np.linalg.norm(q, axis=-1)
    if not np.isfinite(p).all() or not np.isfinite(q).all():
        raise TransformError(f"a pose must be finite, got position {p.tolist()} and quaternion (xyzw) {q.tolist()}")
    if (np.abs(norm - 1.0) > _ROTATION_TOLERANCE).any():
        raise TransformError(f"a quaternion (xyzw) must have norm 1, got {q.tolist()} with norm {norm.tolist()}")
    flat = Rotation.from_quat(q.reshape(-1, 4)).as_matrix().reshape(*q.shape[:-1], 3, 3)
    return from_rotation_translation(flat, p)


def to_xyzw(T: ArrayLike) -> tuple[Array, Array]:
    """Positions (..., 3) in metres and unit quaternions (..., 4) ordered x, y, z, w with w >= 0."""
    M = np.asarray(T, np.float64)
    quaternion = Rotation.from_matrix(M[..., :3, :3].reshape(-1, 3, 3)).as_quat(canonical=True)
    return M[..., :3, 3].copy(), quaternion.reshape(*M.shape[:-2], 4)


def inverse(T_a_b: ArrayLike) -> Array:
    """``T_b_a`` (..., 4, 4) of rigid transforms ``T_a_b`` (..., 4, 4)."""
    T = np.asarray(T_a_b, np.float64)
    R_b_a = np.swapaxes(T[..., :3, :3], -1, -2)
    return from_rotation_translation(R_b_a, -np.einsum("...ij,...j->...i", R_b_a, T[..., :3, 3]))


def transform_points(T_a_b: ArrayLike, points_b: ArrayLike) -> Array:
    """Points (..., N, 3) of frame b expressed in frame a by transforms (..., 4, 4)."""
    T = np.asarray(T_a_b, np.float64)
    p = np.asarray(points_b, np.float64)
    return p @ np.swapaxes(T[..., :3, :3], -1, -2) + T[..., None, :3, 3]


def interpolate(T_a_b0: ArrayLike, T_a_b1: ArrayLike, fraction: float) -> Array:
    """The transform (4, 4) between two: linear in position, spherical in rotation, ``fraction`` in [0, 1]."""
    T0, T1 = np.asarray(T_a_b0, np.float64), np.asarray(T_a_b1, np.float64)
    R = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack([T0[:3, :3], T1[:3, :3]])))(fraction).as_matrix()
    return from_rotation_translation(R, (1.0 - fraction) * T0[:3, 3] + fraction * T1[:3, 3])


def rotation_angle(T_a_b: ArrayLike) -> Array:
    """Rotation angles (...,) in radians, 0 to pi."""
    R = np.asarray(T_a_b, np.float64)[..., :3, :3]
    return np.asarray(Rotation.from_matrix(R.reshape(-1, 3, 3)).magnitude().reshape(R.shape[:-2]))


def check_transform(T: ArrayLike, name: str) -> Array:
    """``T`` (..., 4, 4) as float64. Raises TransformError naming ``name`` unless finite, rigid and right-handed."""
    M = np.asarray(T, np.float64)
    if M.shape[-2:] != (4, 4):
        raise TransformError(f"{name} must have shape (..., 4, 4), got {M.shape}")
    if not np.isfinite(M).all():
        raise TransformError(f"{name} must be finite, got {M.tolist()}")
    R = M[..., :3, :3]
    rigid = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max(initial=0.0) <= _ROTATION_TOLERANCE
    if not rigid or (np.linalg.det(R) < 0).any() or (M[..., 3, :] != (0, 0, 0, 1)).any():
        raise TransformError(f"{name} must be a rigid transform with last row (0, 0, 0, 1), got {M.tolist()}")
    return M


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> Array:
    """``T_cam_base`` (4, 4) of an optical frame (x right, y down, z forward) at ``eye`` that looks at ``target``.

    ``eye``, ``target`` and ``up`` are in the base frame. Raises TransformError when the view is parallel to ``up``.
    """
    p_eye, p_target, v_up = (np.asarray(v, np.float64) for v in (eye, target, up))
    z = p_target - p_eye
    x = np.cross(z, v_up)
    if np.linalg.norm(x) < 1e-9:
        raise TransformError(
            f"look_at needs a view that is not parallel to up {v_up}, got eye {p_eye}, target {p_target}"
        )
    z, x = z / np.linalg.norm(z), x / np.linalg.norm(x)
    return inverse(from_rotation_translation(np.stack([x, np.cross(z, x), z], axis=-1), p_eye))
