"""How a node's process ends when it is stopped before it spins."""

import signal
import sys
from collections.abc import Iterator
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
def as_a_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No arguments; and interrupts reach the tests again afterwards."""
    monkeypatch.setattr(sys, "argv", ["node"])
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


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


def test_a_second_interrupt_does_not_disturb_the_end() -> None:
    class Closing(Node):
        def close(self) -> None:
            signal.raise_signal(signal.SIGINT)  # from the terminal and from ros2 launch alike
            closed.append(True)

    def make_node() -> Node:
        node = Closing("closing")
        node.create_timer(0.01, rclpy.shutdown)
        return node

    closed: list[bool] = []
    assert run_node(make_node, NoParameters, "", ()) == 0
    assert closed
