"""IkSolver and Planner over MoveIt; what MoveIt does not check is checked here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics import se3
from k4d_kinematics.checked_ik import CheckedIk
from k4d_kinematics.composition import complete
from k4d_kinematics.errors import (
    ConfigurationError,
    InverseKinematicsError,
    JointStateError,
    KinematicsBackendError,
    PlanningError,
    TrajectoryError,
)
from k4d_kinematics.ik import IkSettings
from k4d_kinematics.ik_inputs import checked_poses
from k4d_kinematics.joint_agreement import SAME_WAYPOINT
from k4d_kinematics.motion_timing import checked_positions
from k4d_kinematics.planning import JointGoal, PlanningSettings, ToolGoal
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import trajectory_from_message
from k4d_kinematics.ros.moveit_messages import joint_goal
from k4d_kinematics.tool_line import ToolLine
from k4d_kinematics.trajectory import JointTrajectory


@dataclass(frozen=True)
class MoveItSettings:
    """What MoveIt is asked for.

    group: planning group of the arm, as the SRDF names it. tip: the tool link.
    pipeline: planning pipeline, as MoveIt's configuration names it.
    planning_time: seconds that a plan may be searched; ik_timeout: seconds that one pose may be searched.
    timeout: seconds that move_group may take to be there, and to answer beyond the time of the search.
    planning and ik: speeds and tolerances, as for the embedded planner. The scale of velocities is that of
    accelerations as well. Raises ConfigurationError on values out of range.
    """

    group: str
    tip: str
    pipeline: str = "ompl"
    planning_time: float = 5.0
    ik_timeout: float = 0.05
    timeout: float = 10.0
    planning: PlanningSettings = field(default_factory=PlanningSettings)
    ik: IkSettings = field(default_factory=IkSettings)

    def __post_init__(self) -> None:
        for name in ("group", "tip", "pipeline"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name} must not be empty")
        for name in ("planning_time", "ik_timeout", "timeout"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} must be finite and > 0, got {value}")


class MoveIt(Protocol):
    """One planning group of a running MoveIt: moveit_py in this process, or move_group's services.

    Joint positions are those of the whole robot (J,). Every method blocks until MoveIt has answered, so none may be
    called in a callback of a node that must stay responsive, but in a thread of its own.
    """

    @property
    def group_joints(self) -> tuple[str, ...]:
        """The joints that the group moves."""
        ...

    def propose_ik(self, T_base_tool: se3.Array, q_prev: se3.Array) -> se3.Array | None:
        """Joint positions (J,) that MoveIt finds from ``q_prev`` for a tool pose (4, 4), None where it finds none."""
        ...

    def link_poses(self, q: se3.Array) -> dict[str, se3.Array]:
        """``T_base_link`` (4, 4) of the robot's links by name. Raises ModelMismatchError where MoveIt lacks one."""
        ...

    def plan(self, start: se3.Array, goal: Any) -> JointTrajectoryMessage:
        """The group's motion from ``start`` to a goal of moveit_msgs/Constraints. Raises PlanningError."""
        ...

    def plan_tool_path(self, start: se3.Array, line: ToolLine) -> JointTrajectory:
        """The whole robot's motion with the tool along ``line``. Raises PlanningError, ToolPathError for a part."""
        ...

    def goal_of(self, T_base_tool: se3.Array) -> Any:
        """moveit_msgs/Constraints of a tool pose."""
        ...

    def close(self) -> None:
        """Ends what was started."""
        ...


