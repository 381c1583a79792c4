"""The node that writes the messages of a running robot's poses, as many as a calibration needs."""

from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Writer
from sensor_msgs.msg import CameraInfo, Image, JointState
from tf2_msgs.msg import TFMessage

from k4d_kinematics.errors import CameraError
from k4d_kinematics.ros.conversions import camera_from_message, nanoseconds
from k4d_world_model.calibration.pose_collection import PoseCollection
from k4d_world_model.calibration.postures import SPEED_TIME_NS
from k4d_world_model.calibration.recorded_poses import delivered_camera
from k4d_world_model.dataset.bag_messages import message_types
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.bag_contents import SECOND_NS
from k4d_world_model.dataset.sources.joint_samples import JointSamples
from k4d_world_model.errors import RejectedEpisodeError

_TF, _TF_STATIC = "/tf", "/tf_static"
# Joints and transforms this long before and after a picture are recorded with it.
_AROUND_NS = SECOND_NS // 4
_DEPTHS, _SMALL = 10, 2000  # messages that are remembered


class PoseRecorder(Node):
    """Listens to a robot and a camera, and writes the messages of each picture that ``collection`` takes."""

    def __init__(
        self, topics: RosbagConfig, collection: PoseCollection, writer: Writer, say: Callable[[str], None],
        context: Context,
    ) -> None:  # fmt: skip
        super().__init__("k4d_pose_recorder", context=context)
        self._topics, self._collection, self._writer, self._say = topics, collection, writer, say
        self._kinds = {
            topics.joint_topic: JointState, topics.camera_info_topic: CameraInfo, topics.image_topic: Image,
            _TF: TFMessage, _TF_STATIC: TFMessage,
        } | ({topics.depth_topic: Image} if topics.depth_topic else {})  # fmt: skip
        self._heard: dict[str, deque[Any]] = {}
        self._connections: dict[str, Any] = {}
        self._said = ""
        self.listen()

    @property
    def unheard(self) -> list[str]:
        """Topics of which no message has come, though a calibration needs them."""
        return [topic for topic in self._kinds if topic not in (_TF, _TF_STATIC) and not self._heard.get(topic)]

    def listen(self) -> None:
        """Subscribes to the topics that have a publisher by now, asking for as much as it offers."""
        for topic, kind in self._kinds.items():
            offers = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
            if topic in self._heard or not offers:
                continue
            is_small = kind not in (Image, CameraInfo)
            self._heard[topic] = deque(maxlen=_SMALL if is_small else _DEPTHS)
            reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
            latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
            qos = QoSProfile(
                depth=100 if is_small else 5,
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            )
            self.create_subscription(kind, topic, lambda message, topic=topic: self._on_message(topic, message), qos)

    def _on_message(self, topic: str, message: Any) -> None:
        if topic == _TF_STATIC:
            self._write(topic, message, self.get_clock().now().nanoseconds)
            return
        self._heard[topic].append(message)
        if topic in (self._topics.joint_topic, self._topics.depth_topic):
            self._consider()

    def _consider(self) -> None:
        """Judges the newest picture whose joints and depth are known by now, and forgets those before it."""
        images = self._heard.get(self._topics.image_topic)
        if not images or self.unheard or self._collection.is_complete:
            return
        newest_ns = _stamp(self._heard[self._topics.joint_topic][-1])
        for place in reversed(range(len(images))):
            image = images[place]
            depth = self._depth(_stamp(image)) if self._topics.depth_topic else None
            if _stamp(image) + SPEED_TIME_NS <= newest_ns and (depth is not None or not self._topics.depth_topic):
                for _ in range(place + 1):
                    images.popleft()
                self._judge(image, depth)
                return

    def _judge(self, image: Image, depth: Image | None) -> None:
        stamp_ns = _stamp(image)
        states = self._around(self._topics.joint_topic, stamp_ns)
        camera_info = self._heard[self._topics.camera_info_topic][-1]
        joints = JointSamples()
        try:
            for state in states:
                joints.add(_stamp(state), list(state.name), list(state.position))
            camera = delivered_camera(camera_from_message(camera_info), self._topics)
        except CameraError as error:
            raise RejectedEpisodeError(f"{self._topics.camera_info_topic}: {error}") from error
        refusal = self._collection.judge(stamp_ns, joints, camera)
        if refusal is not None:
            if refusal.reason != self._said:
                self._say(f"{refusal.name} not yet: {refusal.reason}, {refusal.detail}")
            self._said = refusal.reason
            return
        self._said = ""
        expected = f"the camera's position will be known to {1e3 * self._collection.expected_std:.1f} mm"
        self._say(f"pose {self._collection.count - 1} taken; {expected}")
        self._write(self._topics.camera_info_topic, camera_info, stamp_ns)
        self._write(self._topics.image_topic, image, stamp_ns)
        if depth is not None:
            self._write(self._topics.depth_topic, depth, stamp_ns)
        for topic, messages in ((self._topics.joint_topic, states), (_TF, self._around(_TF, stamp_ns))):
            for message in messages:
                self._write(topic, message, _stamp(message))

    def _depth(self, stamp_ns: int) -> Image | None:
        depths = self._heard[self._topics.depth_topic]
        nearest = min(depths, key=lambda depth: abs(_stamp(depth) - stamp_ns))
        is_near = abs(_stamp(nearest) - stamp_ns) <= round(self._topics.max_depth_age * SECOND_NS)
        return nearest if is_near else None

    def _around(self, topic: str, stamp_ns: int) -> list[Any]:
        return [message for message in self._heard.get(topic, ()) if abs(_stamp(message) - stamp_ns) <= _AROUND_NS]

    def _write(self, topic: str, message: Any, stamp_ns: int) -> None:
        if topic not in self._connections:
            module, name = type(message).__module__.split(".")[0], type(message).__name__
            kind = f"{module}/msg/{name}"
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=message_types())
        self._writer.write(self._connections[topic], stamp_ns, serialize_message(message))


def _stamp(message: Any) -> int:
    """The stamp of a message, or of the first transform of several, in nanoseconds."""
    if isinstance(message, TFMessage):
        return nanoseconds(message.transforms[0].header.stamp) if message.transforms else 0
    return nanoseconds(message.header.stamp)
