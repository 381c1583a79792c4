"""When a robot followed a plan, told by its joints alone: commands may come late and clocks may differ."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import JointTrajectory
from k4d_kinematics.errors import JointStateError
from k4d_world_model.errors import ComparisonError

Array = NDArray[np.float64]

# Seconds between the starts that are tried; the best one is refined between its neighbours.
STEP = 0.01
# A joint that the plan moves less than this (rad or m) does not tell when it began.
_STILL = 1e-3


@dataclass(frozen=True)
class Following:
    """When the plan's moment 0 was, in seconds on the executed joints' clock, and how closely it was followed.

    error: root of the mean squared difference, over the joints that the plan moves and its moments, in rad or m. A
    controller that lags behind shows as a later start.
    standing: the smallest such error of a robot that does not move at all.
    """

    start: float
    error: float
    standing: float

    def holds(self, most: float) -> bool:
        """Whether the robot moved as planned: within ``most`` rad or m, and by half nearer than one that stands."""
        return self.error <= min(most, 0.5 * self.standing)


def following(plan: JointTrajectory, executed: JointTrajectory, *, earliest: float = -np.inf) -> Following:
    """The start from which ``executed`` follows the whole plan most closely, among those not before ``earliest``.

    Joints are matched by name; they may end up to STEP before the plan. Raises ComparisonError when the plan stands
    still, the executed joints lack one that it moves, or they are not known for as long as it takes.
    """
    moving = [name for name, way in zip(plan.joint_names, np.ptp(plan.positions, axis=0), strict=True) if way > _STILL]
    if not moving:
        raise ComparisonError("the plan moves no joint, so that joints do not tell when it was executed")
    try:
        wanted, done = plan.reorder(moving).positions, executed.reorder(moving).positions
    except JointStateError as error:
        raise ComparisonError(f"the executed joints do not tell of the plan's: {error}") from error
    first, last = max(executed.times[0], earliest) - plan.times[0], executed.times[-1] - plan.times[-1]
    if last < first - STEP:
        raise ComparisonError(
            f"the plan takes {plan.times[-1]:.3f} s, and the executed joints are known from "
            f"{max(executed.times[0], earliest):.3f} s to {executed.times[-1]:.3f} s only"
        )
    last = max(first, last)  # a recording may end with the plan, a rounding before it
    # Seconds since 1970 leave a float64 some hundred nanoseconds: enough here.
    starts = np.append(np.arange(first, last, STEP), last)
    errors = _errors(starts, plan.times, wanted, executed.times, done)
    best = int(np.argmin(errors))
    start = float(np.clip(_lowest(starts, errors, best), first, last))
    refined = _errors(np.array([start]), plan.times, wanted, executed.times, done)[0]
    if refined > errors[best]:
        start, refined = float(starts[best]), errors[best]
    return Following(start, float(refined), float(np.sqrt(wanted.var(axis=0).mean())))


def _errors(starts: Array, times: Array, wanted: Array, executed_times: Array, done: Array) -> Array:
    """The root mean squared difference (G,) from each of the starts (G,)."""
    moments = starts[:, None] + times  # (G, T)
    squares = np.zeros(len(starts))
    for k in range(wanted.shape[1]):
        squares += ((np.interp(moments, executed_times, done[:, k]) - wanted[:, k]) ** 2).mean(axis=1)
    return np.asarray(np.sqrt(squares / wanted.shape[1]))


def _lowest(starts: Array, errors: Array, best: int) -> float:
    """Where the parabola through the squares at ``best`` and its neighbours is lowest."""
    if not 0 < best < len(starts) - 1:
        return float(starts[best])
    x = starts[best - 1 : best + 2] - starts[best]
    curve, slope, _ = np.polyfit(x, errors[best - 1 : best + 2] ** 2, 2)
    return float(starts[best] - slope / (2 * curve)) if curve > 0 else float(starts[best])
