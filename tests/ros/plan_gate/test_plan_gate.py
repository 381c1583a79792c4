"""The gate as an operator meets it: over real DDS, with plans, predictions, joint states and a robot that may move."""

import time
from collections.abc import Callable

import numpy as np
from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.srv import ExecutePlan
from moveit_msgs.msg import DisplayTrajectory, RobotState, RobotTrajectory
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from .gate_graph import Graph, plan
from .press import JOINT, pressed

DOWN, HIGH = [0.0, 0.2, 0.3], [0.0, 0.1, 0.05]


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
