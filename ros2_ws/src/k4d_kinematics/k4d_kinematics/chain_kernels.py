"""Numba kernels of one serial chain: forward kinematics, Jacobian, and the error between two poses."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


class ChainArrays(NamedTuple):
    """A chain of n joints as the kernels read it; shapes and meaning as in KinematicChain."""

    T_parent_joint: Array
    axes: Array
    is_revolute: NDArray[np.bool_]
    lower: Array
    upper: Array
    T_joint_tip: Array


@njit(cache=True, nogil=True)
def multiply(T_a_b: Array, T_b_c: Array, T_a_c: Array) -> None:
    """Writes the product of two rigid transforms to ``T_a_c``, which must be neither of them."""
    for r in range(3):
        for c in range(4):
            T_a_c[r, c] = T_a_b[r, 0] * T_b_c[0, c] + T_a_b[r, 1] * T_b_c[1, c] + T_a_b[r, 2] * T_b_c[2, c]
        T_a_c[r, 3] += T_a_b[r, 3]
    T_a_c[3, 0] = T_a_c[3, 1] = T_a_c[3, 2] = 0.0
    T_a_c[3, 3] = 1.0


@njit(cache=True, nogil=True)
def move_joint(T: Array, axis: Array, is_revolute: bool, q: float) -> None:
    """Multiplies ``T`` from the right by a joint's motion: Rodrigues' rotation about its axis, or a slide along it."""
    x, y, z = axis[0], axis[1], axis[2]
    c, s = np.cos(q), np.sin(q)
    v = 1.0 - c
    for r in range(3):
        a, b, d = T[r, 0], T[r, 1], T[r, 2]
        if is_revolute:
            T[r, 0] = a * (c + x * x * v) + b * (y * x * v + z * s) + d * (z * x * v - y * s)
            T[r, 1] = a * (x * y * v - z * s) + b * (c + y * y * v) + d * (z * y * v + x * s)
            T[r, 2] = a * (x * z * v + y * s) + b * (y * z * v - x * s) + d * (c + z * z * v)
        else:
            T[r, 3] += q * (a * x + b * y + d * z)


@njit(cache=True, nogil=True)
def forward(chain: ChainArrays, q: Array, origins: Array, directions: Array) -> Array:
    """``T_base_tip`` (4, 4) at ``q`` (n,). Writes joint ``origins`` and axis ``directions`` (n, 3) in the base."""
    T, T_next = np.eye(4), np.empty((4, 4))
    for i in range(len(q)):
        multiply(T, chain.T_parent_joint[i], T_next)
        axis = chain.axes[i]
        for r in range(3):
            origins[i, r] = T_next[r, 3]
            directions[i, r] = T_next[r, 0] * axis[0] + T_next[r, 1] * axis[1] + T_next[r, 2] * axis[2]
        move_joint(T_next, axis, chain.is_revolute[i], q[i])
        T, T_next = T_next, T
    multiply(T, chain.T_joint_tip, T_next)
    return T_next


@njit(cache=True, nogil=True)
def is_exactly_rigid(T: Array) -> bool:
    """Whether ``T`` (4, 4) is a rigid transform to within the rounding of its making; not if a number is not finite."""
    if not (T[3, 0] == 0.0 and T[3, 1] == 0.0 and T[3, 2] == 0.0 and T[3, 3] == 1.0):
        return False
    # The rows of a right-handed rotation are each other's cross products; besides rotations, only zeros are like that.
    if not (T[0, 0] ** 2 + T[0, 1] ** 2 + T[0, 2] ** 2 > 0.5):
        return False
    for r in range(3):
        a, b = (r + 1) % 3, (r + 2) % 3
        for c in range(3):
            cross = T[a, (c + 1) % 3] * T[b, (c + 2) % 3] - T[a, (c + 2) % 3] * T[b, (c + 1) % 3]
            if not (abs(cross - T[r, c]) < 1e-9 and np.isfinite(T[r, 3])):
                return False
    return True


@njit(cache=True, nogil=True)
def rotation_vector(R: Array, w: Array) -> None:
    """Writes the axis times angle of the rotation (3, 3) to ``w`` (3,), exact up to and at half a turn."""
    w[0], w[1], w[2] = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    sine = 0.5 * np.sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2])
    cosine = 0.5 * (R[0, 0] + R[1, 1] + R[2, 2] - 1.0)
    angle = np.arctan2(sine, cosine)
    if cosine > 0.0 or sine > 1e-3:
        w *= 0.5 if sine < 1e-9 else 0.5 * angle / sine
        return
    # Near half a turn the antisymmetric part vanishes; the symmetric part is cos I + (1 - cos) axis axis^T.
    k = int(np.argmax(np.array([R[0, 0], R[1, 1], R[2, 2]])))
    column = np.empty(3)
    for r in range(3):
        column[r] = 0.5 * (R[r, k] + R[k, r])
    column[k] -= cosine
    side = -1.0 if w[0] * column[0] + w[1] * column[1] + w[2] * column[2] < 0.0 else 1.0
    w[:] = column * (side * angle / np.sqrt(column[0] ** 2 + column[1] ** 2 + column[2] ** 2))


@njit(cache=True, nogil=True)
def pose_error(T_base_goal: Array, T_base_tip: Array, error: Array) -> None:
    """Writes the motion (6,) from tip to goal in the base frame: translation in metres, rotation vector in radians."""
    R = np.empty((3, 3))
    for r in range(3):
        error[r] = T_base_goal[r, 3] - T_base_tip[r, 3]
        for c in range(3):
            R[r, c] = (
                T_base_goal[r, 0] * T_base_tip[c, 0]
                + T_base_goal[r, 1] * T_base_tip[c, 1]
                + T_base_goal[r, 2] * T_base_tip[c, 2]
            )
    rotation_vector(R, error[3:])


@njit(cache=True, nogil=True)
def jacobian(chain: ChainArrays, origins: Array, directions: Array, T_base_tip: Array, J: Array) -> None:
    """Writes the tip's Jacobian (6, n) in base axes: linear velocity of the tip, then angular velocity."""
    for i in range(J.shape[1]):
        z = directions[i]
        x0, x1, x2 = (
            T_base_tip[0, 3] - origins[i, 0],
            T_base_tip[1, 3] - origins[i, 1],
            T_base_tip[2, 3] - origins[i, 2],
        )
        if chain.is_revolute[i]:
            J[0, i], J[1, i], J[2, i] = z[1] * x2 - z[2] * x1, z[2] * x0 - z[0] * x2, z[0] * x1 - z[1] * x0
            J[3, i], J[4, i], J[5, i] = z[0], z[1], z[2]
        else:
            J[0, i], J[1, i], J[2, i] = z[0], z[1], z[2]
            J[3, i] = J[4, i] = J[5, i] = 0.0
