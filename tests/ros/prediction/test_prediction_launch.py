"""The launch file beside a simulated robot, all nodes as processes of their own: a plan becomes a played prediction."""

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
from k4d_msgs.msg import Rollout
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from k4d_kinematics.ros.conversions import duration_message, nanoseconds
from k4d_world_model.ros.rollout_output import summaries_qos

BIN = Path(sys.prefix) / "bin"
COUNT, HEIGHT, WIDTH = 5, 48, 72
PATIENCE = 120.0
MODEL = f"{{name: still, model: frozen_world, frames: {COUNT}, height: {HEIGHT}, width: {WIDTH}}}\n"
LAUNCH = """
<launch>
  <arg name="model"/>
  <arg name="surfaces"/>
  <let name="config" value="$(find-pkg-share k4d_bringup)/config"/>
  <node pkg="k4d_simulation" exec="k4d_simulated_robot_node">
    <param name="robot" value="$(var config)/robots/panda.yaml"/>
    <param name="scene" value="$(var config)/scenes/medium.yaml"/>
    <param name="task" value="push"/>
    <param name="height" value="62"/>
    <param name="width" value="94"/>
    <param name="meshes" value="full"/>
    <param name="shadows" value="false"/>
    <param name="samples" value="0"/>
    <param name="surface_cache" value="$(var surfaces)"/>
  </node>
  <node pkg="robot_state_publisher" exec="robot_state_publisher">
    <param name="robot_description" type="str"
      value="$(command '$(exec-in-pkg k4d-robot-description k4d_kinematics) $(var config)/robots/panda.yaml')"/>
  </node>
  <include file="$(find-pkg-share k4d_bringup)/launch/prediction.launch.xml">
    <arg name="model" value="$(var model)"/>
    <arg name="plan_frames" value="5"/>
    <arg name="surface_cache" value="$(var surfaces)"/>
    <arg name="points_frame" value="world"/>
  </include>
</launch>
"""


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "all.launch.xml").write_text(LAUNCH)
    (tmp_path / "still.yaml").write_text(MODEL)
    words = [f"model:={tmp_path / 'still.yaml'}", f"surfaces:={tmp_path / 'surfaces'}"]
    process = subprocess.Popen([BIN / "k4d-launch", tmp_path / "all.launch.xml", *words])
    rclpy.init()
    yield process
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    rclpy.try_shutdown()


def test_a_plan_becomes_a_played_prediction(launched: subprocess.Popen[bytes]) -> None:
    node = Node("watcher")
    received: dict[str, list[Any]] = {}

    def until(condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert launched.poll() is None, "the launch ended"
            assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
            rclpy.spin_once(node, timeout_sec=0.05)

    for topic, kind, qos in (
        ("joint_states", JointState, 10),
        ("front/image_raw", Image, 10),
        ("front/predicted/rollout", Rollout, summaries_qos()),
        ("playback/predicted/image", Image, 50),
        ("playback/predicted/points", PointCloud2, 50),
        ("playback/joint_states", JointState, 50),
    ):
        received[topic] = []
        node.create_subscription(kind, topic, received[topic].append, qos)
        until(lambda topic=topic: node.count_publishers(topic), f"a publisher of {topic}")
    plans = node.create_publisher(JointTrajectory, "planned_trajectory", 10)
    until(plans.get_subscription_count, "the pointmap node")
    until(lambda: received["front/image_raw"], "a picture")
    # Until the pointmap node knows joints, transforms and the camera, it refuses plans.
    while not any(summary.error_code == Rollout.NONE for summary in received["front/predicted/rollout"]):
        plans.publish(_plan(received["joint_states"][-1], received["front/image_raw"][-1]))
        answered = _Answer(received["front/predicted/rollout"])
        until(answered, "an answer")
    summary = received["front/predicted/rollout"][-1]
    assert (summary.frame_count, summary.height, summary.width) == (COUNT, HEIGHT, WIDTH)
    assert summary.model_name == "still"
    assert len(summary.robot_sha256) == 64
    until(lambda: len(received["playback/predicted/image"]) >= COUNT, "playback")
    until(lambda: len(received["playback/predicted/points"]) >= COUNT, "points of the playback")
    images = received["playback/predicted/image"][-COUNT:]
    first, last = (np.frombuffer(image.data, np.uint8).reshape(HEIGHT, WIDTH, 3) for image in (images[0], images[-1]))
    assert (first != last).any(axis=-1).mean() > 0.01, "the robot does not move"
    stamps_ns = [nanoseconds(image.header.stamp) for image in images]
    assert np.abs(np.diff(stamps_ns) - 0.5e9).max() < 1e6
    assert received["playback/predicted/points"][-1].header.frame_id == "world"
    until(lambda: len(received["playback/joint_states"]) >= COUNT, "joints of the playback")
    assert received["playback/joint_states"][-1].position[0] != received["playback/joint_states"][0].position[0]
    resume = node.create_client(Trigger, "playback/resume")
    until(resume.service_is_ready, "the playback's services")
    answer = resume.call_async(Trigger.Request())
    until(answer.done, "an answer")
    assert answer.result().success
    node.destroy_node()


class _Answer:
    """Whether one more message has come, or ten seconds have passed, within which a plan may have been lost."""

    def __init__(self, messages: list[Any]) -> None:
        self._messages, self._count, self._deadline = messages, len(messages), time.monotonic() + 10.0

    def __call__(self) -> bool:
        return len(self._messages) > self._count or time.monotonic() > self._deadline


def _plan(state: JointState, image: Image) -> JointTrajectory:
    """Half a radian of the first joint within two seconds, from the moment of a picture on."""
    start = list(state.position)[:7]
    points = [
        JointTrajectoryPoint(positions=positions, time_from_start=duration_message(moment))
        for positions, moment in ((start, 0.0), ([start[0] + 0.5, *start[1:]], 2.0))
    ]
    names = list(state.name)[:7]
    return JointTrajectory(header=Header(stamp=image.header.stamp), joint_names=names, points=points)
