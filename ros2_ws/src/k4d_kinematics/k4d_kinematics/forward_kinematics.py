"""Poses of all links for many joint positions at once: the compiled kernel."""

import numpy as np
from numba import njit

from k4d_kinematics import se3
from k4d_kinematics.kinematic_tree import FIXED, PRISMATIC, KinematicTree


def link_poses(tree: KinematicTree, positions: se3.Array, T_base_root: se3.Array) -> se3.Array:
    """``T_base_link`` (T, L, 4, 4) from positions (T, J) in radians and metres and ``T_base_root`` (T, 4, 4)."""
    T_base_link = np.empty((len(positions), len(tree.link_names), 4, 4))
    # Copies, since the kernel would be compiled a second time for read-only arrays.
    _compute_link_poses(
        tree.parent,
        tree.T_parent_joint,
        tree.axis,
        tree.motion,
        tree.joint_index,
        tree.multiplier,
        tree.offset,
        np.array(positions, np.float64, order="C"),
        np.array(T_base_root, np.float64, order="C"),
        T_base_link,
    )
    return T_base_link


@njit(cache=True, nogil=True)
def _compute_link_poses(parent, T_parent_joint, axis, motion, joint_index, multiplier, offset, positions, T_root, out):  # type: ignore[no-untyped-def]
    T_parent_link = np.empty((4, 4))
    for t in range(positions.shape[0]):
        out[t, 0] = T_root[t]
        for i in range(1, parent.shape[0]):
            T_parent_link[:] = T_parent_joint[i]
            if motion[i] != FIXED:
                value = multiplier[i] * positions[t, joint_index[i]] + offset[i]
                if motion[i] == PRISMATIC:
                    _translate(T_parent_link, axis[i], value)
                else:
                    _rotate(T_parent_link, axis[i], value)
            _multiply(out[t, parent[i]], T_parent_link, out[t, i])


@njit(cache=True, nogil=True)
def _translate(T, axis, distance):  # type: ignore[no-untyped-def]
    for r in range(3):
        T[r, 3] += distance * (T[r, 0] * axis[0] + T[r, 1] * axis[1] + T[r, 2] * axis[2])


@njit(cache=True, nogil=True)
def _rotate(T, axis, angle):  # type: ignore[no-untyped-def]
    """Multiplies T from the right by the rotation about a unit axis, Rodrigues' formula."""
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = axis[0], axis[1], axis[2]
    v = 1.0 - c
    for r in range(3):
        a, b, d = T[r, 0], T[r, 1], T[r, 2]
        T[r, 0] = a * (c + x * x * v) + b * (y * x * v + z * s) + d * (z * x * v - y * s)
        T[r, 1] = a * (x * y * v - z * s) + b * (c + y * y * v) + d * (z * y * v + x * s)
        T[r, 2] = a * (x * z * v + y * s) + b * (y * z * v - x * s) + d * (c + z * z * v)


@njit(cache=True, nogil=True)
def _multiply(A, B, out):  # type: ignore[no-untyped-def]
    for r in range(3):
        for c in range(4):
            out[r, c] = A[r, 0] * B[0, c] + A[r, 1] * B[1, c] + A[r, 2] * B[2, c]
        out[r, 3] += A[r, 3]
    out[3, 0], out[3, 1], out[3, 2], out[3, 3] = 0.0, 0.0, 0.0, 1.0
