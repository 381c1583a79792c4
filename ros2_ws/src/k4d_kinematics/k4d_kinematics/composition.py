"""Whole-robot trajectories out of parts: plans of some joints, plans in several pieces, commanded velocities."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.errors import TrajectoryError
from k4d_kinematics.integration import IntegratedTrajectory, integrate_velocities
from k4d_kinematics.joint_agreement import SAME_STANCE, SAME_WAYPOINT
from k4d_kinematics.robot import Robot
from k4d_kinematics.trajectory import JointTrajectory

Array = NDArray[np.float64]


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


def concatenate(parts: Sequence[JointTrajectory], robot: Robot, positions: ArrayLike) -> JointTrajectory:
    """One trajectory of all the robot's joints that runs through ``parts``, each starting when the one before it ends.

    A joint that a part does not name stays where the parts before left it, until the first part that names it where
    that part begins; one that no part names keeps ``positions`` (J,). The first point of a part, which coincides with
    the end of the one before, is left out. Velocities are kept where all parts have them. Raises TrajectoryError when
    there are no parts, when one names no joint of the robot, and when one does not begin where the one before ended.
    """
    if not parts:
        raise TrajectoryError("a plan must hold at least one trajectory, got none")
    q = _first_positions(parts, robot, robot.check_positions(positions))
    pieces: list[JointTrajectory] = []
    for index, part in enumerate(parts):
        piece = complete(part, robot, q)
        _check_start(piece, q, index, SAME_WAYPOINT)
        q = piece.positions[-1]
        if index == 0 or len(piece) > 1:
            pieces.append(piece)
    first, *later = pieces
    times = [first.times]
    for piece in later:
        times.append(piece.times[1:] - piece.times[0] + times[-1][-1])
    samples = np.concatenate([first.positions, *(piece.positions[1:] for piece in later)])
    if first.velocities is None or any(piece.velocities is None for piece in later):
        return JointTrajectory(robot.joint_names, np.concatenate(times), samples)
    velocities = [piece.velocities[1:] for piece in later if piece.velocities is not None]
    rates = np.concatenate([first.velocities, *velocities])
    return JointTrajectory(robot.joint_names, np.concatenate(times), samples, rates)


def _first_positions(parts: Sequence[JointTrajectory], robot: Robot, positions: Array) -> Array:
    """Where each joint (J,) is when the first part begins; what is measured may be off by SAME_STANCE."""
    q, named = positions.copy(), set[str]()
    for index, part in enumerate(parts):
        new = [name for name in robot.joint_names if name in part.joint_names and name not in named]
        if new:
            piece = complete(part.reorder(new), robot, q)
            if index:
                _check_start(piece, q, index, SAME_STANCE)
            q = piece.positions[0]
            named.update(new)
    return q


def _check_start(piece: JointTrajectory, q: Array, index: int, tolerance: float) -> None:
    gaps = np.abs(piece.positions[0] - q)
    joint = int(np.argmax(gaps))
    if gaps[joint] > tolerance:
        raise TrajectoryError(
            f"part {index + 1} of a plan must begin where the robot is then: {piece.joint_names[joint]} begins at "
            f"{piece.positions[0, joint]:.6g} and is at {q[joint]:.6g}; at most {tolerance:g} (rad, m) apart is valid"
        )


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
