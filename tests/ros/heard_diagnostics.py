"""What a node under test says of itself in /diagnostics, as the graphs of several folders hear it."""

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from k4d_kinematics.ros.conversions import nanoseconds


class HearsDiagnostics:
    """A part of graphs that have a node under test, a driver and ``until``; ``diagnostics`` are by condition."""

    node: Any
    driver: Node
    until: Callable[[Callable[[], object], str], None]

    def hear_diagnostics(self) -> None:
        """Begins to listen."""
        self.diagnostics: dict[str, DiagnosticStatus] = {}
        self._diagnosed_ns: dict[str, int] = {}
        self.driver.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)

    def status(self, name: str) -> DiagnosticStatus:
        """The diagnostic of a condition that is published now; earlier ones may still be under way."""
        now_ns = self.node.get_clock().now().nanoseconds
        self._diagnosed_ns[name] = now_ns - 1
        self.node.diagnostics.publish()
        what = f"the diagnostic {name!r} among {sorted(self.diagnostics)}"
        self.until(lambda: self._diagnosed_ns[name] >= now_ns, what)
        return self.diagnostics[name]

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.split(": ", 1)[1]
            self.diagnostics[name], self._diagnosed_ns[name] = status, nanoseconds(message.header.stamp)
