"""Timed joint trajectories from a start to a goal: the seam for planners, and the embedded interpolation planner."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.errors import ConfigurationError, InverseKinematicsError, PlanningError
from k4d_kinematics.ik import DampedLeastSquaresIk, IkSettings
from k4d_kinematics.motion_timing import PEAK_SPEED, MotionTiming, checked_positions, quintic
from k4d_kinematics.robot import Robot
from k4d_kinematics.tool_line import ToolLine
from k4d_kinematics.tool_path_planning import plan_tool_line
from k4d_kinematics.trajectory import JointTrajectory

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class JointGoal:
    """Joint positions (J,) of the whole robot to end at, in the planner's joint order."""

    positions: Array


@dataclass(frozen=True, eq=False)
class ToolGoal:
    """A tool pose ``T_base_tool`` (4, 4) to end at."""

    T_base_tool: Array


class Planner(Protocol):
    """Plans from rest to rest for one tool or planning group; MoveIt's fits as well as the embedded one.

    Joint positions are those of the whole robot (J,); joints outside the planner's group must not differ between start
    and goal, or are moved along, as the planner can. A failed plan always raises; there are no partial plans.
    """

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The J joints in the order of starts, goals and planned trajectories."""
        ...

    def plan(self, q_start: Array, goal: JointGoal | ToolGoal) -> JointTrajectory:
        """A timed trajectory from ``q_start`` (J,) to the goal. Raises PlanningError saying what cannot be done."""
        ...

    def plan_tool_path(self, q_start: Array, T_base_tool: Array) -> JointTrajectory:
        """A timed trajectory that leads the tool on straight lines from where it is through the poses (N, 4, 4).

        Raises PlanningError when any part of the path cannot be followed.
        """
        ...


@dataclass(frozen=True)
class PlanningSettings:
    """How fast plans are, and how far a goal is searched.

    velocity_scale: in (0, 1], part of the robot's velocity limits that is used.
    rate_hz: samples of a plan per second.
    tool_speed (m/s) and tool_rotation_speed (rad/s): largest speeds of the tool on a tool path.
    max_duration: longest plan in seconds; a tool path near a singularity may ask for more.
    goal_attempts: random seeds, drawn from ``seed``, tried for a tool goal that is not reached from the start.
    Raises ConfigurationError on values out of range.
    """

    velocity_scale: float = 0.5
    rate_hz: float = 30.0
    tool_speed: float = 0.25
    tool_rotation_speed: float = 1.0
    max_duration: float = 120.0
    goal_attempts: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("velocity_scale", "rate_hz", "tool_speed", "tool_rotation_speed", "max_duration"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} must be finite and > 0, got {value}")
        if self.velocity_scale > 1.0:
            raise ConfigurationError(f"velocity_scale must be in (0, 1], got {self.velocity_scale}")
        if self.goal_attempts < 0 or self.seed < 0:
            raise ConfigurationError(f"goal_attempts and seed must be >= 0, got {self.goal_attempts}, {self.seed}")


class InterpolationPlanner:
    """Embedded planner: synchronised quintic motion in joint space, and straight lines of the tool.

    It knows joint position and velocity limits of the URDF, no collisions.
    """

    def __init__(
        self,
        robot: Robot,
        tip: str,
        base: str | None = None,
        settings: PlanningSettings | None = None,
        ik_settings: IkSettings | None = None,
    ) -> None:
        """For the tool link ``tip`` with poses relative to ``base`` (the root link unless given).

        Raises RobotModelError when there is no such chain.
        """
        self.settings = settings or PlanningSettings()
        self._robot = robot
        self._path_solver = DampedLeastSquaresIk(robot, tip, base, ik_settings)
        goal_settings = replace(self._path_solver.settings, max_jump=np.inf, max_slide=np.inf)
        self._goal_solver = DampedLeastSquaresIk(robot, tip, base, goal_settings)
        self._timing = MotionTiming(
            robot, self.settings.velocity_scale, self.settings.rate_hz, self.settings.max_duration
        )

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The robot's J joints in the order of starts, goals and planned trajectories."""
        return self._robot.joint_names

    def plan(self, q_start: ArrayLike, goal: JointGoal | ToolGoal) -> JointTrajectory:
        """A trajectory from ``q_start`` (J,) to the goal, from rest to rest, all joints arriving together.

        Positions follow a quintic in time whose peak speed is the slowest joint's scaled limit; continuous joints turn
        the short way, so they may end whole turns from the goal's number. Velocities are part of the trajectory.
        Raises PlanningError naming joint, value and limits, or the residual of a tool goal that is not reached.
        """
        start = checked_positions(self._robot, "start", q_start)
        if isinstance(goal, JointGoal):
            end = checked_positions(self._robot, "goal", goal.positions)
        else:
            end = self._reach(start, goal.T_base_tool)
        motion = self._shortest_motion(start, end)
        times = self._timing.sample_times(PEAK_SPEED * self._timing.traverse_time(motion))
        s, speed = quintic(times / times[-1])
        velocities = speed[:, None] * motion / times[-1]
        return JointTrajectory(self.joint_names, times, start + s[:, None] * motion, velocities)

    def plan_tool_path(self, q_start: ArrayLike, T_base_tool: ArrayLike) -> JointTrajectory:
        """A trajectory whose tool moves on straight lines from its pose at ``q_start`` through poses (N, 4, 4).

        It starts and ends at rest, passes the poses between without stopping, and slows down as a whole until neither
        the tool's speeds nor the joints' scaled velocity limits are exceeded. Every sample lies on the path within the
        solver's tolerances. Raises PlanningError when a part is not reached, or would take over ``max_duration``.
        """
        start = checked_positions(self._robot, "start", q_start)
        line = ToolLine.through(
            self._path_solver.tool_pose(start), T_base_tool, self.settings.tool_speed, self.settings.tool_rotation_speed
        )
        return plan_tool_line(self._path_solver, self._path_solver.settings, self._timing, line, start)

    def _reach(self, start: Array, T_base_tool: ArrayLike) -> Array:
        """Joint positions (J,) at a tool goal: from the start if it leads there, else the quickest of random seeds'."""
        try:
            return self._goal_solver.solve(T_base_tool, start)
        except InverseKinematicsError as error:
            if error.reason == "invalid_input":
                raise PlanningError(f"goal: {error}") from error
            reached = self._reach_from_random_seeds(start, np.asarray(T_base_tool, np.float64))
            if not reached:
                raise PlanningError(f"goal, after {self.settings.goal_attempts} more attempts: {error}") from error
        return min(reached, key=lambda q: self._timing.traverse_time(self._shortest_motion(start, q)))

    def _reach_from_random_seeds(self, start: Array, T_base_tool: Array) -> list[Array]:
        generator = np.random.default_rng(self.settings.seed)
        indices = self._goal_solver.chain.joint_indices
        lower = np.where(np.isfinite(self._robot.lower), self._robot.lower, start - np.pi)[indices]
        upper = np.where(np.isfinite(self._robot.upper), self._robot.upper, start + np.pi)[indices]
        reached = []
        for _ in range(self.settings.goal_attempts):
            q_seed = start.copy()
            q_seed[indices] = generator.uniform(lower, upper)
            try:
                reached.append(self._goal_solver.solve(T_base_tool, q_seed))
            except InverseKinematicsError:
                continue
        return reached

    def _shortest_motion(self, start: Array, end: Array) -> Array:
        motion = end - start
        endless = self._robot.is_revolute & np.isinf(self._robot.lower) & np.isinf(self._robot.upper)
        return np.where(endless, np.arctan2(np.sin(motion), np.cos(motion)), motion)
