"""What a node lacks or could not use, and since when, as diagnostic_msgs."""

import re
import time
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

_PERIOD = 1.0
_NUMBERS = re.compile(r"[-\d.]+")


@dataclass
class _Condition:
    level: bytes
    message: str
    since: float  # seconds of the monotonic clock, which also runs where the simulated one is paused
    renewed: float
    stale_after: float
    errors: int = 0
    logged: float = float("-inf")
    unpublished_error: str = ""


class Diagnostics:
    """Publishes one status a named condition on /diagnostics each second, also while a simulated clock stands.

    An error is published once at least, however soon all is well again.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._conditions: dict[str, _Condition] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(_PERIOD, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def ok(self, name: str, message: str = "ok", *, stale_after: float = float("inf")) -> None:
        """The condition ``name`` holds; it turns into a warning unless it is renewed within ``stale_after`` seconds."""
        self._set(name, DiagnosticStatus.OK, message, stale_after)

    def waiting(self, name: str, message: str) -> None:
        """Something has not come yet; ``message`` says what."""
        self._set(name, DiagnosticStatus.WARN, message)

    def error(self, name: str, message: str) -> None:
        """An input could not be used; it is counted and logged, at most once a second and condition."""
        self._set(name, DiagnosticStatus.ERROR, message)
        condition = self._conditions[name]
        condition.errors += 1
        condition.unpublished_error = message
        if condition.renewed >= condition.logged + _PERIOD:
            condition.logged = condition.renewed
            self._node.get_logger().error(f"{name}: {message}")

    def publish(self) -> None:
        """Publishes all conditions now."""
        self._check_clock()
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        now = time.monotonic()
        for name, condition in self._conditions.items():
            if condition.level == DiagnosticStatus.OK and now - condition.renewed > condition.stale_after:
                last = condition.renewed
                self._set(name, DiagnosticStatus.WARN, f"nothing comes any more; it was: {condition.message}")
                condition.since = last
            level, text = condition.level, condition.message
            if condition.unpublished_error:
                level, text, condition.unpublished_error = DiagnosticStatus.ERROR, condition.unpublished_error, ""
            values = {"since_s": f"{now - condition.since:.1f}", "errors": str(condition.errors)}
            array.status.append(
                DiagnosticStatus(
                    level=level,
                    name=f"{self._node.get_fully_qualified_name()}: {name}",
                    message=text,
                    values=[KeyValue(key=key, value=value) for key, value in values.items()],
                )
            )
        self._publisher.publish(array)

    def _check_clock(self) -> None:
        if self._node.get_parameter("use_sim_time").value:
            if self._node.get_clock().now().nanoseconds == 0:
                self.waiting("clock", "use_sim_time is set and no /clock has been received")
            else:
                self.ok("clock", "simulated")

    def _set(self, name: str, level: bytes, message: str, stale_after: float = float("inf")) -> None:
        now = time.monotonic()
        known = self._conditions.setdefault(name, _Condition(level, message, now, now, stale_after))
        # Figures in a message change with each occurrence of the same cause.
        if (known.level, _NUMBERS.sub("", known.message)) != (level, _NUMBERS.sub("", message)):
            known.since = now
        known.level, known.message, known.renewed, known.stale_after = level, message, now, stale_after
