"""Numba kernels of seeded inverse kinematics: damped least squares with joint limits as an active set.

The method is Levenberg-Marquardt on the tool's pose error (Nakamura and Hanafusa 1986; Sugihara 2011: damping grows
with the squared error): ``dq = J^T (J J^T + damping I)^-1 e``. A joint that stands at a limit and is pushed further is
locked, and the step is solved again without it, so that the other joints take over what it cannot do.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from k4d_kinematics.chain_kernels import ChainArrays, forward, jacobian, pose_error

Array = NDArray[np.float64]

REACHED, NOT_CONVERGED, AT_JOINT_LIMITS, JOINT_JUMP = 0, 1, 2, 3

_LEAST_DAMPING = 1e-9
_LARGEST_STEP = 0.5
_AT_LIMIT = 1e-9
_DRAWS_TO_MIDDLE = (0.0, 0.3, 0.1, 0.6)


class Criteria(NamedTuple):
    """When a pose counts as reached (m, rad), and when solving stops; meaning as in IkSettings."""

    position_tolerance: float
    rotation_tolerance: float
    refinement: float
    iterations: int
    damping: float
    max_jump: float
    max_slide: float


@njit(cache=True, nogil=True)
def damped_step(J: Array, error: Array, damping: float, locked: NDArray[np.bool_], dq: Array) -> None:
    """Writes ``J^T (J J^T + damping I)^-1 error`` over the unlocked joints to ``dq`` (n,), by Cholesky."""
    A, y = np.empty((6, 6)), np.empty(6)
    for r in range(6):
        for c in range(r + 1):
            A[r, c] = damping if r == c else 0.0
            for k in range(J.shape[1]):
                if not locked[k]:
                    A[r, c] += J[r, k] * J[c, k]
    for r in range(6):  # A = L L^T in place, and L y = error alongside
        y[r] = error[r]
        for c in range(r + 1):
            for k in range(c):
                A[r, c] -= A[r, k] * A[c, k]
            A[r, c] = np.sqrt(A[r, r]) if r == c else A[r, c] / A[c, c]
        for k in range(r):
            y[r] -= A[r, k] * y[k]
        y[r] /= A[r, r]
    for r in range(5, -1, -1):  # L^T x = y
        for k in range(r + 1, 6):
            y[r] -= A[k, r] * y[k]
        y[r] /= A[r, r]
    for k in range(J.shape[1]):
        dq[k] = 0.0
        if not locked[k]:
            for r in range(6):
                dq[k] += J[r, k] * y[r]


@njit(cache=True, nogil=True)
def lock_blocked_joints(chain: ChainArrays, q: Array, dq: Array, locked: NDArray[np.bool_]) -> bool:
    """Locks the joints that stand at a limit and are pushed beyond it; returns whether there was a new one."""
    found = False
    for k in range(len(q)):
        at_lower = dq[k] < 0.0 and q[k] <= chain.lower[k] + _AT_LIMIT
        at_upper = dq[k] > 0.0 and q[k] >= chain.upper[k] - _AT_LIMIT
        if (at_lower or at_upper) and not locked[k]:
            locked[k] = True
            found = True
    return found


@njit(cache=True, nogil=True)
def step_within_limits(
    chain: ChainArrays, J: Array, error: Array, damping: float, q: Array, dq: Array, locked: NDArray[np.bool_]
) -> None:
    """Moves ``q`` (n,) by one damped step inside the limits; ``locked`` (n,) tells which limits held it back."""
    locked[:] = False
    damped_step(J, error, damping, locked, dq)
    while lock_blocked_joints(chain, q, dq, locked):
        damped_step(J, error, damping, locked, dq)
    scale = _LARGEST_STEP / max(_LARGEST_STEP, np.abs(dq).max())
    for k in range(len(q)):
        q[k] = min(chain.upper[k], max(chain.lower[k], q[k] + scale * dq[k]))


@njit(cache=True, nogil=True)
def descend(
    chain: ChainArrays, T_base_goal: Array, q_start: Array, criteria: Criteria, q_best: Array, residual: Array
) -> int:
    """REACHED or why not. Writes the best joint positions to ``q_best`` (n,), their errors (m, rad) to ``residual``."""
    n = len(q_start)
    q, dq, locked = q_start.copy(), np.empty(n), np.zeros(n, np.bool_)
    origins, directions, J, error = np.empty((n, 3)), np.empty((n, 3)), np.empty((6, n)), np.empty(6)
    least, held_back = np.inf, False
    for _ in range(criteria.iterations + 1):
        T_base_tip = forward(chain, q, origins, directions)
        pose_error(T_base_goal, T_base_tip, error)
        squared = float((error * error).sum())
        if squared <= least:
            least, held_back = squared, bool(locked.any())
            q_best[:] = q
            residual[0], residual[1] = np.sqrt((error[:3] ** 2).sum()), np.sqrt((error[3:] ** 2).sum())
        if within_tolerances(residual, criteria, criteria.refinement):
            break
        jacobian(chain, origins, directions, T_base_tip, J)
        step_within_limits(chain, J, error, _LEAST_DAMPING + criteria.damping * min(squared, 1.0), q, dq, locked)
    if within_tolerances(residual, criteria, 1.0):
        return REACHED
    return AT_JOINT_LIMITS if held_back else NOT_CONVERGED


@njit(cache=True, nogil=True)
def within_tolerances(residual: Array, criteria: Criteria, part: float) -> bool:
    """Whether errors (m, rad) are at most ``part`` of the tolerances."""
    return bool(residual[0] <= part * criteria.position_tolerance and residual[1] <= part * criteria.rotation_tolerance)


@njit(cache=True, nogil=True)
def jumps(chain: ChainArrays, q_from: Array, q_to: Array, criteria: Criteria) -> bool:
    """Whether a joint moves further than ``max_jump`` (rad), or ``max_slide`` (m) if it is prismatic."""
    for k in range(len(q_from)):
        if abs(q_to[k] - q_from[k]) > (criteria.max_jump if chain.is_revolute[k] else criteria.max_slide):
            return True
    return False


@njit(cache=True, nogil=True)
def solve_pose(
    chain: ChainArrays, T_base_goal: Array, q_seed: Array, criteria: Criteria, q: Array, residual: Array
) -> int:
    """REACHED or why not. Writes joint positions near the seed to ``q`` (n,), their errors (m, rad) to ``residual``.

    A descent can end in a corner of the joint limits though the pose is reachable near by. It is then begun again from
    seeds drawn towards the middle of the limits; what the first descent said stands unless one of those succeeds.
    """
    q_start, q_found, residual_found = q_seed.copy(), q_seed.copy(), np.empty(2)
    first_outcome = NOT_CONVERGED
    for attempt in range(len(_DRAWS_TO_MIDDLE)):
        for k in range(len(q_seed)):
            middle = 0.5 * (chain.lower[k] + chain.upper[k])
            if np.isfinite(middle):
                q_start[k] = q_seed[k] + _DRAWS_TO_MIDDLE[attempt] * (middle - q_seed[k])
        outcome = descend(chain, T_base_goal, q_start, criteria, q_found, residual_found)
        if outcome == REACHED and jumps(chain, q_seed, q_found, criteria):
            outcome = JOINT_JUMP
        if attempt == 0 or outcome == REACHED:
            q[:] = q_found
            residual[:] = residual_found
        if outcome == REACHED:
            return REACHED
        if attempt == 0:
            first_outcome = outcome
    return first_outcome


@njit(cache=True, nogil=True)
def solve_path(
    chain: ChainArrays,
    T_base_goal: Array,
    q0: Array,
    criteria: Criteria,
    q: Array,
    residual: Array,
    outcome: NDArray[np.int64],
) -> None:
    """Solves T poses (T, 4, 4), each seeded by the one before; holds the last joint positions where one fails.

    Writes joint positions (T, n), the best attempts' errors (T, 2) in m and rad, and outcomes (T,): REACHED or why not.
    """
    q_prev, q_next = q0.copy(), q0.copy()
    for t in range(len(T_base_goal)):
        outcome[t] = solve_pose(chain, T_base_goal[t], q_prev, criteria, q_next, residual[t])
        if outcome[t] == REACHED:
            q_prev[:] = q_next
        q[t] = q_prev
