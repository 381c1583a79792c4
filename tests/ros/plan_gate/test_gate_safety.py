"""What must not reach an arm: motions that were not looked at, other robots, scenes that may have changed."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from k4d_msgs.srv import ExecutePlan
from std_msgs.msg import String

from k4d_kinematics import JointTrajectory

from .gate_graph import Graph, plan
from .press import JOINT, URDF, pressed

DOWN, HIGH = [0.0, 0.2, 0.3], [0.0, 0.1, 0.05]


def describe(graph: Graph, urdf: str) -> None:
    graph.descriptions.publish(String(data=urdf))
    graph.until(lambda: graph.node._gate is not None and graph.node._gate.robot.urdf == urdf, "the robot")


def test_only_what_was_looked_at_is_sent(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(HIGH, "plain")
    message = plan(HIGH)
    for point in message.points:
        point.velocities, point.accelerations, point.effort = [0.0], [40.0], [float("inf")]
    message.points[1].accelerations = [float("nan"), 1.0]
    graph.plans.publish(message)
    graph.predict(pressed(graph.robot, graph.surface, HIGH), "accelerated")
    graph.judged("accelerated")
    assert graph.ask("accelerated").executed
    graph.until(lambda: graph.commands, "the command")
    (command,) = graph.commands
    assert command.joint_names == [JOINT]
    assert [list(point.positions) for point in command.points] == [[depth] for depth in HIGH]
    assert all(list(point.velocities) == [0.0] for point in command.points)
    assert not any(point.accelerations or point.effort for point in command.points), "a controller would go elsewhere"


def test_a_prediction_of_another_robot_is_refused(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(DOWN, "down")
    foot = '<joint name="foot" type="fixed"><parent link="world"/><child link="frame"/><origin xyz="0 0 0.35"/></joint>'
    describe(graph, URDF.replace('<link name="frame">', f'<link name="world"/>{foot}<link name="frame">'))
    graph.stand(0.0)
    graph.plans.publish(plan(DOWN))
    graph.predict(pressed(graph.robot, graph.surface, DOWN), "of the other")
    graph.until(lambda: "of another robot" in graph.ask().error_string, "the refusal")
    assert not graph.ask("of the other", accept_concerns=True).executed
    assert graph.commands == []


def test_no_plan_is_sent_on_an_observation_from_before_the_last_one(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    circle = [0.0, 0.1, 0.0]
    graph.prepare(circle, "circle")
    assert graph.ask("circle").executed
    graph.plans.publish(plan(circle))
    graph.until(lambda: "since the last plan was sent on" in graph.ask().error_string, "the plan once more")
    graph.predict(pressed(graph.robot, graph.surface, circle), "late", seconds_ago=5.0)
    graph.judged("late")
    late = graph.ask("late", accept_concerns=True)
    assert (late.executed, late.error_code) == (False, ExecutePlan.Request.TOO_OLD)
    assert "before the last plan was sent on" in late.error_string
    graph.predict(pressed(graph.robot, graph.surface, circle), "new")
    graph.judged("new")
    assert graph.ask("new").executed
    graph.until(lambda: len(graph.commands) == 2, "both commands")


def test_while_the_newest_description_is_unusable_nothing_is_sent(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(HIGH, "high")
    graph.descriptions.publish(String(data="<robot name='two'><link name='a'/><link name='b'/></robot>"))
    condition = graph.node.diagnostics._conditions["robot"]
    graph.until(lambda: condition.level == DiagnosticStatus.ERROR, "the broken description")
    assert "there is no robot" in graph.ask("high", accept_concerns=True).error_string
    describe(graph, graph.robot.urdf)
    assert condition.level == DiagnosticStatus.OK


def test_a_robot_that_is_too_large_is_refused_and_the_gate_lives(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(HIGH, "high")
    describe(graph, URDF.replace('<box size="0.1 0.1 0.1"/>', '<box size="1000 1000 500"/>'))
    graph.stand(0.0)
    graph.plans.publish(plan(HIGH))
    large = graph.node._gate.robot
    graph.predict(pressed(large, graph.surface, HIGH), "large")
    graph.until(lambda: "too large to be looked at" in graph.ask().error_string, "the refusal")


def test_a_prediction_that_no_plan_can_be_held_against_is_told(make_graph: Callable[..., Graph]) -> None:
    graph = make_graph()
    graph.prepare(HIGH, "high")
    graph.plans.publish(plan([0.0]))
    graph.until(lambda: "not of the newest plan" in graph.ask().error_string, "the plan")
    times = np.array([0.0, 5e-7])
    joints = JointTrajectory((JOINT,), times, np.zeros((2, 1)))
    graph.predict(replace(pressed(graph.robot, graph.surface, [0.0, 0.0]), times=times, joints=joints), "at once")
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        graph.executor.spin_once(timeout_sec=0.02)
    assert not graph.ask("at once", accept_concerns=True).executed