class MoveItPlanner:
    """A Planner over MoveIt: joint and tool goals by its planning pipeline, within its collision checks.

    Plans keep MoveIt's own points and timing. ``plan`` and ``plan_tool_path`` block, see MoveIt.
    """

    def __init__(self, robot: Robot, moveit: MoveIt, solver: CheckedIk, settings: MoveItSettings) -> None:
        self.settings = settings
        self._robot, self._moveit, self._solver = robot, moveit, solver

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The robot's J joints in the order of starts, goals and planned trajectories."""
        return self._robot.joint_names

    def plan(self, q_start: ArrayLike, goal: JointGoal | ToolGoal) -> JointTrajectory:
        """A trajectory from ``q_start`` (J,) to the goal, free of collisions that MoveIt knows of.

        Raises PlanningError naming joint, value and limits, MoveIt's own reason, or how far off its plan ends.
        """
        start = checked_positions(self._robot, "start", q_start)
        if isinstance(goal, JointGoal):
            end = checked_positions(self._robot, "goal", goal.positions)
            trajectory = self._moveit.plan(start, self._joint_goal(start, end))
            planned = whole_trajectory(self._robot, trajectory, start)
            self._check_end(float(np.abs(planned.positions[-1] - end).max()), SAME_WAYPOINT, "rad or m")
            return planned
        T = self._checked_goal(goal.T_base_tool)
        planned = whole_trajectory(self._robot, self._moveit.plan(start, self._moveit.goal_of(T)), start)
        T_end = self._solver.tool_pose(planned.positions[-1])
        self._check_end(float(np.linalg.norm(T_end[:3, 3] - T[:3, 3])), self.settings.ik.position_tolerance, "m")
        angle = float(se3.rotation_angle(se3.inverse(T_end) @ T))
        self._check_end(angle, self.settings.ik.rotation_tolerance, "rad")
        return planned

    def plan_tool_path(self, q_start: ArrayLike, T_base_tool: ArrayLike) -> JointTrajectory:
        """A trajectory whose tool moves on straight lines from its pose at ``q_start`` through poses (N, 4, 4).

        The tool is no faster than the settings say. Raises ToolPathError with the fraction where a part of the path is
        not reached or collides, and PlanningError on wrong input.
        """
        start = checked_positions(self._robot, "start", q_start)
        planning = self.settings.planning
        line = ToolLine.through(
            self._solver.tool_pose(start), T_base_tool, planning.tool_speed, planning.tool_rotation_speed
        )
        return self._moveit.plan_tool_path(start, line)

    def _joint_goal(self, start: se3.Array, end: se3.Array) -> Any:
        index = {name: k for k, name in enumerate(self.joint_names)}
        group = self._moveit.group_joints
        outside = [name for name, k in index.items() if name not in group and start[k] != end[k]]
        if outside:
            raise PlanningError(
                f"goal: {', '.join(outside)} must keep the start's positions, planning group {self.settings.group!r} "
                f"moves {', '.join(group)}"
            )
        return joint_goal(group, end[[index[name] for name in group]])

    def _checked_goal(self, T_base_tool: ArrayLike) -> se3.Array:
        try:
            return checked_poses(T_base_tool, stacked=False)
        except InverseKinematicsError as error:
            raise PlanningError(f"goal: {error}") from error

    def _check_end(self, distance: float, tolerance: float, unit: str) -> None:
        if not distance <= tolerance:
            raise PlanningError(f"MoveIt's plan ends {distance:.3g} {unit} off its goal, valid is {tolerance} {unit}")


def whole_trajectory(robot: Robot, message: JointTrajectoryMessage, start: se3.Array) -> JointTrajectory:
    """A group's motion as one of the whole robot; the other joints keep ``start`` (J,).

    A plan to where the robot is may have one point or none: the robot rests. Raises PlanningError where MoveIt's
    trajectory is malformed or starts elsewhere.
    """
    if not message.points:
        return JointTrajectory(robot.joint_names, np.zeros(1), start[None])
    try:
        planned = complete(trajectory_from_message(message), robot, start)
    except (TrajectoryError, JointStateError) as error:
        raise PlanningError(f"MoveIt's plan is not usable: {error}") from error
    away = float(np.abs(planned.positions[0] - start).max())
    if away > SAME_WAYPOINT:
        raise PlanningError(f"MoveIt's plan starts {away:.3g} rad or m off, valid is {SAME_WAYPOINT}")
    return planned


def checked_group_joints(robot: Robot, group: str, joints: Sequence[str]) -> tuple[str, ...]:
    """The joints of a planning group. Raises KinematicsBackendError where the robot lacks one, or there are none."""
    unknown = [name for name in joints if name not in robot.joint_names]
    if unknown or not joints:
        raise KinematicsBackendError(
            f"planning group {group!r} moves {', '.join(joints) or 'no joint'}; valid are joints of the robot: "
            f"{', '.join(robot.joint_names)}"
        )
    return tuple(joints)
