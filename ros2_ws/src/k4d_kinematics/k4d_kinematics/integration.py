"""Joint velocities integrated to a trajectory within the robot's limits."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.errors import TrajectoryError
from k4d_kinematics.robot import Robot
from k4d_kinematics.trajectory import JointTrajectory, checked_samples, checked_times

Array = NDArray[np.float64]

# Relative: a velocity computed as 'the limit' may come out one rounding above it.
_VELOCITY_ROUNDING = 1e-9


@dataclass(frozen=True)
class LimitStop:
    """One joint at a position ``limit`` (rad or m) from ``start_time`` to ``end_time`` (s) though driven further."""

    joint_name: str
    limit: float
    start_time: float
    end_time: float


@dataclass(frozen=True, eq=False)
class IntegratedTrajectory:
    """A trajectory integrated from velocities, and where its joints stopped at their limits, joint by joint."""

    trajectory: JointTrajectory
    limit_stops: tuple[LimitStop, ...]

    def describe_stops(self) -> str:
        """The stops in a sentence for an operator, empty where there are none."""
        return "; ".join(
            f"{s.joint_name} stops at {s.limit:.4g} from {s.start_time:.2f} s on" for s in self.limit_stops
        )


def integrate_velocities(
    robot: Robot, q0: ArrayLike, joint_names: Sequence[str], velocities: ArrayLike, times: ArrayLike
) -> IntegratedTrajectory:
    """The trajectory that joint velocities (T, J') in any joint order lead to from ``q0`` (J,) at ``times[0]``.

    Velocities are rad/s (m/s for prismatic joints), linear between samples, so positions follow the trapezoidal rule.
    A joint that reaches a position limit stops there until its velocity points back; the result reports each stop.
    Raises TrajectoryError naming the joint when ``q0`` lies outside its limits or a velocity exceeds its limit, and
    JointStateError when a joint of the robot has no velocity or one that is not finite.
    """
    moments = checked_times(times)
    start = checked_samples("q0", q0, (len(robot.joint_names),))
    shape = (len(moments), len(joint_names))
    rates = robot.order_positions(joint_names, checked_samples("velocities", velocities, shape))  # (T, J)
    _check_start(robot, start)
    _check_velocity_limits(robot, moments, rates)
    positions, side = _integrate(robot, start, rates, moments)
    trajectory = JointTrajectory(robot.joint_names, moments, positions)
    return IntegratedTrajectory(trajectory, tuple(_limit_stops(robot, moments, side)))


def _check_start(robot: Robot, q0: Array) -> None:
    for name, value, lower, upper in zip(robot.joint_names, q0, robot.lower, robot.upper, strict=True):
        if not lower <= value <= upper:
            raise TrajectoryError(f"joint {name!r} starts at {value}, outside its limits [{lower}, {upper}]")


def _check_velocity_limits(robot: Robot, times: Array, rates: Array) -> None:
    above = np.abs(rates) > robot.velocity_limits * (1.0 + _VELOCITY_ROUNDING)
    if above.any():
        t, j = np.argwhere(above)[0]
        raise TrajectoryError(
            f"joint {robot.joint_names[j]!r} is asked for velocity {rates[t, j]} at {times[t]} s; "
            f"its limit is ±{robot.velocity_limits[j]}"
        )


def _integrate(robot: Robot, q0: Array, rates: Array, times: Array) -> tuple[Array, NDArray[np.int8]]:
    """Positions (T, J), and (T, J) the side of the limit that stopped each joint: -1 lower, 1 upper, 0 free."""
    positions = np.empty_like(rates)
    side = np.zeros(rates.shape, np.int8)
    positions[0] = q0
    for t in range(1, len(times)):
        step = 0.5 * (rates[t - 1] + rates[t]) * (times[t] - times[t - 1])
        free = positions[t - 1] + step
        positions[t] = np.clip(free, robot.lower, robot.upper)
        side[t] = np.sign(free - positions[t]).astype(np.int8)
    return positions, side


def _limit_stops(robot: Robot, times: Array, side: NDArray[np.int8]) -> list[LimitStop]:
    stops = []
    for j, name in enumerate(robot.joint_names):
        changes = np.flatnonzero(np.diff(side[:, j])) + 1
        bounds = [0, *changes.tolist(), len(times)]
        for first, end in itertools.pairwise(bounds):
            if side[first, j] != 0:
                limit = robot.upper[j] if side[first, j] > 0 else robot.lower[j]
                stops.append(LimitStop(name, float(limit), float(times[first]), float(times[end - 1])))
    return stops
