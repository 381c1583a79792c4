"""A simulated robot's node and a driver that talks to it over real DDS, both spun by the test itself."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, UInt64
from std_srvs.srv import Trigger
from tf2_ros import Buffer, TransformListener
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from k4d_kinematics.ros.conversions import duration_message, nanoseconds, time_message
from k4d_simulation.ros.simulated_robot_node import SimulatedRobotNode

from ..heard_diagnostics import HearsDiagnostics

CONFIG = Path(__file__).resolve().parents[3] / "config"
HEIGHT, WIDTH = 62, 94
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Generous: a slow machine that also does other work must get there, too.
PATIENCE = 120.0
_UNHEARD = "not yet"


class Graph(HearsDiagnostics):
    """The node under test and a driver node, spun together until a condition holds."""

    def __init__(self) -> None:
        self.node = SimulatedRobotNode()
        self.driver = Node("driver")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.driver)
        self.transforms = Buffer()
        self._listener = TransformListener(self.transforms, self.driver)
        self.received: dict[str, list[Any]] = {}
        self.hear_diagnostics()
        self._commands = self.driver.create_publisher(JointTrajectory, "joint_trajectory", 10)
        self._clients = {name: self.driver.create_client(Trigger, name) for name in ("reset", "run_expert")}
        for topic, kind, qos in (
            ("joint_states", JointState, 1000),
            ("front/image_raw", Image, 100),
            ("front/depth", Image, 100),
            ("front/camera_info", CameraInfo, 100),
            ("success", Bool, LATCHED),
            ("seed", UInt64, LATCHED),
        ):
            self.received[topic] = []
            self.driver.create_subscription(kind, topic, self.received[topic].append, qos)
        self.until(self._commands.get_subscription_count, "the node to hear commands")

    def until(self, condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def by_stamp(self, topic: str) -> dict[int, Any]:
        return {nanoseconds(message.header.stamp): message for message in self.received[topic]}

    def joints(self) -> JointState:
        """A joint state that comes after now."""
        count = len(self.received["joint_states"])
        self.until(lambda: len(self.received["joint_states"]) > count, "a joint state")
        return self.received["joint_states"][-1]

    def run_for(self, seconds: float) -> None:
        """Spins until physics have gone on by so many seconds; what a busy machine skips does not count."""
        live = self.node.live
        end_ns = live.stamp_ns - live.lost_ns + round(seconds * 1e9)
        self.until(lambda: live.stamp_ns - live.lost_ns >= end_ns, "physics to go on")

    def command(self, message: JointTrajectory) -> DiagnosticStatus:
        """Sends a command; returns what the diagnostics say of it."""
        condition = self.node.diagnostics._conditions["joint_trajectory"]
        condition.message = _UNHEARD
        self._commands.publish(message)
        self.until(lambda: condition.message != _UNHEARD, "the command to arrive")
        return self.status("joint_trajectory")

    def call(self, service: str) -> Trigger.Response:
        self.until(self._clients[service].service_is_ready, f"the service {service}")
        answer = self._clients[service].call_async(Trigger.Request())
        self.until(answer.done, f"an answer of {service}")
        return answer.result()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.close()
        self.node.destroy_node()
        self.driver.destroy_node()


def trajectory(
    names: list[str], points: list[list[float]], times: list[float], stamp_ns: int = 0, **extra: list[float]
) -> JointTrajectory:
    message = JointTrajectory(joint_names=names)
    message.header.stamp = time_message(stamp_ns)
    message.points = [
        JointTrajectoryPoint(positions=point, time_from_start=duration_message(moment), **extra)
        for point, moment in zip(points, times, strict=True)
    ]
    return message


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("surfaces")


def arguments(surfaces: Path, **parameters: object) -> list[str]:
    values = {
        "robot": CONFIG / "robots" / "panda.yaml", "scene": CONFIG / "scenes" / "medium.yaml", "task": "reach",
        "seed": 3, "height": HEIGHT, "width": WIDTH, "shadows": False, "samples": 0, "meshes": "full",
        "image_rate_hz": 20.0, "surface_cache": surfaces, **parameters,
    }  # fmt: skip
    return [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]


@pytest.fixture(scope="module")
def graph(surfaces: Path) -> Iterator[Graph]:
    """One graph for all tests of a module: each starts where the one before left it."""
    rclpy.init(args=["--ros-args", *arguments(surfaces)])
    made = Graph()
    yield made
    made.close()
    rclpy.try_shutdown()
