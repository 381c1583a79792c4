"""The gate as an operator meets it: over real DDS, with plans, predictions, joint states and a robot that may move."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from k4d_msgs.srv import ExecutePlan
from moveit_msgs.msg import DisplayTrajectory, RobotState, RobotTrajectory
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_surface import RobotSurface
from k4d_kinematics.ros.camera_output import summary_qos
from k4d_kinematics.ros.conversions import duration_message, time_message
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.plan_gate_node import PlanGateNode
from k4d_world_model.ros.rollout_messages import frame_message, summary_message
from k4d_world_model.ros.rollout_output import summaries_qos

from .press import CAMERA, JOINT, press, pressed

PATIENCE = 60.0
DOWN, HIGH = [0.0, 0.2, 0.3], [0.0, 0.1, 0.05]


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


@pytest.fixture
def make_graph(tmp_path: Path) -> Iterator[Callable[..., Graph]]:
    rclpy.init()
    graphs: list[Graph] = []

    def make(command_topic: str = "arm/joint_trajectory", joint_state_age: float = 60.0) -> Graph:
        graphs.append(Graph(*press(tmp_path), command_topic, joint_state_age))
        return graphs[-1]

    yield make
    for graph in graphs:
        graph.node.close()
        graph.executor.shutdown()
    rclpy.try_shutdown()


def plan(depths: list[float]) -> JointTrajectory:
    points = [
        JointTrajectoryPoint(positions=[depth], time_from_start=duration_message(0.5 * k))
        for k, depth in enumerate(depths)
    ]
    return JointTrajectory(joint_names=[JOINT], points=points)


def test_a_plan_without_concerns_is_sent_on_once(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    verdict = graph.prepare(HIGH, "high")
    assert list(verdict.concerns) == []
    assert not verdict.executed
    assert 0.19 < verdict.clearance < 0.21
    assert verdict.rollout.model_name == "fake"
    assert graph.commands == [], "asking moves nothing"
    answer = graph.ask("high")
    assert answer.executed, answer.error_string
    graph.until(lambda: graph.commands, "the command")
    (command,) = graph.commands
    assert [list(point.positions) for point in command.points] == [[depth] for depth in HIGH]
    assert (command.header.stamp.sec, command.header.stamp.nanosec) == (0, 0), "it starts when it comes"
    again = graph.ask("high")
    assert (again.executed, again.error_code) == (False, ExecutePlan.Request.NOT_PREDICTED)
    assert "sent on" in again.error_string


def test_a_plan_into_the_table_needs_an_operator_who_has_seen_it(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    verdict = graph.prepare(DOWN, "down")
    (contact,) = verdict.contacts
    assert (contact.link, contact.is_tool, contact.end.sec) == ("head", False, 1)
    assert any("head comes within" in concern for concern in verdict.concerns)
    refused = graph.ask("down")
    assert (refused.executed, refused.error_code) == (False, ExecutePlan.Request.CONCERNS)
    assert graph.ask("down", accept_concerns=True).executed
    graph.until(lambda: graph.commands, "the command")


def test_only_the_rollout_of_the_newest_plan_counts(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(HIGH, "high")
    wrong = graph.ask("another")
    assert (wrong.executed, wrong.error_code) == (False, ExecutePlan.Request.ANOTHER_ROLLOUT)
    graph.plans.publish(plan(DOWN))
    graph.until(lambda: graph.ask().error_code == ExecutePlan.Request.NOT_PREDICTED, "the newer plan")
    answer = graph.ask("high")
    assert (answer.executed, answer.error_code) == (False, ExecutePlan.Request.NOT_PREDICTED)
    assert "not of the newest plan" in answer.error_string
    assert graph.commands == []


def test_an_old_observation_or_a_robot_elsewhere_is_refused(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(HIGH, "old", seconds_ago=100.0)
    old = graph.ask("old", accept_concerns=True)
    assert (old.executed, old.error_code) == (False, ExecutePlan.Request.TOO_OLD)
    assert "too late" in graph.node.diagnostics._conditions["rollout"].message
    graph.predict(pressed(graph.robot, graph.surface, HIGH), "new")
    graph.judged("new")
    graph.stand(0.04)
    moved = graph.ask("new", accept_concerns=True)
    assert (moved.executed, moved.error_code) == (False, ExecutePlan.Request.ROBOT_ELSEWHERE)
    assert "slide is 0.0400" in moved.error_string
    assert graph.commands == []


def test_a_robot_that_has_fallen_silent_or_speaks_nonsense_is_refused(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph(joint_state_age=0.05)
    graph.prepare(HIGH, "high")
    time.sleep(0.06)
    silent = graph.ask("high", accept_concerns=True)
    assert (silent.executed, silent.error_code) == (False, ExecutePlan.Request.ROBOT_ELSEWHERE)
    assert "silent for" in silent.error_string
    graph.stand(float("nan"))
    unknown = graph.ask("high", accept_concerns=True)
    assert (unknown.executed, unknown.error_code) == (False, ExecutePlan.Request.ROBOT_ELSEWHERE)
    assert "no usable joint state" in unknown.error_string
    assert graph.commands == []


def test_a_plan_waits_until_a_controller_listens(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph(command_topic="hand/joint_trajectory")
    graph.prepare(HIGH, "high")
    unheard = graph.ask("high")
    assert (unheard.executed, unheard.error_code) == (False, ExecutePlan.Request.NOT_ALLOWED)
    assert "nobody listens to /hand/joint_trajectory" in unheard.error_string
    graph.driver.create_subscription(JointTrajectory, "hand/joint_trajectory", graph.commands.append, 10)
    graph.until(graph.node._command._publisher.get_subscription_count, "the controller")
    assert graph.ask("high").executed
    graph.until(lambda: graph.commands, "the command")


def test_a_failed_prediction_tells_why(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(HIGH, "high")
    failed = RolloutMessage(error_code=RolloutMessage.OUT_OF_MEMORY, error_string="8 GB are missing")
    graph.summaries.publish(failed)
    graph.until(lambda: "8 GB are missing" in graph.ask().error_string, "the failure")
    assert np.isnan(graph.ask().clearance)
    assert not graph.ask("high", accept_concerns=True).executed


def test_without_a_command_topic_nothing_moves(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph(command_topic="")
    graph.prepare(HIGH, "high")
    answer = graph.ask("high")
    assert (answer.executed, answer.error_code) == (False, ExecutePlan.Request.NOT_ALLOWED)


def test_a_displayed_path_of_two_pieces_becomes_one_command(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(HIGH, "high")
    pieces = [RobotTrajectory(joint_trajectory=plan(part)) for part in ([0.0, 0.05], [0.05, 0.15])]
    start = RobotState(joint_state=JointState(name=[JOINT], position=[0.0]))
    graph.displays.publish(DisplayTrajectory(trajectory=pieces, trajectory_start=start))
    graph.predict(pressed(graph.robot, graph.surface, [0.0, 0.05, 0.15]), "shown")
    graph.judged("shown")
    assert graph.ask("shown").executed
    graph.until(lambda: graph.commands, "the command")
    assert [point.positions[0] for point in graph.commands[0].points] == [0.0, 0.05, 0.15]


def test_plans_before_their_time_and_broken_ones_are_told(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.plans.publish(plan(HIGH))
    graph.until(lambda: graph.node.diagnostics._conditions["plan"].errors, "the diagnostics")
    assert "robot" in graph.ask().error_string
    graph.prepare(HIGH, "high")
    graph.plans.publish(JointTrajectory(joint_names=["elbow"], points=plan(HIGH).points))
    graph.until(lambda: "no plan" in graph.ask().error_string, "the broken plan")
    assert "elbow" in graph.node.diagnostics._conditions["plan"].message
