"""The whole stack beside a simulated robot, all nodes as processes of their own and in a namespace.

A displayed plan, as MoveIt publishes it, becomes a played prediction and, once it is accepted, the robot's motion.
"""

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
from diagnostic_msgs.msg import DiagnosticArray
from k4d_msgs.msg import Rollout
from k4d_msgs.srv import ExecutePlan
from moveit_msgs.msg import DisplayTrajectory, RobotState, RobotTrajectory
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState, PointCloud2
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from k4d_kinematics.ros.camera_output import summaries_qos, summary_qos
from k4d_kinematics.ros.conversions import duration_message, nanoseconds

BIN = Path(sys.prefix) / "bin"
COUNT, HEIGHT, WIDTH = 5, 48, 72
PATIENCE = 120.0
MODEL = f"{{name: still, model: frozen_world, frames: {COUNT}, height: {HEIGHT}, width: {WIDTH}}}\n"
LAUNCH = """
<launch>
  <arg name="model"/>
  <arg name="surfaces"/>
  <arg name="reports"/>
  <arg name="params_file"/>
  <let name="config" value="$(find-pkg-share k4d_bringup)/config"/>
  <node pkg="k4d_simulation" exec="k4d_simulated_robot_node" namespace="cell">
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
  <node pkg="robot_state_publisher" exec="robot_state_publisher" namespace="cell">
    <param name="robot_description" type="str"
      value="$(command '$(exec-in-pkg k4d-robot-description k4d_kinematics) $(var config)/robots/panda.yaml')"/>
  </node>
  <include file="$(find-pkg-share k4d_bringup)/launch/stack.launch.xml">
    <arg name="world_model" value="$(var model)"/>
    <arg name="namespace" value="cell"/>
    <arg name="params_file" value="$(var params_file)"/>
    <arg name="command_topic" value="joint_trajectory"/>
    <arg name="plan_frames" value="5"/>
    <arg name="surface_cache" value="$(var surfaces)"/>
    <arg name="points_frame" value="world"/>
    <arg name="report_folder" value="$(var reports)"/>
  </include>
</launch>
"""


# A loaded machine renders pictures rarely: they are compared with what was predicted up to half a second beside them.
PARAMETERS = """
/**/k4d_playback_node:
  ros__parameters: {rate: 2.0}
/**/k4d_compare_node:
  ros__parameters: {wait: 3600.0, max_rate_hz: 20.0, tolerance: 0.5}
/**/k4d_plan_gate_node:
  ros__parameters: {observation_age: 3600.0, clearance: 0.0}
"""


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "all.launch.xml").write_text(LAUNCH)
    (tmp_path / "still.yaml").write_text(MODEL)
    (tmp_path / "parameters.yaml").write_text(PARAMETERS)
    files = {"model": "still.yaml", "surfaces": "surfaces", "reports": "reports", "params_file": "parameters.yaml"}
    words = [f"{name}:={tmp_path / file}" for name, file in files.items()]
    process = subprocess.Popen([BIN / "k4d-launch", tmp_path / "all.launch.xml", *words])
    rclpy.init()
    yield process
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    rclpy.try_shutdown()


