"""Publishes moving transforms on /tf."""

from collections.abc import Iterable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage


class TransformBroadcaster:
    """A publisher of moving transforms."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        if qos is None:  # as deep as the listeners', so that bursts of many frames pass
            qos = QoSProfile(depth=100)
        self.pub_tf = node.create_publisher(TFMessage, "/tf", qos)

    def sendTransform(self, transform: Any) -> None:
        """Publish one `TransformStamped`, or several in one message."""
        self.pub_tf.publish(TFMessage(transforms=as_list(transform)))


def as_list(transform: Any) -> list[Any]:
    """Return one transform or several as a list."""
    return list(transform) if isinstance(transform, Iterable) else [transform]
