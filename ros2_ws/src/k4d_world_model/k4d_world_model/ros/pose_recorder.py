"""The node that writes the messages of a running robot's poses, as many as a calibration needs."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.interfaces import Connection
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
_TYPES = {
    JointState: "sensor_msgs/msg/JointState", CameraInfo: "sensor_msgs/msg/CameraInfo",
    Image: "sensor_msgs/msg/Image", TFMessage: "tf2_msgs/msg/TFMessage",
}  # fmt: skip
# Joints and transforms this long before and after a picture are recorded with it.
_AROUND_NS = SECOND_NS // 4
_PICTURES, _SMALL = 10, 2000  # messages that are remembered


class _Heard(NamedTuple):
    stamp_ns: int
    message: Any
    raw: bytes


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
        self._heard: dict[str, deque[_Heard]] = {}
        self._came: set[str] = set()
        self._connections: dict[str, Connection] = {}
        self._said = ""
        self.listen()

    @property
    def unheard(self) -> list[str]:
        """Topics of which no message has come, though a calibration needs them."""
        return [topic for topic in self._kinds if topic not in (_TF, _TF_STATIC, *self._came)]

    def listen(self) -> None:
        """Subscribes to the topics that have a publisher by now, asking for as much as it offers."""
        for topic, kind in self._kinds.items():
            offers = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
            if topic in self._heard or not offers:
                continue
            is_small = kind not in (Image, CameraInfo)
            self._heard[topic] = deque(maxlen=_SMALL if is_small else _PICTURES)
            reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
            latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
            qos = QoSProfile(
                depth=100 if is_small else 5,
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            )
            self.create_subscription(kind, topic, partial(self._on_message, topic), qos, raw=True)

    def _on_message(self, topic: str, raw: bytes) -> None:
        message = deserialize_message(raw, self._kinds[topic])
        stamped = message.transforms[:1] if isinstance(message, TFMessage) else [message]
        heard = _Heard(nanoseconds(stamped[0].header.stamp) if stamped else 0, message, raw)
        self._heard[topic].append(heard)
        self._came.add(topic)
        if topic == _TF_STATIC:
            self._write(topic, heard)
        if topic in (self._topics.joint_topic, self._topics.depth_topic):
            self._consider()

    def _consider(self) -> None:
        """Judges the newest picture whose joints and depth are known by now, and forgets those before it."""
        images = self._heard.get(self._topics.image_topic)
        if not images or self.unheard or self._collection.is_complete:
            return
        newest_ns = self._heard[self._topics.joint_topic][-1].stamp_ns
        for place in reversed(range(len(images))):
            image = images[place]
            depth = self._depth(image.stamp_ns) if self._topics.depth_topic else None
            if image.stamp_ns + SPEED_TIME_NS <= newest_ns and (depth is not None or not self._topics.depth_topic):
                for _ in range(place + 1):
                    images.popleft()
                self._judge(image, depth)
                return

    def _judge(self, image: _Heard, depth: _Heard | None) -> None:
        camera_info, joints = self._heard[self._topics.camera_info_topic][-1], JointSamples()
        states = self._around(self._topics.joint_topic, image.stamp_ns)
        try:
            for state in states:
                joints.add(state.stamp_ns, list(state.message.name), list(state.message.position))
        except RejectedEpisodeError as error:
            if str(error) != self._said:
                self._say(f"a picture is left out: {error}")
            self._said = str(error)
            return
        try:
            camera = delivered_camera(camera_from_message(camera_info.message), self._topics)
        except CameraError as error:
            raise RejectedEpisodeError(f"{self._topics.camera_info_topic}: {error}") from error
        refusal = self._collection.judge(image.stamp_ns, joints, camera)
        if refusal is not None:
            if refusal.reason != self._said:
                self._say(f"{refusal.name} not yet: {refusal.reason}, {refusal.detail}")
            self._said = refusal.reason
            return
        self._said = ""
        expected_mm = 1e3 * self._collection.expected_std
        self._say(
            f"pose {self._collection.count - 1} taken; the camera's position will be known to {expected_mm:.1f} mm"
        )
        self._write(self._topics.camera_info_topic, camera_info)
        self._write(self._topics.image_topic, image)
        if depth is not None:
            self._write(self._topics.depth_topic, depth)
        for topic, around in ((self._topics.joint_topic, states), (_TF, self._around(_TF, image.stamp_ns))):
            for heard in around:
                self._write(topic, heard)

    def _depth(self, stamp_ns: int) -> _Heard | None:
        nearest = min(self._heard[self._topics.depth_topic], key=lambda depth: abs(depth.stamp_ns - stamp_ns))
        return nearest if abs(nearest.stamp_ns - stamp_ns) <= self._topics.max_depth_age * SECOND_NS else None

    def _around(self, topic: str, stamp_ns: int) -> list[_Heard]:
        return [heard for heard in self._heard.get(topic, ()) if abs(heard.stamp_ns - stamp_ns) <= _AROUND_NS]

    def _write(self, topic: str, heard: _Heard) -> None:
        if topic not in self._connections:
            kind = _TYPES[self._kinds[topic]]
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=message_types())
        self._writer.write(self._connections[topic], heard.stamp_ns, heard.raw)
