"""Whole-robot trajectories out of parts: plans of some joints, plans in several pieces, commanded velocities."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.errors import TrajectoryError
from k4d_kinematics.integration import IntegratedTrajectory, integrate_velocities
from k4d_kinematics.robot import Robot
from k4d_kinematics.trajectory import JointTrajectory


def complete(trajectory: JointTrajectory, robot: Robot, positions: ArrayLike) -> JointTrajectory:
    """The trajectory of all the robot's joints in its order; those it does not name keep ``positions`` (J,).

    An arm's plan does not name its gripper. Raises TrajectoryError when it names no joint of the robot at all.
    """
    q = robot.check_positions(positions)
    planned = [name for name in robot.joint_names if name in trajectory.joint_names]
    if not planned:
        raise TrajectoryError(
            f"a plan must name joints of the robot ({', '.join(robot.joint_names)}), got {list(trajectory.joint_names)}"
        )
    held = [name for name in robot.joint_names if name not in planned]
    whole = trajectory.reorder(planned)
    if held:
        whole = whole.with_held_joints(held, [q[robot.joint_names.index(name)] for name in held])
    return whole.reorder(robot.joint_names)


def concatenate(parts: Sequence[JointTrajectory]) -> JointTrajectory:
    """One trajectory that runs through ``parts`` of the same joints, each starting when the one before it ends.

    The first point of a part coincides with the last of the one before and is left out. Raises TrajectoryError when
    there are none, and JointStateError when a part lacks a joint of the first. Velocities are kept where all have them.
    """
    if not parts:
        raise TrajectoryError("a plan must hold at least one trajectory, got none")
    names = parts[0].joint_names
    first, *others = (part.reorder(names) for part in parts)
    later = [part for part in others if len(part) > 1]
    times = [first.times]
    for part in later:
        times.append(part.times[1:] - part.times[0] + times[-1][-1])
    positions = np.concatenate([first.positions, *(part.positions[1:] for part in later)])
    if first.velocities is None or any(part.velocities is None for part in later):
        return JointTrajectory(names, np.concatenate(times), positions)
    velocities = [part.velocities[1:] for part in later if part.velocities is not None]
    return JointTrajectory(names, np.concatenate(times), positions, np.concatenate([first.velocities, *velocities]))


def hold_velocities(
    robot: Robot, positions: ArrayLike, names: Sequence[str], velocities: ArrayLike, *, horizon: float, count: int
) -> IntegratedTrajectory:
    """Where constant joint ``velocities`` (J',) lead from ``positions`` (J,) within ``horizon`` s, at ``count`` times.

    Joints that are not named stand still. Raises TrajectoryError on lengths that differ, unknown names, velocities
    above the robot's limits, or a start outside its limits.
    """
    rates = np.asarray(velocities, np.float64)
    if rates.shape != (len(names),):
        raise TrajectoryError(f"expected {len(names)} velocities, one a name, got shape {rates.shape}")
    unknown = sorted(set(names) - set(robot.joint_names))
    if unknown:
        raise TrajectoryError(f"velocities name {unknown}; valid are {list(robot.joint_names)}")
    still = [name for name in robot.joint_names if name not in names]
    constant = np.tile(np.concatenate([rates, np.zeros(len(still))]), (count, 1))  # (T, J)
    times = np.linspace(0.0, horizon, count)
    return integrate_velocities(robot, positions, [*names, *still], constant, times)


def sampled_from(times: ArrayLike, knots: ArrayLike, marked: ArrayLike) -> NDArray[np.bool_]:
    """Which of ``times`` (T',) within the range of ``knots`` (T,) are a ``marked`` knot or lie next to one."""
    moments, known = np.asarray(times, np.float64), np.asarray(knots, np.float64)
    is_marked = np.isin(known, np.asarray(marked, np.float64))
    before = np.searchsorted(known, moments, side="right") - 1
    after = np.minimum(np.searchsorted(known, moments, side="left"), len(known) - 1)
    return np.asarray(is_marked[before] | is_marked[after])
