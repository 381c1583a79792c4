"""Wrong live input and jumps of the clock: reported by name in diagnostics, and survived."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo

from k4d_kinematics.errors import CameraError
from k4d_kinematics.robot_configuration import ConfiguredRobot
from k4d_kinematics.ros import pointmap_node
from k4d_kinematics.ros.conversions import camera_message, time_message

from .conftest import FRONT, IMAGES, PLAN, START_NS, WRIST, Graph, joint_state, stamped
from .plan_messages import simple_plan

STEP_NS = 20_000_000
ERROR, WARN, OK = b"\x02", b"\x01", b"\x00"


def test_what_is_missing_is_named_with_since_when(start: Callable[..., Graph]) -> None:
    graph = start()
    for name in ("joint_states", "front/camera_info", "wrist/camera_info"):
        status = graph.status(name)
        assert status.level == WARN
        assert {"since_s", "errors"} == {value.key for value in status.values}
    assert graph.status("robot").level == OK


def test_bad_joint_states_are_named_and_survived(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(trigger="joint_states")
    pointmaps = graph.receive(IMAGES["pointmap"], "front/robot/pointmap")
    graph.ready(panda.home)
    names = panda.robot.joint_names
    not_a_number = panda.home.copy()
    not_a_number[2] = math.nan
    bad = {
        "panda_joint4": joint_state(names[:3] + names[4:], np.delete(panda.home, 3), START_NS + STEP_NS),
        "panda_joint3": joint_state(names, not_a_number, START_NS + STEP_NS),
        "shape": joint_state(names, panda.home[:-1], START_NS + STEP_NS),
        "order of time": joint_state(names, panda.home, START_NS - STEP_NS),
    }
    for reason, message in bad.items():
        before = len(graph.node.live.joints)
        graph.publish("joint_states", message, 100)
        graph.until(lambda reason=reason: reason in graph.status("joint_states").message, f"a report of {reason}")
        assert graph.status("joint_states").level == ERROR
        assert len(graph.node.live.joints) == before
    graph.move(panda.home, START_NS + 2 * STEP_NS)
    graph.until(lambda: START_NS + 2 * STEP_NS in pointmaps.stamps_ns(), "a pointmap after the bad joint states")
    assert graph.status("joint_states").level == OK
    assert int(next(v.value for v in graph.status("joint_states").values if v.key == "errors")) == len(bad)


def test_bad_cameras_are_named_and_survived(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start()
    pointmaps = graph.receive(IMAGES["pointmap"], "front/robot/pointmap")
    graph.ready(panda.home)
    graph.until(lambda: pointmaps.messages, "the first pointmap")
    uncalibrated = CameraInfo(height=62, width=94)
    empty = camera_message(FRONT, time_message(START_NS))
    empty.height = 0
    infinite = camera_message(FRONT, time_message(START_NS))
    infinite.k[2] = math.inf
    huge = camera_message(FRONT, time_message(START_NS))
    huge.width, huge.height = 2**16, 2**16
    lens = camera_message(FRONT, time_message(START_NS))
    lens.distortion_model, lens.d = "fish_bowl", [0.1, 0.2, 0.3, 0.4]
    for reason, message in {
        "uncalibrated": uncalibrated,
        "height": empty,
        "finite": infinite,
        "at most 16777216 pixels": huge,
        "fish_bowl": lens,
    }.items():
        graph.publish("front/camera_info", message)
        graph.until(lambda reason=reason: reason in graph.status("front/camera_info").message, f"a report of {reason}")
        assert graph.status("front/camera_info").level == ERROR
        with pytest.raises(CameraError, match=r"no calibrated front/camera_info"):
            _ = graph.node.outputs[0].camera
    graph.move(panda.home, START_NS + 5 * STEP_NS)
    graph.look(FRONT, "front", START_NS + 5 * STEP_NS)
    graph.until(lambda: START_NS + 5 * STEP_NS in pointmaps.stamps_ns(), "a pointmap after the bad calibrations")


def test_a_stamp_without_transform_is_dropped_with_the_frames_name(
    start: Callable[..., Graph], panda: ConfiguredRobot
) -> None:
    graph = start(transform_timeout=0.1)
    graph.receive(IMAGES["pointmap"], "front/robot/pointmap")
    graph.publish("joint_states", joint_state(panda.robot.joint_names, panda.home, START_NS), 100)
    graph.look(FRONT, "front", START_NS)
    graph.until(lambda: graph.status("camera front").level == ERROR, "the report")
    message = graph.status("camera front").message
    assert "front_optical" in message
    assert "panda_link0" in message


def test_a_recording_that_is_played_again_starts_anew(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start()
    pointmaps = graph.receive(IMAGES["pointmap"], "wrist/robot/pointmap")
    graph.ready(panda.home)
    graph.until(lambda: pointmaps.messages, "a pointmap")
    again_ns = START_NS - 1_000_000_000
    for index in range(5):
        graph.move(panda.home, again_ns + index * STEP_NS)
        graph.spin_for(0.1)
    graph.look(WRIST, "wrist", again_ns + 4 * STEP_NS)
    graph.until(lambda: again_ns + 4 * STEP_NS in pointmaps.stamps_ns(), "a pointmap of the earlier time")
    graph.status("joint_states")  # what was refused before that is told once
    assert graph.status("joint_states").level == OK


def test_a_foreign_joint_state_changes_nothing(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start()
    graph.ready(panda.home)
    for stamp_ns in (0, START_NS - 60_000_000_000, START_NS - 50_000_000_000):
        graph.publish("joint_states", joint_state(("gripper",), np.zeros(1), stamp_ns), 100)
    graph.until(lambda: "panda_joint1" in graph.status("joint_states").message, "the report")
    assert len(graph.node.live.joints) == 1
    assert graph.node.transforms.can_transform("panda_link0", "wrist_optical", Time())


def test_inputs_that_stop_are_named(
    start: Callable[..., Graph], panda: ConfiguredRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointmap_node, "_STALE_AFTER", 0.3)
    graph = start()
    graph.ready(panda.home)
    assert graph.status("joint_states").level == OK
    graph.spin_for(0.4)
    for name in ("joint_states", "front/camera_info"):
        assert graph.status(name).level == WARN
        assert "nothing comes any more" in graph.status(name).message


def test_joint_states_before_the_robot_is_known_are_seen(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(robot="")
    graph.publish("joint_states", joint_state(panda.robot.joint_names, panda.home, START_NS), 100)
    graph.until(lambda: "robot_description" in graph.status("joint_states").message, "the report")


def test_a_simulated_clock_that_stands_is_named_and_diagnostics_go_on(start: Callable[..., Graph]) -> None:
    graph = start(use_sim_time="true")
    graph.until(lambda: "clock" in graph.diagnostics, "diagnostics by their own timer")
    assert graph.diagnostics["clock"].level == WARN
    assert "/clock" in graph.diagnostics["clock"].message


def test_a_clock_that_jumps_back_clears_what_was_known(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(use_sim_time="true")
    pointmaps = graph.receive(IMAGES["pointmap"], "front/robot/pointmap")
    graph.publish("/clock", Clock(clock=time_message(START_NS)))
    graph.until(lambda: graph.node.get_clock().now().nanoseconds == START_NS, "the simulated clock")
    graph.ready(panda.home)
    graph.until(lambda: pointmaps.messages, "a pointmap")
    assert len(graph.node.live.joints)
    earlier_ns = START_NS - 3_000_000_000
    graph.publish("/clock", Clock(clock=time_message(earlier_ns)))
    graph.until(lambda: len(graph.node.live.joints) == 0, "the joint states to be forgotten")
    graph.place_cameras()
    graph.move(panda.home, earlier_ns)
    graph.look(FRONT, "front", earlier_ns)
    graph.until(lambda: earlier_ns in pointmaps.stamps_ns(), "a pointmap of the earlier time")
    assert graph.status("joint_states").level == OK


def test_frames_in_a_circle_are_named_and_the_node_lives(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(cameras="[front]")
    refusals = graph.receive(PLAN["plan/sequence"], "front/robot/plan/sequence")
    graph._fixed.sendTransform(
        [stamped("front_link", "front_optical", np.eye(4), 0), stamped("front_optical", "front_link", np.eye(4), 0)]
    )
    graph.move(panda.home, START_NS)
    graph.look(FRONT, "front", START_NS)
    graph.until(lambda: graph.node.outputs[0]._camera and len(graph.node.live.joints), "camera and joints")
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: refusals.messages, "the refusal")
    assert "front_optical -> front_link -> front_optical" in refusals.messages[0].error_string
