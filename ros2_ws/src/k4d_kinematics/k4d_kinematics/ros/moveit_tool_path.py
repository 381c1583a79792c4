"""move_group's Cartesian paths, held to the promises of a Planner: whole, without jumps, no faster than asked."""

from dataclasses import replace

import numpy as np
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics import se3
from k4d_kinematics.errors import PlanningError, ToolPathError
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.moveit_planner import MoveItSettings, whole_trajectory
from k4d_kinematics.tool_line import ToolLine
from k4d_kinematics.trajectory import JointTrajectory

# A followed path's fraction is a quotient of whole numbers, or 1.
_WHOLE = 1.0 - 1e-6
# MoveIt's own precision of Cartesian paths, in metres and radians; its timing rounds corners by more.
_END_DISTANCE, _END_ANGLE = 1e-3, 1e-2


def checked_tool_path(
    robot: Robot,
    settings: MoveItSettings,
    line: ToolLine,
    message: JointTrajectoryMessage,
    start: se3.Array,
    fraction: float,
) -> JointTrajectory:
    """The whole robot's motion along ``line``, slowed down as a whole to the tool's speeds.

    Raises ToolPathError unless the ``fraction`` of the path is all of it, and PlanningError where it jumps or ends off.
    """
    if not fraction >= _WHOLE:
        raise ToolPathError(
            f"move_group follows {fraction:.1%} of the tool path, valid is all of it; the rest is out of reach or "
            "collides",
            fraction=fraction,
        )
    path = whole_trajectory(robot, message, start)
    steps = np.abs(np.diff(path.positions, axis=0, prepend=start[None]))
    reach = np.where(robot.is_revolute, settings.ik.max_jump, settings.ik.max_slide)
    if (steps > reach).any():
        frame, joint = np.argwhere(steps > reach)[0]
        raise PlanningError(
            f"the tool path jumps: joint {robot.joint_names[joint]!r} steps by {steps[frame, joint]:.3g} at point "
            f"{frame}, valid are {settings.ik.max_jump} rad and {settings.ik.max_slide} m"
        )
    T_base_tool = robot.forward_kinematics(path.positions)[:, robot.link_index(settings.tip)]
    distance, angle = _apart(T_base_tool[-1], line.T_base_tool[-1])
    if not (distance <= _END_DISTANCE and angle <= _END_ANGLE):
        raise PlanningError(
            f"the tool path ends {distance:.3g} m and {angle:.3g} rad off, valid are {_END_DISTANCE} m, "
            f"{_END_ANGLE} rad"
        )
    return _slowed(path, _speed_ratio(settings, path, T_base_tool))


def _speed_ratio(settings: MoveItSettings, path: JointTrajectory, T_base_tool: se3.Array) -> float:
    """The largest part of the tool's speeds that is used between two points."""
    if len(path) < 2:
        return 0.0
    seconds = np.diff(path.times)
    speed = np.linalg.norm(np.diff(T_base_tool[:, :3, 3], axis=0), axis=1) / seconds
    spin = se3.rotation_angle(se3.inverse(T_base_tool[:-1]) @ T_base_tool[1:]) / seconds
    planning = settings.planning
    return float(max((speed / planning.tool_speed).max(), (spin / planning.tool_rotation_speed).max()))


def _slowed(path: JointTrajectory, factor: float) -> JointTrajectory:
    if factor <= 1.0:
        return path
    velocities = None if path.velocities is None else path.velocities / factor
    return replace(path, times=path.times * factor, velocities=velocities)


def _apart(T_a: se3.Array, T_b: se3.Array) -> tuple[float, float]:
    return float(np.linalg.norm(T_a[:3, 3] - T_b[:3, 3])), float(se3.rotation_angle(se3.inverse(T_a) @ T_b))
