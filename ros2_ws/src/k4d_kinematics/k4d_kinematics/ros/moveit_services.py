"""MoveIt in its own process: move_group, by its services."""

import threading
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Duration as DurationMessage
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics import se3
from k4d_kinematics.errors import JointStateError, KinematicsBackendError, ModelMismatchError, PlanningError
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import pose_from_message
from k4d_kinematics.ros.moveit_messages import moveit_module, outcome, pose_message, robot_state, tool_goal
from k4d_kinematics.ros.moveit_planner import MoveItSettings
from k4d_kinematics.ros.moveit_tool_path import checked_tool_path
from k4d_kinematics.tool_line import ToolLine
from k4d_kinematics.trajectory import JointTrajectory

# Metres between the poses that move_group solves on a Cartesian path.
_CARTESIAN_STEP = 0.005


class MoveItServices:
    """One planning group through the services of a move_group; see MoveIt.

    Requests go through a node and an executor of its own, so that it works in any thread, whoever spins the caller's
    node. One request at a time; each raises KinematicsBackendError after its timeout, naming the service.
    """

    def __init__(self, robot: Robot, settings: MoveItSettings, node: Node) -> None:
        """For the move_group in the namespace and context of ``node``. Waits until it is there.

        Raises KinematicsBackendError where moveit_msgs is missing, move_group does not answer, or knows another group.
        """
        self._messages, services = moveit_module("moveit_msgs.msg"), moveit_module("moveit_msgs.srv")
        self._services = services
        self._robot, self._settings = robot, settings
        self._node = rclpy.create_node(
            "k4d_move_group_client", context=node.context, namespace=node.get_namespace(), use_global_arguments=False
        )
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._lock = threading.Lock()
        self._clients = {
            "compute_ik": self._node.create_client(services.GetPositionIK, "compute_ik"),
            "compute_fk": self._node.create_client(services.GetPositionFK, "compute_fk"),
            "plan_kinematic_path": self._node.create_client(services.GetMotionPlan, "plan_kinematic_path"),
            "compute_cartesian_path": self._node.create_client(services.GetCartesianPath, "compute_cartesian_path"),
        }
        self._model_frame, self._T_model_base = "", np.eye(4)
        try:
            middle = 0.5 * (robot.lower.clip(-1.0, 1.0) + robot.upper.clip(-1.0, 1.0))
            self._model_frame, poses = self._model_poses(middle)
            self._T_model_base = poses[robot.link_names[0]]
            # An answer, found or not, shows that the group is known; an unknown one raises.
            self.propose_ik(robot.forward_kinematics(middle)[robot.link_index(settings.tip)], middle)
        except Exception:
            self.close()
            raise

    @property
    def group_joints(self) -> tuple[str, ...]:
        """The joints above the tool: move_group does not tell those of a group."""
        return self._robot.chain(self._settings.tip).joint_names

    def propose_ik(self, T_base_tool: se3.Array, q_prev: se3.Array) -> se3.Array | None:
        """Joint positions (J,) from ``q_prev`` by compute_ik, without collision checks."""
        s = self._settings
        request = self._services.GetPositionIK.Request()
        asked = request.ik_request
        asked.group_name, asked.ik_link_name, asked.avoid_collisions = s.group, s.tip, False
        asked.robot_state = robot_state(self._robot.joint_names, q_prev)
        asked.pose_stamped.header.frame_id = self._model_frame
        asked.pose_stamped.pose = pose_message(self._T_model_base @ T_base_tool)
        asked.timeout = _duration(s.ik_timeout)
        response = self._call("compute_ik", request, s.ik_timeout)
        codes = self._messages.MoveItErrorCodes
        if response.error_code.val == codes.NO_IK_SOLUTION:
            return None
        if response.error_code.val != codes.SUCCESS:
            raise KinematicsBackendError(f"compute_ik of move_group failed: {outcome(response.error_code)}")
        return self._positions(response.solution.joint_state)

    def link_poses(self, q: se3.Array) -> dict[str, se3.Array]:
        """``T_base_link`` (4, 4) of the robot's links by compute_fk. Raises ModelMismatchError where one is unknown."""
        T_base_model = se3.inverse(self._T_model_base)
        return {name: T_base_model @ T_model_link for name, T_model_link in self._model_poses(q)[1].items()}

    def goal_of(self, T_base_tool: se3.Array) -> Any:
        """moveit_msgs/Constraints of a tool pose."""
        s = self._settings
        return tool_goal(self._model_frame, s.tip, self._T_model_base @ T_base_tool, s.ik)

    def plan(self, start: se3.Array, goal: Any) -> JointTrajectoryMessage:
        """The group's motion from ``start`` to moveit_msgs/Constraints. Raises PlanningError with MoveIt's reason."""
        response = self._plan(start, goal)
        if response.error_code.val != self._messages.MoveItErrorCodes.SUCCESS:
            raise PlanningError(f"MoveIt has no plan to the goal: {outcome(response.error_code)}")
        return response.trajectory.joint_trajectory

    def plan_tool_path(self, start: se3.Array, line: ToolLine) -> JointTrajectory:
        """The motion with the tool along ``line`` by compute_cartesian_path, slowed down to the tool's speeds.

        Raises ToolPathError with the fraction that move_group follows, which it reports as a success.
        """
        s = self._settings
        request = self._services.GetCartesianPath.Request(group_name=s.group, link_name=s.tip, avoid_collisions=True)
        request.header.frame_id, request.max_step = self._model_frame, _CARTESIAN_STEP
        request.start_state = robot_state(self._robot.joint_names, start)
        request.waypoints = [pose_message(self._T_model_base @ T) for T in line.T_base_tool[1:]]
        request.max_velocity_scaling_factor = request.max_acceleration_scaling_factor = s.planning.velocity_scale
        response = self._call("compute_cartesian_path", request, s.planning_time)
        if response.error_code.val != self._messages.MoveItErrorCodes.SUCCESS:
            raise PlanningError(f"compute_cartesian_path of move_group failed: {outcome(response.error_code)}")
        trajectory = response.solution.joint_trajectory
        return checked_tool_path(self._robot, s, line, trajectory, start, float(response.fraction))

    def close(self) -> None:
        """Ends the node of the requests, after the one under way."""
        with self._lock:
            self._executor.shutdown()
            self._node.destroy_node()

    def _plan(self, start: se3.Array, goal: Any) -> Any:
        s = self._settings
        request = self._services.GetMotionPlan.Request()
        asked = request.motion_plan_request
        asked.group_name, asked.pipeline_id, asked.num_planning_attempts = s.group, s.pipeline, 1
        asked.allowed_planning_time = s.planning_time
        asked.max_velocity_scaling_factor = asked.max_acceleration_scaling_factor = s.planning.velocity_scale
        asked.start_state, asked.goal_constraints = robot_state(self._robot.joint_names, start), [goal]
        return self._call("plan_kinematic_path", request, s.planning_time).motion_plan_response

    def _model_poses(self, q: se3.Array) -> tuple[str, dict[str, se3.Array]]:
        """The model frame's name and ``T_model_link`` of the robot's links."""
        names = list(self._robot.link_names)
        request = self._services.GetPositionFK.Request(
            fk_link_names=names, robot_state=robot_state(self._robot.joint_names, q)
        )
        response = self._call("compute_fk", request, 0.0)
        lacking = [name for name in names if name not in response.fk_link_names]
        if lacking:
            raise ModelMismatchError(f"move_group's model lacks links {', '.join(lacking)} of the robot")
        if response.error_code.val != self._messages.MoveItErrorCodes.SUCCESS:
            raise KinematicsBackendError(f"compute_fk of move_group failed: {outcome(response.error_code)}")
        poses = [pose_from_message(stamped.pose) for stamped in response.pose_stamped]
        return response.pose_stamped[0].header.frame_id, dict(zip(response.fk_link_names, poses, strict=True))

    def _call(self, name: str, request: Any, search: float) -> Any:
        """A service's answer; ``search`` is how many seconds the work itself may take."""
        client, timeout = self._clients[name], self._settings.timeout + search
        with self._lock:
            if not client.wait_for_service(self._settings.timeout):
                raise KinematicsBackendError(
                    f"service {client.srv_name} of move_group is not there after {self._settings.timeout} s"
                )
            future = client.call_async(request)
            self._executor.spin_until_future_complete(future, timeout)
            if not future.done():
                client.remove_pending_request(future)
                raise KinematicsBackendError(f"service {client.srv_name} of move_group gave no answer in {timeout} s")
        return future.result()

    def _positions(self, joints: Any) -> se3.Array:
        try:
            return self._robot.order_positions(list(joints.name), list(joints.position))
        except JointStateError as error:
            raise ModelMismatchError(f"move_group's model has other joints than the robot: {error}") from error


def _duration(seconds: float) -> DurationMessage:
    # move_group reads whole seconds only and takes 0 for its plug-in's own timeout.
    return DurationMessage(sec=int(np.ceil(seconds)))
