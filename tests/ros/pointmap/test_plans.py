"""Plans, tool paths and velocities become sequences; what cannot be used is refused with its reason."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from k4d_msgs.msg import PointmapSequence
from nav_msgs.msg import Path as PathMessage
from sensor_msgs.msg import JointState

from k4d_kinematics import se3, tool_path
from k4d_kinematics.camera import Camera
from k4d_kinematics.pipeline import render_trajectory
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot_configuration import ConfiguredRobot
from k4d_kinematics.ros.conversions import nanoseconds, seconds, time_message, transform_from_message
from k4d_kinematics.trajectory import JointTrajectory as Trajectory
from k4d_kinematics.transforms import StaticEdge, StaticTransforms

from .conftest import FRONT, START_NS, T_BASE_FRONT, T_HAND_WRIST, WRIST, Graph, joint_state
from .plan_messages import ARM, FRAMES, collect, complete, path_message, plan_message, shown


@pytest.mark.parametrize(
    ("name", "camera", "parent", "T_parent_cam"),
    [("front", FRONT, "panda_link0", T_BASE_FRONT), ("wrist", WRIST, "panda_hand", T_HAND_WRIST)],
)
def test_a_plan_of_the_arm_becomes_the_pipelines_sequence(
    start: Callable[..., Graph],
    panda: ConfiguredRobot,
    name: str,
    camera: Camera,
    parent: str,
    T_parent_cam: np.ndarray,
) -> None:
    graph = start(plan_frames=FRAMES, tool_link=panda.tool_link)
    summaries, frames = collect(graph, name)
    graph.ready(panda.home)
    goal = panda.home[:7] + np.linspace(-0.3, 0.3, 7)
    graph.publish("planned_trajectory", plan_message(ARM, np.stack([panda.home[:7], goal]), [0.0, 1.5]))
    graph.until(lambda: complete(summaries, frames), "a complete sequence")

    whole = Trajectory(
        panda.robot.joint_names, np.array([0.0, 1.5]), np.stack([panda.home, np.append(goal, panda.home[7])])
    ).resample_uniform(FRAMES)
    renderer = Renderer(panda.surface, camera, RenderSettings(rgb=True))
    place = StaticTransforms([StaticEdge(parent, camera.frame_id, T_parent_cam)])
    sequence = render_trajectory(panda.robot, whole, renderer, place, mount_link=parent)

    (summary,) = summaries.messages
    assert (summary.frame_count, summary.camera, summary.error_code) == (FRAMES, name, PointmapSequence.NONE)
    assert summary.source == PointmapSequence.SOURCE_PLANNED_TRAJECTORY
    assert summary.camera_on_robot == (name == "wrist")
    assert nanoseconds(summary.header.stamp) == START_NS
    assert (summary.robot_name, summary.robot_sha256) == (panda.robot.name, panda.robot.sha256)
    assert (summary.height, summary.width) == (camera.image_height, camera.image_width)
    for index, frame in enumerate(frames.messages):
        assert (frame.sequence_id, frame.index) == (summary.sequence_id, index)
        assert nanoseconds(frame.header.stamp) == START_NS
        assert seconds(frame.time_from_start) == pytest.approx(sequence.times[index])
        T_base_cam = transform_from_message(frame.t_base_cam)
        np.testing.assert_allclose(T_base_cam @ sequence.T_cam_base[index], np.eye(4), atol=1e-9)
        np.testing.assert_allclose(frame.joint_state.position, sequence.positions[index])
        tool = tool_path(panda.robot, panda.tool_link, sequence.positions)
        assert frame.tool_frame_id.endswith(panda.tool_link)
        np.testing.assert_allclose(transform_from_message(frame.t_base_tool), tool.T_base_tool[index], atol=1e-9)
        assert frame.gripper_opening == pytest.approx(tool.opening[index])
        seen = np.isfinite(shown(frame)[..., 2])
        np.testing.assert_array_equal(np.frombuffer(frame.mask.data, np.uint8).reshape(seen.shape) == 255, seen)
        assert (seen & sequence.mask[index]).sum() > 0.99 * (seen | sequence.mask[index]).sum() > 0
        both = seen & sequence.mask[index]
        np.testing.assert_allclose(shown(frame)[both], sequence.points_cam[index][both], atol=1e-3)


@pytest.mark.parametrize("kind", ["nav_msgs/Path", "geometry_msgs/PoseArray"])
def test_tool_poses_in_a_cameras_frame_are_solved(
    start: Callable[..., Graph], panda: ConfiguredRobot, kind: str
) -> None:
    graph = start(plan_frames=FRAMES, tool_path_type=kind)
    summaries, frames = collect(graph, "front")
    graph.ready(panda.home)
    tool = panda.robot.link_index("panda_hand_tcp")
    T_base_tool = np.repeat(panda.robot.forward_kinematics(panda.home)[tool][None], 5, axis=0)
    T_base_tool[:, 0, 3] += np.linspace(0.0, 0.08, 5)
    T_cam_tool = se3.inverse(T_BASE_FRONT) @ T_base_tool
    graph.publish("tool_path", path_message(kind, "front_optical", T_cam_tool))
    graph.until(lambda: complete(summaries, frames), "a complete sequence")
    assert summaries.messages[0].error_code == PointmapSequence.NONE, summaries.messages[0].error_string
    last = np.array(frames.messages[-1].joint_state.position)
    np.testing.assert_allclose(panda.robot.forward_kinematics(last)[tool], T_base_tool[-1], atol=1e-3)
    # A path's stamps are its times (4 s); poses without stamps are played at 10 a second.
    assert seconds(frames.messages[-1].time_from_start) == pytest.approx(4.0 if kind == "nav_msgs/Path" else 0.4)


def test_the_tool_is_the_link_that_the_parameter_names(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(plan_frames=2, tool_link="panda_hand")
    summaries, frames = collect(graph, "front")
    graph.ready(panda.home)
    T_base_hand = panda.robot.forward_kinematics(panda.home)[panda.robot.link_index("panda_hand")]
    graph.publish("tool_path", path_message("nav_msgs/Path", "panda_link0", np.stack([T_base_hand, T_base_hand])))
    graph.until(lambda: complete(summaries, frames), "a complete sequence")
    np.testing.assert_allclose(frames.messages[-1].joint_state.position, panda.home, atol=1e-3)


def test_unreachable_poses_hold_the_joints_and_are_named(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(plan_frames=5)
    summaries, frames = collect(graph, "front")
    graph.ready(panda.home)
    tool = panda.robot.link_index("panda_hand_tcp")
    T_base_tool = np.repeat(panda.robot.forward_kinematics(panda.home)[tool][None], 5, axis=0)
    T_base_tool[3:, 0, 3] += 3.0
    graph.publish("tool_path", path_message("nav_msgs/Path", "panda_link0", T_base_tool))
    graph.until(lambda: complete(summaries, frames), "a complete sequence")
    summary = summaries.messages[0]
    assert (summary.error_code, list(summary.held_frames)) == (PointmapSequence.UNREACHABLE, [3, 4])
    assert "2 of 5 poses" in summary.error_string
    np.testing.assert_allclose(frames.messages[4].joint_state.position, frames.messages[2].joint_state.position)
    assert graph.status("tool_path").level == b"\x02"


def test_velocities_are_held_and_stop_at_limits(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(plan_frames=FRAMES, velocity_horizon=3.0)
    summaries, frames = collect(graph, "front")
    graph.ready(panda.home)
    message = JointState(name=["panda_joint1", "panda_joint6"], velocity=[0.2, 1.0])
    message.header.stamp = time_message(START_NS)
    graph.publish("joint_velocities", message)
    graph.until(lambda: complete(summaries, frames), "a complete sequence")
    last = dict(zip(panda.robot.joint_names, frames.messages[-1].joint_state.position, strict=True))
    upper = dict(zip(panda.robot.joint_names, panda.robot.upper, strict=True))
    assert last["panda_joint1"] == pytest.approx(panda.home[0] + 0.6)
    assert last["panda_joint6"] == pytest.approx(upper["panda_joint6"])
    assert last["panda_joint2"] == pytest.approx(panda.home[1])
    assert "panda_joint6 stops at" in summaries.messages[0].error_string
    assert seconds(frames.messages[-1].time_from_start) == pytest.approx(3.0)


def bad_inputs(home: np.ndarray) -> dict[str, tuple[str, Any, str]]:
    """Name: topic, message, and what the refusal must say."""
    arm = np.stack([home[:7], home[:7]])
    short = plan_message(ARM, arm, [0.0, 1.0])
    short.points[1].positions = [0.0]
    zero_quaternion = path_message("nav_msgs/Path", "panda_link0", np.eye(4)[None])
    zero_quaternion.poses[0].pose.orientation.w = 0.0
    too_fast = JointState(name=["panda_joint1"], velocity=[99.0])
    return {
        "empty plan": ("planned_trajectory", plan_message(ARM, arm[:0], []), "1 to 10000 points, got 0"),
        "foreign joints": ("planned_trajectory", plan_message(("elbow",), arm[:, :1], [0.0, 1.0]), "got ['elbow']"),
        "short point": ("planned_trajectory", short, "positions"),
        "NaN": ("planned_trajectory", plan_message(ARM, arm * math.nan, [0.0, 1.0]), "finite"),
        "time going back": ("planned_trajectory", plan_message(ARM, arm, [1.0, 0.5]), "increase"),
        "zero quaternion": ("tool_path", zero_quaternion, "norm 1"),
        "unknown frame": ("tool_path", path_message("nav_msgs/Path", "moon", np.eye(4)[None]), "moon"),
        "empty path": ("tool_path", PathMessage(), "1 to 10000 points, got 0"),
        "too fast": ("joint_velocities", too_fast, "99.0"),
        "unknown joint": ("joint_velocities", JointState(name=["tail"], velocity=[0.1]), "['tail']"),
        "lengths": ("joint_velocities", JointState(name=["panda_joint1"], velocity=[0.1, 0.2]), "one a name"),
    }


def test_bad_plans_are_refused_with_the_reason_and_survived(
    start: Callable[..., Graph], panda: ConfiguredRobot
) -> None:
    graph = start(plan_frames=FRAMES)
    summaries, frames = collect(graph, "front")
    graph.ready(panda.home)
    for name, (topic, message, reason) in bad_inputs(panda.home).items():
        seen = len(summaries.messages)
        graph.publish(topic, message)
        graph.until(lambda seen=seen: len(summaries.messages) > seen, f"the refusal of {name}")
        refusal = summaries.messages[-1]
        assert refusal.error_code != PointmapSequence.NONE, name
        assert refusal.frame_count == 0, name
        if topic == "tool_path" and name != "unknown frame":
            assert (refusal.error_code, refusal.source) == (
                PointmapSequence.INVALID_INPUT,
                PointmapSequence.SOURCE_TOOL_PATH,
            )
        assert reason in refusal.error_string, f"{name}: {refusal.error_string}"
        assert graph.status(topic).level == b"\x02", name
        assert reason in graph.status(topic).message, name
    assert not frames.messages
    graph.publish("planned_trajectory", plan_message(ARM, np.stack([panda.home[:7]] * 2), [0.0, 1.0]))
    graph.until(lambda: complete(summaries, frames), "a good plan after all the bad ones")
    assert graph.status("planned_trajectory").level == b"\x00"


def test_a_plan_before_anything_is_known_says_what_is_missing(
    start: Callable[..., Graph], panda: ConfiguredRobot
) -> None:
    graph = start(plan_frames=FRAMES)
    summaries, _ = collect(graph, "front")
    plan = plan_message(ARM, np.stack([panda.home[:7]] * 2), [0.0, 1.0])
    graph.publish("planned_trajectory", plan)
    graph.until(lambda: summaries.messages, "the refusal")
    assert summaries.messages[-1].error_code == PointmapSequence.ROBOT_UNAVAILABLE
    graph.publish("joint_states", joint_state(panda.robot.joint_names, panda.home, START_NS), 100)
    graph.until(lambda: len(graph.node.live.joints), "the joint state")
    graph.publish("planned_trajectory", plan)
    graph.until(lambda: len(summaries.messages) == 2, "the second refusal")
    assert summaries.messages[-1].error_code == PointmapSequence.CAMERA_UNAVAILABLE
    graph.look(FRONT, "front", START_NS)
    graph.look(WRIST, "wrist", START_NS)
    graph.until(lambda: all(output._camera for output in graph.node.outputs), "the calibrations")
    graph.publish("planned_trajectory", plan)
    graph.until(lambda: len(summaries.messages) == 3, "the third refusal")
    assert summaries.messages[-1].error_code == PointmapSequence.TRANSFORM_UNAVAILABLE
    assert "front_optical" in summaries.messages[-1].error_string
