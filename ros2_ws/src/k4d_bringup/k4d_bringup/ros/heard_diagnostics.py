"""What the nodes of the running graph say of themselves on /diagnostics."""

import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from k4d_bringup.health import Condition, Level

_LEVELS: dict[bytes, Level] = {
    DiagnosticStatus.OK: "ok",
    DiagnosticStatus.WARN: "warning",
    DiagnosticStatus.ERROR: "error",
    DiagnosticStatus.STALE: "warning",
}


def heard_conditions(seconds: float) -> list[Condition]:
    """The newest state of every condition that was published within ``seconds``; nodes of ours do so each second."""
    context = Context()
    rclpy.init(context=context)
    node = Node("k4d_health", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard: dict[str, Condition] = {}

    def listen(message: DiagnosticArray) -> None:
        for status in message.status:
            heard[status.name] = Condition(status.name, _LEVELS.get(status.level, "error"), status.message)

    node.create_subscription(DiagnosticArray, "/diagnostics", listen, 100)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
    return list(heard.values())
