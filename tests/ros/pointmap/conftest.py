"""A pointmap node and a driver that talks to it over real DDS, both spun by the test itself."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from k4d_msgs.msg import PointmapFrame, PointmapSequence
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_configuration import ConfiguredRobot, configured_robot
from k4d_kinematics.ros.conversions import camera_message, nanoseconds, time_message, transform_message
from k4d_kinematics.ros.pointmap_node import PointmapNode

from ..heard_diagnostics import HearsDiagnostics

PANDA = Path(__file__).resolve().parents[3] / "config" / "robots" / "panda.yaml"
FRONT = Camera.pinhole(62, 94, 80.0, 82.0, 46.0, 30.5, frame_id="front_optical")
WRIST = Camera(
    50, 70, np.array([[60.0, 0.0, 34.0], [0.0, 61.0, 25.0], [0.0, 0.0, 1.0]]), (-0.1, 0.01, 0.0, 0.0), "plumb_bob",
    frame_id="wrist_optical",
)  # fmt: skip
T_BASE_FRONT = se3.inverse(se3.look_at((1.4, 0.6, 0.8), (0.2, 0.0, 0.4)))
T_HAND_WRIST = se3.from_xyz_rpy((0.08, 0.0, 0.02), (0.0, -0.4, 0.3))
START_NS = 1_700_000_000_123_456_789
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="session")
def panda(tmp_path_factory: pytest.TempPathFactory) -> ConfiguredRobot:
    return configured_robot(PANDA, tmp_path_factory.mktemp("surfaces"))


@dataclass
class Received:
    """Messages of one topic in order of arrival."""

    messages: list[Any] = field(default_factory=list)

    def stamps_ns(self) -> list[int]:
        return [nanoseconds(message.header.stamp) for message in self.messages]


class Graph(HearsDiagnostics):
    """The node under test and a driver node, spun together until a condition holds."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self.node = PointmapNode()
        self.driver = Node("driver")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._executor.add_node(self.driver)
        self._fixed = StaticTransformBroadcaster(self.driver)
        self._moving = TransformBroadcaster(self.driver)
        self._publishers: dict[str, Any] = {}
        self.hear_diagnostics()

    def until(self, condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
        give_up = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < give_up, f"waited {timeout} s in vain for {what}"
            self._executor.spin_once(timeout_sec=0.02)

    def spin_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.02)

    def receive(self, kind: type, topic: str, qos: QoSProfile | int = 200) -> Received:
        received = Received()
        self.driver.create_subscription(kind, topic, received.messages.append, qos)
        self.until(lambda: self.driver.count_publishers(topic), f"a publisher of {topic}")
        self.until(lambda: self._is_heard(topic), f"the publisher of {topic} to see us")
        return received

    def publish(self, topic: str, message: Any, qos: QoSProfile | int = 10) -> None:
        if topic not in self._publishers:
            self._publishers[topic] = self.driver.create_publisher(type(message), topic, qos)
            publisher = self._publishers[topic]
            self.until(publisher.get_subscription_count, f"a subscriber of {topic}")
        self._publishers[topic].publish(message)

    def place_cameras(self) -> None:
        transforms = [("panda_link0", "front_optical", T_BASE_FRONT), ("panda_hand", "wrist_optical", T_HAND_WRIST)]
        self._fixed.sendTransform([stamped(parent, child, T, 0) for parent, child, T in transforms])

    def move(self, positions: np.ndarray, stamp_ns: int) -> None:
        """What a robot and its robot_state_publisher send: TF of the hand, and the joint state."""
        T_base_hand = self.robot.forward_kinematics(positions)[self.robot.link_index("panda_hand")]
        self._moving.sendTransform(stamped("panda_link0", "panda_hand", T_base_hand, stamp_ns))
        self.publish("joint_states", joint_state(self.robot.joint_names, positions, stamp_ns), 100)

    def look(self, camera: Camera, name: str, stamp_ns: int) -> None:
        self.publish(f"{name}/camera_info", camera_message(camera, time_message(stamp_ns)))

    def ready(self, positions: np.ndarray, stamp_ns: int = START_NS) -> None:
        """Cameras are placed and calibrated, the robot is somewhere."""
        self.place_cameras()
        self.move(positions, stamp_ns)
        for name, camera in (("front", FRONT), ("wrist", WRIST)):
            self.look(camera, name, stamp_ns)
        self.until(lambda: self.is_ready(), "cameras, joints and transforms")

    def is_ready(self) -> bool:
        live = self.node.live
        known = self.node.transforms.can_transform("panda_link0", "wrist_optical", rclpy.time.Time())
        return bool(live and len(live.joints) and known and all(output._camera for output in self.node.outputs))

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self.driver.destroy_node()

    def _is_heard(self, topic: str) -> bool:
        names = [topic, f"/{topic}"]
        publishers = [publisher for publisher in self.node.publishers if publisher.topic_name in names]
        return all(publisher.get_subscription_count() for publisher in publishers)


def stamped(parent: str, child: str, T_parent_child: np.ndarray, stamp_ns: int) -> TransformStamped:
    message = TransformStamped(child_frame_id=child, transform=transform_message(T_parent_child))
    message.header.frame_id = parent
    message.header.stamp = time_message(stamp_ns) if stamp_ns else TimeMessage()
    return message


def joint_state(names: tuple[str, ...], positions: np.ndarray, stamp_ns: int) -> JointState:
    message = JointState(name=list(names), position=[float(value) for value in positions])
    message.header.stamp = time_message(stamp_ns)
    return message


@pytest.fixture
def start(panda: ConfiguredRobot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Graph]]:
    """Starts a graph whose node has the given parameters; everything is shut down after the test."""
    graphs: list[Graph] = []
    cache = tmp_path_factory.getbasetemp() / "node_surfaces"

    def start_graph(**parameters: object) -> Graph:
        values = {"robot": str(PANDA), "cameras": "[front, wrist]", "surface_cache": str(cache), **parameters}
        words = [word for name, value in values.items() if value != "" for word in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", *words])
        graphs.append(Graph(panda.robot))
        return graphs[-1]

    yield start_graph
    for graph in graphs:
        graph.close()
    rclpy.try_shutdown()


IMAGES = {"pointmap": Image, "mask": Image, "preview": Image, "points": PointCloud2, "camera_info": CameraInfo}
PLAN = {"plan/sequence": PointmapSequence, "plan/frames": PointmapFrame}
