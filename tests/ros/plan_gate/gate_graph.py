"""The gate beside everything that it talks to."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from k4d_msgs.srv import ExecutePlan
from moveit_msgs.msg import DisplayTrajectory
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_surface import RobotSurface
from k4d_kinematics.ros.camera_output import summaries_qos, summary_qos
from k4d_kinematics.ros.conversions import duration_message, time_message
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.plan_gate_node import PlanGateNode
from k4d_world_model.ros.rollout_messages import frame_message, summary_message

from .press import CAMERA, JOINT, pressed

PATIENCE = 60.0


class Graph:
    """The gate beside everything that it talks to, spun together until a condition holds."""

    def __init__(self, robot: Robot, surface: RobotSurface, command_topic: str, joint_state_age: float) -> None:
        self.robot, self.surface = robot, surface
        parameters = {"camera": "front", "tool_link": "", "command_topic": command_topic, "contact_distance": 0.02}
        parameters["joint_state_age"] = joint_state_age
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = PlanGateNode(parameter_overrides=overrides)
        self.driver = Node("driver", use_global_arguments=False)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.driver)
        self.commands: list[JointTrajectory] = []
        self.driver.create_subscription(JointTrajectory, "arm/joint_trajectory", self.commands.append, 10)
        make = self.driver.create_publisher
        self.descriptions = make(String, "robot_description", summary_qos())
        self.states = make(JointState, "joint_states", 10)
        self.plans = make(JointTrajectory, "planned_trajectory", 10)
        self.displays = make(DisplayTrajectory, "display_planned_path", 10)
        self.summaries = make(RolloutMessage, "front/predicted/rollout", summaries_qos())
        self.frames = make(RolloutFrame, "front/predicted/frames", 10)
        self.client = self.driver.create_client(ExecutePlan, "execute_plan")
        publishers = (self.descriptions, self.states, self.plans, self.displays, self.summaries, self.frames)
        self.until(lambda: all(each.get_subscription_count() for each in publishers), "the gate's subscriptions")
        self.until(self.client.service_is_ready, "the service")

    def until(self, condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def stand(self, depth: float) -> None:
        self.states.publish(JointState(header=Header(stamp=self.now()), name=[JOINT], position=[depth]))
        self.until(lambda: self._stands_at(depth), "the joint state")

    def _stands_at(self, depth: float) -> bool:
        stance = self.node._gate._stance
        return stance is None if np.isnan(depth) else stance is not None and stance.positions[0] == depth

    def now(self, seconds_ago: float = 0.0) -> Any:
        return time_message(self.driver.get_clock().now().nanoseconds - int(seconds_ago * 1e9))

    def predict(self, rollout: Rollout, name: str, seconds_ago: float = 0.0) -> None:
        header = Header(stamp=self.now(seconds_ago), frame_id=CAMERA.frame_id)
        summary = summary_message(rollout, header, sequence_id=name, pointmap_sequence_id="plan", camera="front")
        self.summaries.publish(summary)
        for index in range(len(rollout.times)):
            self.frames.publish(frame_message(rollout, index, summary, "frame"))

    def ask(self, name: str = "", *, accept_concerns: bool = False) -> ExecutePlan.Response:
        future = self.client.call_async(ExecutePlan.Request(sequence_id=name, accept_concerns=accept_concerns))
        self.until(future.done, "an answer")
        return future.result()

    def judged(self, name: str) -> ExecutePlan.Response:
        """The answer once the prediction of this name has been judged."""
        answers: list[ExecutePlan.Response] = []

        def is_judged() -> bool:
            answers.append(self.ask())
            return answers[-1].error_code == ExecutePlan.Request.NONE and answers[-1].rollout.sequence_id == name

        self.until(is_judged, f"a verdict on {name}")
        return answers[-1]

    def prepare(self, depths: list[float], name: str, **kwargs: Any) -> ExecutePlan.Response:
        """Robot, joints, a plan and its prediction; the verdict."""
        self.descriptions.publish(String(data=self.robot.urdf))
        self.until(lambda: "robot_description" not in self.ask().error_string and self._has_robot(), "the robot")
        self.stand(depths[0])
        self.plans.publish(plan(depths))
        self.predict(pressed(self.robot, self.surface, depths), name, **kwargs)
        return self.judged(name)

    def _has_robot(self) -> bool:
        return self.node._gate is not None


def plan(depths: list[float]) -> JointTrajectory:
    points = [
        JointTrajectoryPoint(positions=[depth], time_from_start=duration_message(0.5 * k))
        for k, depth in enumerate(depths)
    ]
    return JointTrajectory(joint_names=[JOINT], points=points)
