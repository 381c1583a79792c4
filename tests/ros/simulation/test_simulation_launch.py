"""The simulation's launch file: simulated robot, robot_state_publisher and pointmap node as processes of their own."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from k4d_kinematics.ros.conversions import nanoseconds

from .conftest import PATIENCE

BIN = Path(sys.prefix) / "bin"
SIZE = (62, 94)


@pytest.fixture
def launched(surfaces: Path) -> Iterator[subprocess.Popen[bytes]]:
    values = {"height": SIZE[0], "width": SIZE[1], "task": "push", "meshes": "full", "surface_cache": surfaces}
    words = [f"{name}:={value}" for name, value in values.items()]
    process = subprocess.Popen([BIN / "k4d-launch", "k4d_bringup", "simulation.launch.xml", *words])
    rclpy.init()
    yield process
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    rclpy.try_shutdown()


def test_its_pointmaps_lie_on_its_depth(launched: subprocess.Popen[bytes]) -> None:
    node = Node("watcher")
    seen: dict[str, dict[int, np.ndarray]] = {"front/depth": {}, "front/robot/pointmap": {}}

    def until(condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert launched.poll() is None, "the launch ended"
            assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
            rclpy.spin_once(node, timeout_sec=0.05)

    def keep(topic: str, message: Any) -> None:
        values = np.frombuffer(message.data, np.float32).reshape(message.height, message.width, -1)
        seen[topic][nanoseconds(message.header.stamp)] = values[..., -1]

    def both() -> list[int]:
        return sorted(set.intersection(*(set(stamps) for stamps in seen.values())))

    for topic in seen:
        node.create_subscription(Image, topic, lambda message, topic=topic: keep(topic, message), 50)
    until(both, "a pointmap and a depth image of one stamp")
    client = node.create_client(Trigger, "run_expert")
    until(client.service_is_ready, "the expert")
    answer = client.call_async(Trigger.Request())
    until(answer.done, "the expert to start")
    before = len(both())
    until(lambda: len(both()) >= before + 6, "pointmaps of the expert's motion")
    stamps_ns = both()
    masks = [np.isfinite(seen["front/robot/pointmap"][stamp_ns]) for stamp_ns in (stamps_ns[0], stamps_ns[-1])]
    assert (masks[0] != masks[1]).any(), "nothing moved"
    for stamp_ns in stamps_ns:
        depth, robot = seen["front/depth"][stamp_ns], seen["front/robot/pointmap"][stamp_ns]
        assert depth.shape == robot.shape == SIZE
        difference = np.abs(depth - robot)[np.isfinite(robot)]
        assert len(difference) > 200
        assert np.median(difference) < 5e-5
        assert np.percentile(difference, 95) < 1e-3
    node.destroy_node()
