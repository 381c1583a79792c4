"""A node with move_group's four services, answered by pinocchio and the embedded solver.

It answers as move_group was read to: a partly followed Cartesian path is a success, IK checks no collisions.
"""

import numpy as np
from geometry_msgs.msg import PoseStamped
from moveit_msgs.msg import MoveItErrorCodes
from moveit_msgs.srv import GetCartesianPath, GetMotionPlan, GetPositionFK, GetPositionIK
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from k4d_kinematics.errors import InverseKinematicsError, PlanningError
from k4d_kinematics.ik import DampedLeastSquaresIk, IkSettings
from k4d_kinematics.planning import InterpolationPlanner, JointGoal, ToolGoal
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import duration_message, pose_from_message
from k4d_kinematics.ros.moveit_messages import pose_message
from k4d_kinematics.se3 import interpolate

GROUP, FRAME = "arm", "panda_link0"
_FREE = IkSettings(max_jump=np.inf, max_slide=np.inf)


def in_the_base(T_base_tool: np.ndarray) -> bool:
    """Whether the tool's point lies inside the Panda's first links."""
    return bool(np.hypot(*T_base_tool[:2, 3]) < 0.06 and 0.0 < T_base_tool[2, 3] < 0.33)


class MoveGroupStandIn:
    """Serves on ``node`` for the tool link ``tip``."""

    def __init__(self, node: Node, robot: Robot, tip: str) -> None:
        self.robot, self.tip, self.node = robot, tip, node
        self.arm = robot.chain(tip)
        self.solver = DampedLeastSquaresIk(robot, tip, settings=_FREE)
        self.planner = InterpolationPlanner(robot, tip)
        node.create_service(GetPositionIK, "compute_ik", self.on_ik)
        node.create_service(GetPositionFK, "compute_fk", self.on_fk)
        node.create_service(GetMotionPlan, "plan_kinematic_path", self.on_plan)
        node.create_service(GetCartesianPath, "compute_cartesian_path", self.on_path)

    def on_ik(self, request, response):
        asked = request.ik_request
        if asked.group_name != GROUP:
            response.error_code.val = MoveItErrorCodes.INVALID_GROUP_NAME
            return response
        q = self.positions(asked.robot_state)
        try:
            q = self.solver.solve(pose_from_message(asked.pose_stamped.pose), q)
        except InverseKinematicsError:
            response.error_code.val = MoveItErrorCodes.NO_IK_SOLUTION
            return response
        response.solution.joint_state.name = list(self.robot.joint_names)
        response.solution.joint_state.position = q.tolist()
        response.error_code.val = MoveItErrorCodes.SUCCESS
        return response

    def on_fk(self, request, response):
        T_base_link = self.robot.forward_kinematics(self.positions(request.robot_state))
        for name in request.fk_link_names:
            if name in self.robot.link_names:
                stamped = PoseStamped(pose=pose_message(T_base_link[self.robot.link_index(name)]))
                stamped.header.frame_id = FRAME
                response.pose_stamped.append(stamped)
                response.fk_link_names.append(name)
        whole = len(response.fk_link_names) == len(request.fk_link_names)
        codes = MoveItErrorCodes
        response.error_code.val = codes.SUCCESS if whole else codes.INVALID_LINK_NAME
        return response

    def on_plan(self, request, response):
        asked, answer = request.motion_plan_request, response.motion_plan_response
        start = self.positions(asked.start_state)
        (goal,) = asked.goal_constraints
        try:
            plan = self.planner.plan(start, self.goal(start, goal))
        except PlanningError:
            plan = None
        if plan is None or in_the_base(self.solver.tool_pose(plan.positions[-1])):
            answer.error_code.val = MoveItErrorCodes.TIMED_OUT
            return response
        answer.trajectory.joint_trajectory = self.trajectory(plan.times, plan.positions)
        answer.error_code.val = MoveItErrorCodes.SUCCESS
        return response

    def on_path(self, request, response):
        q = self.positions(request.start_state)
        T, rows, done, count = self.solver.tool_pose(q), [q], 0, 0
        for target in (pose_from_message(pose) for pose in request.waypoints):
            steps = max(1, int(np.ceil(np.linalg.norm(target[:3, 3] - T[:3, 3]) / request.max_step)))
            count += steps
            for k in range(1, steps + 1):
                try:
                    q = self.solver.solve(interpolate(T, target, k / steps), rows[-1])
                except InverseKinematicsError:
                    break
                if done < count - steps + k - 1 or in_the_base(self.solver.tool_pose(q)):
                    break
                rows.append(q)
                done += 1
            T = target
        response.fraction = done / count
        response.solution.joint_trajectory = self.trajectory(0.05 * np.arange(len(rows)), np.stack(rows))
        response.error_code.val = MoveItErrorCodes.SUCCESS
        return response

    def positions(self, state):
        return self.robot.order_positions(list(state.joint_state.name), list(state.joint_state.position))

    def goal(self, start, constraints):
        if constraints.joint_constraints:
            q = start.copy()
            for joint in constraints.joint_constraints:
                q[self.robot.joint_names.index(joint.joint_name)] = joint.position
            return JointGoal(q)
        (place,), (turn,) = constraints.position_constraints, constraints.orientation_constraints
        pose = place.constraint_region.primitive_poses[0]
        pose.orientation = turn.orientation
        return ToolGoal(pose_from_message(pose))

    def trajectory(self, times, positions):
        """The arm's joints alone, as a planning group's."""
        message = JointTrajectory(joint_names=list(self.arm.joint_names))
        for moment, q in zip(times, positions[:, self.arm.joint_indices], strict=True):
            message.points.append(
                JointTrajectoryPoint(positions=q.tolist(), time_from_start=duration_message(float(moment)))
            )
        return message
