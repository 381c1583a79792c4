"""Between transform messages and the buffer's plain numbers."""

from math import isnan, nan, sqrt
from typing import Any

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import Quaternion as QuaternionMessage
from geometry_msgs.msg import Transform, TransformStamped, Vector3
from std_msgs.msg import Header

from .rotation import Quaternion, Vector
from .transform_cache import Edge


def nanoseconds(time: Any) -> int:
    """Return the nanoseconds of a `Time` or `Duration`, of rclpy's or of the message's kind; raises TypeError."""
    if hasattr(time, "nanoseconds"):
        return int(time.nanoseconds)
    if hasattr(time, "sec") and hasattr(time, "nanosec"):
        return int(time.sec) * 1_000_000_000 + int(time.nanosec)
    raise TypeError(f"time must have sec and nanosec, or nanoseconds, got {time!r}")


def edge_from_message(transform: Any) -> tuple[str, Edge]:
    """Return the frame of a `TransformStamped` and its edge to the parent, without leading slashes.

    The quaternion is brought to unit length; one of length zero becomes NaN.
    """
    shift, turn = transform.transform.translation, transform.transform.rotation
    length = sqrt(turn.x * turn.x + turn.y * turn.y + turn.z * turn.z + turn.w * turn.w) or nan
    q_xyzw = (turn.x / length, turn.y / length, turn.z / length, turn.w / length)
    parent = transform.header.frame_id.removeprefix("/")
    return transform.child_frame_id.removeprefix("/"), Edge(parent, (shift.x, shift.y, shift.z), q_xyzw)


def fault(child: str, edge: Edge) -> str | None:
    """Return tf2's name of what is wrong with a transform, None where nothing is."""
    if child == edge.parent:
        return "TF_SELF_TRANSFORM"
    if not child:
        return "TF_NO_CHILD_FRAME_ID"
    if not edge.parent:
        return "TF_NO_FRAME_ID"
    if any(isnan(value) for value in (*edge.translation, *edge.q_xyzw)):
        return "TF_NAN_INPUT"
    return None


def to_message(target: str, source: str, time_ns: int, shift: Vector, turn: Quaternion) -> Any:
    """Return the `TransformStamped` of source points to the target frame at a time."""
    sec, nanosec = divmod(time_ns, 1_000_000_000)
    return TransformStamped(
        header=Header(stamp=TimeMessage(sec=sec, nanosec=nanosec), frame_id=target),
        child_frame_id=source,
        transform=Transform(
            translation=Vector3(x=shift[0], y=shift[1], z=shift[2]),
            rotation=QuaternionMessage(x=turn[0], y=turn[1], z=turn[2], w=turn[3]),
        ),
    )
