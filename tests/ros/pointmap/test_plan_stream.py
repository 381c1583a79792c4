"""How sequences are published: newest first, camera beside camera, at the pace of those who listen."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from k4d_msgs.msg import PointmapSequence
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo

from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import KinematicsBackendError
from k4d_kinematics.rendering import Renderer
from k4d_kinematics.robot_configuration import ConfiguredRobot
from k4d_kinematics.ros import kinematics_backend
from k4d_kinematics.ros.conversions import nanoseconds

from .conftest import FRONT, START_NS, T_BASE_FRONT, Graph, joint_state, stamped
from .plan_messages import ARM, FRAMES, collect, complete, path_message, plan_message, simple_plan

MOVE_GROUP = {"plan_frames": 2, "kinematics_backend": "move_group", "planning_group": "arm"}


class SlowMoveGroup:
    """A move_group that reaches no pose, and takes as long as it is held up to open or to say so."""

    def __init__(self, robot: Any, settings: Any, node: Any) -> None:
        self.robot, self.asked, self.is_closed = robot, 0, False
        made.append(self)
        opening.wait()

    def propose_ik(self, T_base_tool: np.ndarray, q_prev: np.ndarray) -> None:
        self.asked += 1
        searching.wait()

    def link_poses(self, q: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(self.robot.link_names, self.robot.forward_kinematics(q), strict=True))

    def close(self) -> None:
        self.is_closed = True


made: list[SlowMoveGroup] = []
opening, searching = threading.Event(), threading.Event()


@pytest.fixture
def slow_move_group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kinematics_backend, "MoveItServices", SlowMoveGroup)
    made.clear()
    opening.clear()
    searching.clear()
    yield
    opening.set()
    searching.set()


def test_the_newest_plan_wins(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(plan_frames=200)
    summaries, frames = collect(graph, "front")
    graph.ready(panda.home)
    for count, shift in ((1, 0.1), (2, 0.2)):
        graph.publish("planned_trajectory", plan_message(ARM, panda.home[:7] + [[0] * 7, [shift] * 7], [0.0, 1.0]))
        graph.until(lambda count=count: len(summaries.messages) == count, f"summary {count}")
    newest = summaries.messages[-1].sequence_id
    graph.until(lambda: [f.sequence_id for f in frames.messages].count(newest) == 200, "all frames of the second plan")
    assert len(frames.messages) < 400, "the first plan was published to its end"
    assert frames.messages[-1].sequence_id == newest


@pytest.mark.usefixtures("slow_move_group")
def test_a_tool_path_that_is_being_solved_does_not_hold_up_the_next_plan(
    start: Callable[..., Graph], panda: ConfiguredRobot
) -> None:
    graph = start(**MOVE_GROUP)
    opening.set()
    summaries, _ = collect(graph, "front")
    graph.ready(panda.home)
    plans, path = graph.node.live.plans, path_message("nav_msgs/Path", "panda_link0", np.tile(np.eye(4), (11, 1, 1)))
    graph.publish("tool_path", path)
    graph.until(lambda: made and made[0].asked == 1, "the first pose")
    graph.publish("tool_path", path)
    graph.until(lambda: plans._candidate.number == 2, "the second tool path")
    second = plans._candidate.plan
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: plans._candidate.number == 3, "the plan")
    assert second.cancelled()
    searching.set()
    graph.until(lambda: summaries.messages, "the plan's summary")
    assert [summary.source for summary in summaries.messages] == [PointmapSequence.SOURCE_PLANNED_TRAJECTORY]
    assert made[0].asked == 1


@pytest.mark.usefixtures("slow_move_group")
def test_a_backend_that_is_still_being_opened_is_closed_without_waiting(start: Callable[..., Graph]) -> None:
    graph = start(**MOVE_GROUP)
    graph.until(lambda: made, "the worker")
    graph.node.live.close()
    assert not made[0].is_closed
    opening.set()
    graph.until(lambda: made[0].is_closed, "its end")


def test_a_backend_that_is_not_there_is_not_called_a_wrong_input(
    start: Callable[..., Graph], panda: ConfiguredRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise KinematicsBackendError("no move_group")

    monkeypatch.setattr(kinematics_backend, "MoveItServices", missing)
    graph = start(**MOVE_GROUP)
    summaries, _ = collect(graph, "front")
    graph.ready(panda.home)
    graph.publish("tool_path", path_message("nav_msgs/Path", "panda_link0", np.eye(4)[None]))
    graph.until(lambda: summaries.messages, "the refusal")
    assert summaries.messages[0].error_code == PointmapSequence.ROBOT_UNAVAILABLE
    assert summaries.messages[0].error_string == "no move_group"


def test_the_next_frame_waits_until_the_last_has_arrived(
    start: Callable[..., Graph], panda: ConfiguredRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = start(plan_frames=FRAMES)
    summaries, frames = collect(graph, "front")
    graph.ready(panda.home)
    monkeypatch.setattr(Publisher, "wait_for_all_acked", lambda publisher, timeout: False)
    graph.publish("planned_trajectory", plan_message(ARM, np.stack([panda.home[:7]] * 2), [0.0, 1.0]))
    graph.until(lambda: frames.messages, "the first frame")
    graph.spin_for(0.2)
    assert len(frames.messages) == 1
    monkeypatch.undo()
    graph.until(lambda: complete(summaries, frames), "the other frames")


def test_a_plan_keeps_the_camera_that_it_was_accepted_with(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(plan_frames=60)
    summaries, frames = collect(graph, "front")
    graph.ready(panda.home)
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: len(frames.messages) > 3, "some frames")
    graph.look(Camera.pinhole(30, 40, 40.0, 40.0, 19.5, 14.5, frame_id="front_optical"), "front", START_NS)
    graph.until(lambda: len(frames.messages) > 9, "more frames")
    graph.publish("front/camera_info", CameraInfo(height=62, width=94))
    graph.until(lambda: complete(summaries, frames), "the rest of the plan")
    assert {(frame.pointmap.height, frame.camera_info.width) for frame in frames.messages} == {(62, 94)}


def test_a_camera_that_is_not_calibrated_refuses_for_itself(
    start: Callable[..., Graph], panda: ConfiguredRobot
) -> None:
    graph = start(plan_frames=FRAMES)
    summaries, frames = collect(graph, "front")
    refusals, _ = collect(graph, "wrist")
    graph.place_cameras()
    graph.move(panda.home, START_NS)
    graph.look(FRONT, "front", START_NS)
    graph.until(lambda: graph.node.outputs[0]._camera and len(graph.node.live.joints), "camera and joints")
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: complete(summaries, frames) and refusals.messages, "one sequence and one refusal")
    (refused,) = refusals.messages
    assert refused.error_code == PointmapSequence.CAMERA_UNAVAILABLE
    assert refused.source == PointmapSequence.SOURCE_PLANNED_TRAJECTORY
    assert nanoseconds(refused.header.stamp) == START_NS
    assert refused.header.frame_id == "panda_link0"
    assert "camera wrist" in graph.status("planned_trajectory").message


def test_a_plan_waits_for_the_transform_of_its_stamp(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(plan_frames=2, cameras="[front]", transform_timeout=20.0)
    summaries, frames = collect(graph, "front")
    graph.move(panda.home, START_NS)
    graph.look(FRONT, "front", START_NS)
    later_ns = START_NS + 10_000_000
    for stamp_ns in (START_NS, START_NS + 1):
        graph._moving.sendTransform(stamped("panda_link0", "front_optical", T_BASE_FRONT, stamp_ns))
    graph.until(lambda: graph.node.outputs[0]._camera and len(graph.node.live.joints), "camera and joints")
    graph.publish("planned_trajectory", simple_plan(panda, later_ns))
    graph.spin_for(0.3)
    assert not summaries.messages
    graph._moving.sendTransform(stamped("panda_link0", "front_optical", T_BASE_FRONT, later_ns + 1))
    graph.until(lambda: complete(summaries, frames), "the sequence")
    assert summaries.messages[0].error_code == PointmapSequence.NONE


def test_plans_are_not_rendered_for_nobody(
    start: Callable[..., Graph], panda: ConfiguredRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = start(plan_frames=FRAMES)
    summaries = graph.receive(PointmapSequence, "front/robot/plan/sequence")
    graph.ready(panda.home)
    rendered = []
    monkeypatch.setattr(Renderer, "render", lambda *words, **options: rendered.append(words))
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: summaries.messages, "the summary")
    graph.until(lambda: not graph.node.live.plans._sequences, "the end of the plan")
    assert not rendered


def test_a_consumer_that_stalls_holds_nobody_up_for_long(
    start: Callable[..., Graph], panda: ConfiguredRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = start(plan_frames=FRAMES, frame_patience=0.02)
    fronts, wrists = collect(graph, "front"), collect(graph, "wrist")
    graph.ready(panda.home)
    monkeypatch.setattr(Publisher, "wait_for_all_acked", lambda publisher, timeout: "front" not in publisher.topic_name)
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: complete(*wrists) and complete(*fronts), "both sequences")
    graph.until(lambda: graph.status("plan of camera front").level == b"\x02", "the report")
    monkeypatch.undo()
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: graph.status("plan of camera front").level == b"\x00", "the end of the trouble")


@pytest.mark.parametrize(("patience", "frames"), [(0.02, FRAMES), (60.0, 0)])
def test_how_long_a_consumer_may_hold_the_frames_up_is_a_parameter(
    start: Callable[..., Graph], panda: ConfiguredRobot, monkeypatch: pytest.MonkeyPatch, patience: float, frames: int
) -> None:
    graph = start(plan_frames=FRAMES, frame_patience=patience)
    summaries, received = collect(graph, "front")
    graph.ready(panda.home)
    monkeypatch.setattr(Publisher, "wait_for_all_acked", lambda publisher, timeout: False)
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: summaries.messages and len(received.messages) == frames, "the frames that go out")
    graph.spin_for(1.5)
    assert len(received.messages) == frames


def test_cameras_take_turns(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(plan_frames=60)
    (_, fronts), (_, wrists) = collect(graph, "front"), collect(graph, "wrist")
    graph.ready(panda.home)
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: len(fronts.messages) >= 20, "a third of the front camera's frames")
    assert len(wrists.messages) >= 5


def test_published_frames_carry_the_prefix(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(plan_frames=2, cameras="[front]", frame_prefix="left/")
    summaries, frames = collect(graph, "front")
    graph._fixed.sendTransform(stamped("left/panda_link0", "front_optical", T_BASE_FRONT, 0))
    graph.publish("joint_states", joint_state(panda.robot.joint_names, panda.home, START_NS), 100)
    graph.look(FRONT, "front", START_NS)
    graph.until(lambda: graph.node.outputs[0]._camera and len(graph.node.live.joints), "camera and joints")
    graph.publish("planned_trajectory", simple_plan(panda))
    graph.until(lambda: complete(summaries, frames), "the sequence")
    assert summaries.messages[0].header.frame_id == frames.messages[0].base_frame_id == "left/panda_link0"
