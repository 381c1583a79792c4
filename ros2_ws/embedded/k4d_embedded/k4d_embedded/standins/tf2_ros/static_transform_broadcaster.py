"""Publishes static transforms on /tf_static, latched."""

from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from .transform_broadcaster import as_list


class StaticTransformBroadcaster:
    """A latched publisher of static transforms: a late listener gets all that were sent so far, in one message."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        if qos is None:  # each message holds everything, so one is enough
            qos = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos)
        self._transforms: dict[str, Any] = {}

    def sendTransform(self, transform: Any) -> None:
        """Publish one `TransformStamped` or several, together with all earlier ones; a frame's newest one counts."""
        for stamped in as_list(transform):
            self._transforms[stamped.child_frame_id] = stamped
        self.pub_tf.publish(TFMessage(transforms=list(self._transforms.values())))
