"""A playback node on a simulated clock, and a driver that sends it rollouts and moves the clock."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from k4d_msgs.srv import Seek, SetRate, Step
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_kinematics.ros.camera_output import summaries_qos
from k4d_kinematics.ros.conversions import duration_message, nanoseconds, time_message
from k4d_world_model.rollout import MetricFit, Provenance, Rollout
from k4d_world_model.ros.playback_node import PlaybackNode
from k4d_world_model.ros.player import Player
from k4d_world_model.ros.rollout_messages import frame_message, summary_message

from ..heard_diagnostics import HearsDiagnostics

HEIGHT, WIDTH = 5, 7
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 9.0, 9.5, 3.0, 2.0, frame_id="front_optical")
T_BASE_CAM = se3.inverse(se3.look_at((1.0, 0.5, 0.8), (0.1, 0.0, 0.2)))
TIMES = (0.5, 0.6, 0.9, 1.0)
SECOND = 10**9
START = 2_000 * SECOND
PATIENCE = 60.0
TOPICS = {
    "joint_states": JointState,
    "predicted/image": Image,
    "predicted/points": PointCloud2,
    "predicted/camera_info": CameraInfo,
}


def make_rollout(shade: int = 0, times: tuple[float, ...] = TIMES, *, joints: bool = True) -> Rollout:
    """Frame k is all of colour shade + k."""
    count = len(times)
    z = np.full((count, HEIGHT, WIDTH, 1), 0.8, np.float32)
    points = np.concatenate([np.broadcast_to(CAMERA.rays().astype(np.float32), (*z.shape[:3], 2)) * z, z], axis=-1)
    points[:, 1, 2] = np.nan
    positions = np.stack([np.arange(count) * 0.1, np.full(count, -0.5), np.ones(count)], axis=-1)
    return Rollout(
        rgb=np.broadcast_to(np.arange(shade, shade + count, dtype=np.uint8)[:, None, None, None], points.shape).copy(),
        points=points,
        valid=np.isfinite(points).all(axis=-1),
        times=np.array(times),
        camera=CAMERA,
        T_cam_base=np.broadcast_to(se3.inverse(T_BASE_CAM), (count, 4, 4)).copy(),
        fit=MetricFit(np.ones(3), np.zeros(3), 0.003, 50),
        provenance=Provenance("fake", "ab" * 32, "cd" * 32, 3, 20, "none", "cpu", 1.0, 0, ()),
        joints=JointTrajectory(("a", "b", "c"), np.array(times), positions) if joints else None,
    )


def messages(rollout: Rollout, sequence_id: str) -> tuple[RolloutMessage, list[RolloutFrame]]:
    header = Header(stamp=time_message(77 * SECOND), frame_id=CAMERA.frame_id)
    summary = summary_message(rollout, header, sequence_id=sequence_id, pointmap_sequence_id="plan", camera="front")
    return summary, [frame_message(rollout, k, summary, "base") for k in range(len(rollout.times))]


class Graph(HearsDiagnostics):
    """The node under test and a driver node, spun together until a condition holds."""

    def __init__(self, prefix: str = "playback") -> None:
        self.node = PlaybackNode()
        self.driver = Node("driver", use_global_arguments=False)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.driver)
        self.received: dict[str, list[Any]] = {topic: [] for topic in TOPICS}
        self._clock = self.driver.create_publisher(Clock, "/clock", 10)
        self.hear_diagnostics()
        for topic, kind in TOPICS.items():
            self.driver.create_subscription(kind, f"{prefix}/{topic}", self.received[topic].append, 500)
            self.until(lambda topic=topic: self.driver.count_publishers(f"{prefix}/{topic}"), f"a publisher of {topic}")
        self._summaries = self.driver.create_publisher(RolloutMessage, "front/predicted/rollout", summaries_qos())
        self._frames = self.driver.create_publisher(RolloutFrame, "front/predicted/frames", 50)
        self._clients = {
            name: self.driver.create_client(kind, f"playback/{name}")
            for name, kind in (
                ("pause", Trigger),
                ("resume", Trigger),
                ("seek", Seek),
                ("step", Step),
                ("set_rate", SetRate),
                ("set_loop", SetBool),
            )
        }

    @property
    def player(self) -> Player:
        """The first one."""
        return next(iter(self.node.stage._players.values()))

    def until(self, condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def at(self, now_ns: int) -> None:
        """Moves the clock, and waits until the node has published what that makes due."""
        self.until(self._clock.get_subscription_count, "somebody who hears the clock")
        self._clock.publish(Clock(clock=time_message(now_ns)))
        self.until(lambda: self.node.get_clock().now().nanoseconds == now_ns, "the clock to move")
        self.node.stage.tick(now_ns)
        self.settle()

    def settle(self) -> None:
        """Waits until everything that the node published has been received."""
        topics, joints = self.player._topics, self.player._joint_states
        for publisher in (*topics.publishers, joints):
            self.until(publisher.get_subscription_count, "us to be seen")
        self.until(lambda: all(p.wait_for_all_acked() for p in (*topics.publishers, joints)), "messages to arrive")
        for _ in range(20):
            self.executor.spin_once(timeout_sec=0.0)

    def send(self, rollout: Rollout, sequence_id: str) -> None:
        """Publishes a rollout and waits until it is loaded."""
        self.settle()
        summary, frames = messages(rollout, sequence_id)
        for publisher in (self._summaries, self._frames):
            self.until(publisher.get_subscription_count, "the node to listen")
        before = self.player._rollout
        self._summaries.publish(summary)
        for frame in frames:
            self._frames.publish(frame)
        self.until(lambda: self.player._rollout is not before, "the rollout to be loaded")

    def tell(self, summary: RolloutMessage) -> None:
        self._summaries.publish(summary)

    def call(self, name: str, request: Any = None) -> Any:
        client = self._clients[name]
        self.until(client.service_is_ready, f"the service {name}")
        answer = client.call_async(request or client.srv_type.Request())
        self.until(answer.done, f"an answer of {name}")
        self.settle()
        return answer.result()

    def seek(self, position: float) -> Seek.Response:
        return self.call("seek", Seek.Request(time_from_start=duration_message(position)))

    def shown(self) -> list[tuple[int, int]]:
        """Colour and stamp of every picture received since the last call."""
        self.settle()
        images, self.received["predicted/image"][:] = list(self.received["predicted/image"]), []
        return [(image.data[0], nanoseconds(image.header.stamp)) for image in images]

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.driver.destroy_node()


@pytest.fixture
def start() -> Iterator[Callable[..., Graph]]:
    """Starts a graph whose node has the given parameters; everything is shut down after the test."""
    graphs: list[Graph] = []

    def start_graph(prefix: str = "playback", **parameters: object) -> Graph:
        values = {"cameras": "[front]", "use_sim_time": True, **parameters}
        words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", *words])
        graphs.append(Graph(prefix))
        return graphs[-1]

    yield start_graph
    for graph in graphs:
        graph.close()
    rclpy.try_shutdown()
