"""MoveIt in this process, by its Python bindings."""

from copy import copy
from pathlib import Path
from typing import Any

from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics import se3
from k4d_kinematics.checked_ik import CheckedIk
from k4d_kinematics.errors import KinematicsBackendError, ModelMismatchError, PlanningError, ToolPathError
from k4d_kinematics.motion_timing import MotionTiming
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.moveit_messages import moveit_module, outcome, pose_message, tool_goal
from k4d_kinematics.ros.moveit_planner import MoveItSettings, checked_group_joints
from k4d_kinematics.tool_line import ToolLine
from k4d_kinematics.tool_path_planning import plan_tool_line
from k4d_kinematics.trajectory import JointTrajectory

_NODE = "k4d_moveit"


class MoveItPython:
    """One planning group through moveit_py; see MoveIt.

    A call holds Python's lock as long as MoveIt works, up to the planning time: other threads of the process stand
    still, a node in it too. Where that hurts, move_group's services are the better way.
    """

    def __init__(self, robot: Robot, settings: MoveItSettings, configuration: Path) -> None:
        """Starts MoveIt with the ROS parameter file ``configuration``, which must address any node or k4d_moveit.

        Raises KinematicsBackendError where moveit_py is missing, does not start, or knows another group or robot.
        """
        planning, states = moveit_module("moveit.planning"), moveit_module("moveit.core.robot_state")
        if not configuration.is_file():
            raise KinematicsBackendError(f"MoveIt's configuration must be a ROS parameter file, got {configuration}")
        try:
            # Its own planning scene service would stand beside move_group's of the same name.
            self._moveit: Any = planning.MoveItPy(
                node_name=_NODE, launch_params_filepaths=[str(configuration)], provide_planning_service=False
            )
        except RuntimeError as error:
            raise KinematicsBackendError(f"MoveIt does not start with {configuration}: {error}") from error
        self._planning = planning
        self._robot, self._settings = robot, settings
        model = self._moveit.get_robot_model()
        if not model.has_joint_model_group(settings.group):
            raise KinematicsBackendError(
                f"MoveIt has no planning group {settings.group!r}; valid are {', '.join(model.joint_model_group_names)}"
            )
        group = model.get_joint_model_group(settings.group)
        self._group_joints = checked_group_joints(robot, settings.group, group.active_joint_model_names)
        self._model, self._component = model, self._moveit.get_planning_component(settings.group)
        known = states.RobotState(model).joint_positions
        lacking = [name for name in robot.joint_names if name not in known]
        if lacking:
            raise ModelMismatchError(f"MoveIt's model lacks joints {', '.join(lacking)}; it has {', '.join(known)}")
        middle = 0.5 * (robot.lower.clip(-1.0, 1.0) + robot.upper.clip(-1.0, 1.0))
        self._T_model_base = self._T_model_link(self._state(middle), robot.link_names[0])
        solver = CheckedIk(robot, settings.tip, self.propose_ik, settings.ik)
        self._solver, planned = solver, settings.planning
        self._timing = MotionTiming(robot, planned.velocity_scale, planned.rate_hz, planned.max_duration)

    @property
    def group_joints(self) -> tuple[str, ...]:
        """The joints that the group moves."""
        return self._group_joints

    def propose_ik(self, T_base_tool: se3.Array, q_prev: se3.Array) -> se3.Array | None:
        """Joint positions (J,) from ``q_prev`` by the group's kinematics plug-in; it checks no collisions."""
        state = self._state(q_prev)
        pose = pose_message(self._T_model_base @ T_base_tool)
        s = self._settings
        if not state.set_from_ik(s.group, pose, s.tip, s.ik_timeout):
            return None
        return self._positions(state)

    def link_poses(self, q: se3.Array) -> dict[str, se3.Array]:
        """``T_base_link`` (4, 4) of the robot's links. Raises ModelMismatchError where MoveIt lacks one."""
        state, T_base_model = self._state(q), se3.inverse(self._T_model_base)
        return {name: T_base_model @ self._T_model_link(state, name) for name in self._robot.link_names}

    def goal_of(self, T_base_tool: se3.Array) -> Any:
        """moveit_msgs/Constraints of a tool pose."""
        s = self._settings
        return tool_goal(self._model.model_frame, s.tip, self._T_model_base @ T_base_tool, s.ik)

    def plan(self, start: se3.Array, goal: Any) -> JointTrajectoryMessage:
        """The group's motion from ``start`` to moveit_msgs/Constraints. Raises PlanningError with MoveIt's reason."""
        s = self._settings
        parameters = self._planning.PlanRequestParameters(self._moveit, "")
        parameters.planning_pipeline, parameters.planning_time = s.pipeline, s.planning_time
        parameters.planning_attempts = 1
        parameters.max_velocity_scaling_factor = s.planning.velocity_scale
        parameters.max_acceleration_scaling_factor = s.planning.velocity_scale
        self._component.set_start_state(robot_state=self._state(start))
        self._component.set_goal_state(motion_plan_constraints=[goal])
        response = self._component.plan(single_plan_parameters=parameters)
        if not response:
            raise PlanningError(f"MoveIt has no plan to the goal: {outcome(response.error_code)}")
        return response.trajectory.get_robot_trajectory_msg().joint_trajectory

    def plan_tool_path(self, start: se3.Array, line: ToolLine) -> JointTrajectory:
        """The motion with the tool along ``line``, by MoveIt's inverse kinematics at each sample.

        Raises ToolPathError where a sample is not reached or collides with what MoveIt knows.
        """
        path = plan_tool_line(self._solver, self._settings.ik, self._timing, line, start)
        group = self._settings.group
        with self._moveit.get_planning_scene_monitor().read_only() as scene:
            for frame, q in enumerate(path.positions):
                if scene.is_state_colliding(robot_state=self._state_in(scene, q), joint_model_group_name=group):
                    fraction = max(frame - 1, 0) / (len(path) - 1)
                    raise ToolPathError(
                        f"the tool path collides after {fraction:.0%} of its time, at {q.tolist()}", fraction=fraction
                    )
        return path

    def close(self) -> None:
        """Ends MoveIt's node."""
        self._component = None
        self._moveit.shutdown()

    def _state(self, q: se3.Array) -> Any:
        with self._moveit.get_planning_scene_monitor().read_only() as scene:
            return self._state_in(scene, q)

    def _state_in(self, scene: Any, q: se3.Array) -> Any:
        """A RobotState at joint positions (J,) with all that the scene has attached to the robot.

        Up to date: a stale one gives old poses in silence.
        """
        state = copy(scene.current_state)
        state.joint_positions = dict(zip(self._robot.joint_names, q.tolist(), strict=True))
        state.update()
        return state

    def _positions(self, state: Any) -> se3.Array:
        positions = state.joint_positions
        return self._robot.order_positions(list(positions), list(positions.values()))

    def _T_model_link(self, state: Any, link: str) -> se3.Array:
        try:
            return se3.check_transform(state.get_global_link_transform(link), "T_model_link")
        except RuntimeError as error:
            raise ModelMismatchError(f"MoveIt's model lacks link {link!r}: {error}") from error