def test_a_plan_becomes_a_played_prediction(launched: subprocess.Popen[bytes], tmp_path: Path) -> None:
    node = Node("watcher", namespace="cell")
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
        ("front/comparison/figures", DiagnosticArray, summary_qos()),
        ("playback/predicted/image", Image, 50),
        ("playback/predicted/points", PointCloud2, 50),
        ("playback/joint_states", JointState, 50),
    ):
        received[topic] = []
        node.create_subscription(kind, topic, received[topic].append, qos)
        until(lambda topic=topic: node.count_publishers(topic), f"a publisher of {topic}")
    plans = node.create_publisher(DisplayTrajectory, "display_planned_path", 10)
    until(lambda: plans.get_subscription_count() == 2, "the pointmap node and the gate")
    until(lambda: received["front/image_raw"], "a picture")
    # Until the pointmap node knows joints, transforms and the camera, it refuses plans.
    while not any(summary.error_code == Rollout.NONE for summary in received["front/predicted/rollout"]):
        plans.publish(_plan(received["joint_states"][-1]))
        answered = _Answer(received["front/predicted/rollout"])
        until(answered, "an answer")
    summary = received["front/predicted/rollout"][-1]
    assert (summary.frame_count, summary.height, summary.width) == (COUNT, HEIGHT, WIDTH)
    assert summary.model_name == "still"
    assert len(summary.robot_sha256) == 64
    resume = node.create_client(Trigger, "playback/resume")
    until(resume.service_is_ready, "the playback's services")
    played = [received[f"playback/{topic}"] for topic in ("predicted/image", "predicted/points", "joint_states")]
    # A node that has not found the transforms or this listener yet plays without: it is asked to play again.
    for _ in range(20):
        for messages in played:
            messages.clear()
        answer = resume.call_async(Trigger.Request())
        until(answer.done, "an answer")
        deadline = time.monotonic() + 10.0
        until(lambda: time.monotonic() > deadline or min(map(len, played)) >= COUNT, "the playback")  # noqa: B023
        if [len(messages) for messages in played] == [COUNT] * 3:
            break
    assert [len(messages) for messages in played] == [COUNT] * 3
    images = received["playback/predicted/image"]
    first, last = (np.frombuffer(image.data, np.uint8).reshape(HEIGHT, WIDTH, 3) for image in (images[0], images[-1]))
    assert (first != last).any(axis=-1).mean() > 0.01, "the robot does not move"
    stamps_ns = [nanoseconds(image.header.stamp) for image in images]
    assert np.abs(np.diff(stamps_ns) - 0.25e9).max() < 1e6, "at twice the speed, as params_file says"
    assert received["playback/predicted/points"][-1].header.frame_id == "world"
    assert received["playback/joint_states"][-1].position[0] != received["playback/joint_states"][0].position[0]
    gate = node.create_client(ExecutePlan, "execute_plan")
    until(gate.service_is_ready, "the gate")
    # Nodes of this process that other tests made may still be in the graph under the same names.
    names = [f"k4d_{name}_node" for name in ("pointmap", "overlay", "prediction", "plan_gate", "compare", "playback")]
    seen = {(name, enclave) for name, _, enclave in node.get_node_names_and_namespaces_with_enclaves()}
    assert {(name, f"/{name}") for name in names} <= seen

    def ask(sequence_id: str) -> ExecutePlan.Response:
        asked = gate.call_async(ExecutePlan.Request(sequence_id=sequence_id, accept_concerns=True))
        until(asked.done, "the gate's answer")
        return asked.result()

    verdicts: list[ExecutePlan.Response] = []
    while not verdicts or verdicts[-1].error_code != ExecutePlan.Request.NONE:
        verdicts.append(ask(""))
        assert len(verdicts) < 1000, verdicts[-1].error_string
    start = received["joint_states"][-1].position[0]
    sent = ask(verdicts[-1].rollout.sequence_id)
    assert sent.executed, sent.error_string
    until(lambda: abs(received["joint_states"][-1].position[0] - start - 0.5) < 0.02, "the motion")
    until(lambda: received["front/comparison/figures"], "the comparison")
    whole, *frames = received["front/comparison/figures"][-1].status
    said = {item.key: item.value for item in whole.values}
    assert said["sequence_id"] == verdicts[-1].rollout.sequence_id
    assert len(frames) == COUNT
    assert float(said["robot_iou_median"]) > 0.6
    assert list((tmp_path / "reports").glob("execution_*/report.html"))
    node.destroy_node()


class _Answer:
    """Whether one more message has come, or ten seconds have passed, within which a plan may have been lost."""

    def __init__(self, messages: list[Any]) -> None:
        self._messages, self._count, self._deadline = messages, len(messages), time.monotonic() + 10.0

    def __call__(self) -> bool:
        return len(self._messages) > self._count or time.monotonic() > self._deadline


def _plan(state: JointState) -> DisplayTrajectory:
    """Half a radian of the first joint within two seconds, in two parts."""
    start, names = list(state.position)[:7], list(state.name)[:7]
    parts = []
    for first, last in ((0.0, 0.2), (0.2, 0.5)):
        points = [
            JointTrajectoryPoint(positions=[start[0] + turn, *start[1:]], time_from_start=duration_message(moment))
            for turn, moment in ((first, 0.0), (last, 4.0 * (last - first)))
        ]
        parts.append(RobotTrajectory(joint_trajectory=JointTrajectory(joint_names=names, points=points)))
    return DisplayTrajectory(trajectory=parts, trajectory_start=RobotState(joint_state=state))
