"""Commanded joint trajectories, checked and joined to where the robot is being led."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicHermiteSpline

from k4d_kinematics import JointTrajectory, Robot, complete
from k4d_simulation.errors import CommandError

Array = NDArray[np.float64]

_SECOND_NS = 1_000_000_000
# Radians or metres by which a curve that touches a limit may leave it in the last bits.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Course:
    """Where the J joints of a robot are led: a trajectory whose times count from ``start_ns``; its ends are held."""

    trajectory: JointTrajectory
    start_ns: int

    @classmethod
    def hold(cls, robot: Robot, positions: ArrayLike, start_ns: int) -> Course:
        """A course that stays at ``positions`` (J,)."""
        return cls(JointTrajectory(robot.joint_names, np.zeros(1), np.array([positions], np.float64)), start_ns)

    def at(self, stamps_ns: ArrayLike) -> Array:
        """Positions (n, J) at increasing ``stamps_ns`` (n,)."""
        times = (np.asarray(stamps_ns, np.int64) - self.start_ns) / _SECOND_NS  # (n,)
        known = self.trajectory
        positions = np.where((times < known.times[0])[:, None], known.positions[0], known.positions[-1])  # (n, J)
        inside = (times >= known.times[0]) & (times <= known.times[-1])
        if inside.any():
            positions[inside] = known.resample(times[inside]).positions
        return np.asarray(positions)


def follow(command: JointTrajectory, start_ns: int, robot: Robot, here: Array, now_ns: int) -> Course:
    """The course that a command asks of a robot that is led to ``here`` (J,) at ``now_ns``.

    This is what joint_trajectory_controller's topic does: times of ``command`` count from ``start_ns``; until its first
    point the robot is led there from ``here``; points that are past are left out. Joints that it does not name stay.
    Raises CommandError when it names no joints or others than the robot's, leaves their limits at or between its
    points, or is over at ``now_ns``.
    """
    _check_joints(command, robot)
    elapsed = (now_ns - start_ns) / _SECOND_NS
    if command.times[-1] < elapsed:
        raise CommandError(
            f"a trajectory must end in the future, got one that ended {elapsed - command.times[-1]:.3f} s ago"
        )
    whole = complete(command, robot, here)
    if whole.times[0] > elapsed:
        whole = _with_lead(whole, elapsed, here)
    _check_curves(whole, robot)
    return Course(whole, start_ns)


def _check_joints(command: JointTrajectory, robot: Robot) -> None:
    if not command.joint_names:
        raise CommandError(f"a trajectory must name joints; valid are {', '.join(robot.joint_names)}")
    unknown = [name for name in command.joint_names if name not in robot.joint_names]
    if unknown:
        raise CommandError(f"unknown joints {', '.join(unknown)}; valid are {', '.join(robot.joint_names)}")
    for column, name in enumerate(command.joint_names):
        joint = robot.joint_names.index(name)
        lower, upper = robot.lower[joint], robot.upper[joint]
        values = command.positions[:, column]
        outside = (values < lower) | (values > upper)
        if outside.any():
            point = int(np.argmax(outside))
            raise CommandError(
                f"{name} must stay within [{lower:g}, {upper:g}], got {values[point]:g} at point {point}"
            )


def _check_curves(whole: JointTrajectory, robot: Robot) -> None:
    """Cubic curves through points with velocities may swing beyond them."""
    if whole.velocities is None or len(whole) == 1:
        return
    for joint, name in enumerate(whole.joint_names):
        curve = CubicHermiteSpline(whole.times, whole.positions[:, joint], whole.velocities[:, joint])
        turns = curve.derivative().roots(extrapolate=False)
        times = turns[np.isfinite(turns)]  # NaN stands for an interval without motion
        lower, upper = robot.lower[joint], robot.upper[joint]
        values = curve(times)
        outside = (values < lower - _ROUNDING) | (values > upper + _ROUNDING)
        if outside.any():
            turn = int(np.argmax(outside))
            raise CommandError(
                f"{name} must stay within [{lower:g}, {upper:g}], got velocities that lead it to {values[turn]:g} "
                f"{times[turn]:.3f} s after the start"
            )


def _with_lead(whole: JointTrajectory, time: float, positions: Array) -> JointTrajectory:
    """The trajectory with ``positions`` (J,) at ``time`` before its first point, at rest where it knows velocities."""
    velocities = whole.velocities
    return JointTrajectory(
        whole.joint_names,
        np.concatenate([[time], whole.times]),
        np.vstack([positions, whole.positions]),
        None if velocities is None else np.vstack([np.zeros_like(positions), velocities]),
    )
