"""What a node lacks or could not use, and since when, as diagnostic_msgs."""

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

_PERIOD = 1.0


@dataclass
class _Condition:
    level: bytes
    message: str
    since_ns: int
    errors: int = 0


class Diagnostics:
    """Publishes one status a named condition on /diagnostics each second."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._conditions: dict[str, _Condition] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(_PERIOD, self.publish)

    def ok(self, name: str, message: str = "ok") -> None:
        """The condition ``name`` holds."""
        self._set(name, DiagnosticStatus.OK, message)

    def waiting(self, name: str, message: str) -> None:
        """Something has not come yet; ``message`` says what."""
        self._set(name, DiagnosticStatus.WARN, message)

    def error(self, name: str, message: str) -> None:
        """An input could not be used; it is counted and logged, at most once a second."""
        self._set(name, DiagnosticStatus.ERROR, message)
        self._conditions[name].errors += 1
        self._node.get_logger().error(f"{name}: {message}", throttle_duration_sec=1.0)

    def message(self, name: str) -> str:
        """The present message of a condition, empty where it is unknown."""
        return self._conditions[name].message if name in self._conditions else ""

    def publish(self) -> None:
        """Publishes all conditions now."""
        now = self._node.get_clock().now()
        array = DiagnosticArray()
        array.header.stamp = now.to_msg()
        for name, condition in self._conditions.items():
            lasting = (now.nanoseconds - condition.since_ns) * 1e-9
            values = {"since_s": f"{lasting:.1f}", "errors": str(condition.errors)}
            array.status.append(
                DiagnosticStatus(
                    level=condition.level,
                    name=f"{self._node.get_fully_qualified_name()}: {name}",
                    message=condition.message,
                    values=[KeyValue(key=key, value=value) for key, value in values.items()],
                )
            )
        self._publisher.publish(array)

    def _set(self, name: str, level: bytes, message: str) -> None:
        known = self._conditions.get(name)
        if known is None:
            known = self._conditions[name] = _Condition(level, message, self._node.get_clock().now().nanoseconds)
        if known.level != level:
            known.since_ns = self._node.get_clock().now().nanoseconds
        known.level, known.message = level, message
