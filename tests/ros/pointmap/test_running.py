"""How a node's process ends when it is stopped before it spins."""

import sys
from dataclasses import dataclass

import pytest
import rclpy
from rclpy.node import Node
from std_msgs.msg import Bool

from k4d_kinematics.ros.running import run_node


@dataclass(frozen=True)
class NoParameters:
    """Nothing to set."""


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["node"])


def stopped_before_it_has_a_name() -> Node:
    rclpy.shutdown()  # what SIGTERM does
    return Node("late")


def stopped_before_it_publishes() -> Node:
    node = Node("late")
    rclpy.shutdown()
    node.create_publisher(Bool, "late", 1)
    return node


@pytest.mark.parametrize("make_node", [stopped_before_it_has_a_name, stopped_before_it_publishes])
def test_being_stopped_while_the_node_is_made_is_no_failure(make_node) -> None:
    assert run_node(make_node, NoParameters, "", ()) == 0


def test_a_fault_while_the_node_is_made_is_one() -> None:
    def make_node() -> Node:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run_node(make_node, NoParameters, "", ())
    assert not rclpy.ok()
