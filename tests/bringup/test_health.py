"""The health check tells a graph that is well from one that is silent, incomplete or in error."""

import threading
from collections.abc import Iterator

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from k4d_bringup.errors import HealthError
from k4d_bringup.health import Condition, check_health
from k4d_bringup.ros.heard_diagnostics import heard_conditions
from k4d_kinematics.ros.diagnostics import Diagnostics

WELL = [
    Condition("/k4d_pointmap_node: robot", "ok", "panda"),
    Condition("/k4d_pointmap_node: front/camera_info", "warning", "no message has been received"),
    Condition("/lab/k4d_playback_node: rollout", "ok", "5 frames"),
]


def test_a_graph_that_waits_is_well() -> None:
    assert check_health(WELL, ["k4d_pointmap_node", "k4d_playback_node"]) == "2 nodes, 3 conditions, 1 of them warnings"


@pytest.mark.parametrize(
    ("conditions", "nodes", "reason"),
    [
        ([], [], "no node said anything"),
        (WELL, ["k4d_prediction_node"], "not heard: k4d_prediction_node; heard: /k4d_pointmap_node"),
        (WELL, ["playback_node"], "not heard: playback_node"),
        ([*WELL, Condition("/n: robot", "error", "no such mesh")], [], "^/n: robot: no such mesh$"),
    ],
)
def test_what_is_not_well_is_named(conditions: list[Condition], nodes: list[str], reason: str) -> None:
    with pytest.raises(HealthError, match=reason):
        check_health(conditions, nodes)


@pytest.fixture
def spoken() -> Iterator[None]:
    """A node that speaks while the test runs."""
    rclpy.init()
    node = Node("speaker")
    diagnostics = Diagnostics(node)
    diagnostics.ok("robot", "panda")
    diagnostics.error("model", "no such file")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield
    executor.shutdown()
    thread.join()
    node.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.usefixtures("spoken")
def test_what_nodes_say_is_heard() -> None:
    heard = {condition.name: (condition.level, condition.message) for condition in heard_conditions(3.0)}
    assert heard == {"/speaker: robot": ("ok", "panda"), "/speaker: model": ("error", "no such file")}


def test_each_condition_is_logged_once_a_second(capfd: pytest.CaptureFixture[str]) -> None:
    rclpy.init()
    node = Node("speaker")
    diagnostics = Diagnostics(node)
    for _ in range(3):
        diagnostics.error("front", "late")
        diagnostics.error("wrist", "late")
    said = capfd.readouterr().err
    assert said.count("front: late") == said.count("wrist: late") == 1
    node.destroy_node()
    rclpy.try_shutdown()


def test_an_error_is_published_although_all_is_well_again() -> None:
    rclpy.init()
    node, published = Node("speaker"), []
    diagnostics = Diagnostics(node)
    diagnostics._publisher.publish = lambda array: published.append((array.status[0].level, array.status[0].message))
    diagnostics.error("front", "late")
    diagnostics.ok("front", "on time")
    diagnostics.publish()
    diagnostics.publish()
    assert published == [(DiagnosticStatus.ERROR, "late"), (DiagnosticStatus.OK, "on time")]
    node.destroy_node()
    rclpy.try_shutdown()
