"""The way of rollouts to their consumers: slow ones, rollouts that pile up, transforms that are gone by then."""

import pytest
import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from k4d_msgs.msg import Rollout
from rclpy.publisher import Publisher
from tf2_ros import TransformBroadcaster

from k4d_kinematics import se3
from k4d_kinematics.ros.conversions import time_message, transform_message

from .conftest import START_NS, Inputs
from .fake_model import COUNT, FakeModel, Gate


@pytest.mark.parametrize(("patience", "frames"), [(0.02, COUNT), (60.0, 0)])
def test_a_consumer_that_stalls_holds_the_frames_up_as_long_as_is_said(start, monkeypatch, patience, frames) -> None:
    graph = start(FakeModel(), frame_patience=patience)
    graph.show(Inputs())
    with monkeypatch.context() as stalled:
        stalled.setattr(Publisher, "wait_for_all_acked", lambda publisher, timeout: False)
        goal = graph.send()
        graph.until(lambda: not graph.node._outputs["front"].is_idle, "the rollout")
        graph.until(lambda: len(graph.received["predicted/frames"]) == frames, "the frames that go out")
        graph.spin_until_or_for(lambda: len(graph.received["predicted/frames"]) > frames, 1.5)
        assert len(graph.received["predicted/frames"]) == frames
    assert graph.result(goal)[0] == GoalStatus.STATUS_SUCCEEDED
    graph.until(lambda: len(graph.received["predicted/frames"]) == COUNT, "all frames")
    level = DiagnosticStatus.ERROR if frames == COUNT else DiagnosticStatus.OK
    assert graph.status("front/predicted").level == level


def test_a_rollout_that_has_not_had_its_turn_is_replaced_by_a_newer_one(start, monkeypatch) -> None:
    graph = start(FakeModel(), predict_automatically=True, frame_patience=60.0)
    output, told = graph.node._outputs["front"], graph.received["predicted/rollout"]
    with monkeypatch.context() as stalled:
        stalled.setattr(Publisher, "wait_for_all_acked", lambda one, timeout=None: "predicted" not in one.topic_name)
        graph.show(Inputs("first"))
        graph.until(lambda: len(output._waiting) == 1 and output._waiting[0].has_begun, "the first rollout")
        graph.show(Inputs("second", START_NS + 10**9))
        graph.until(lambda: len(output._waiting) == 2, "the second rollout")
        graph.show(Inputs("third", START_NS + 2 * 10**9))
        graph.until(lambda: told, "the end of the second")
        assert "a newer prediction came" in told[0].error_string
    graph.until(lambda: len(told) == 3 and len(graph.received["predicted/frames"]) == 2 * COUNT, "the other two")
    assert [(summary.pointmap_sequence_id, summary.error_code) for summary in told] == [
        ("second", Rollout.CANCELED),
        ("first", Rollout.NONE),
        ("third", Rollout.NONE),
    ]


def test_the_place_of_points_is_that_of_the_observation_however_long_the_prediction_takes(start) -> None:
    gate = Gate(1)
    graph = start(FakeModel(gate), points_frame="table")
    moving = TransformBroadcaster(graph.driver)

    def move(stamp_ns: int) -> None:
        message = TransformStamped(
            child_frame_id="base", transform=transform_message(se3.from_xyz_rpy((1.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
        )
        message.header.frame_id, message.header.stamp = "table", time_message(stamp_ns)
        moving.sendTransform(message)

    def is_known(stamp_ns: int) -> bool:
        at = rclpy.time.Time(nanoseconds=stamp_ns)
        return graph.node._outputs["front"]._topics._transforms.can_transform("table", "base", at)

    graph.until(moving.pub_tf.get_subscription_count, "somebody who hears transforms")
    move(START_NS)
    graph.until(lambda: is_known(START_NS), "the transform")
    graph.show(Inputs())
    goal = graph.send()
    graph.until(gate.reached.is_set, "the prediction")
    for second in range(50, 70, 5):
        move(START_NS + second * 10**9)
    graph.until(lambda: not is_known(START_NS), "the buffer, which keeps ten seconds, to forget it")
    gate.opened.set()
    assert graph.result(goal)[0] == GoalStatus.STATUS_SUCCEEDED
    graph.until(lambda: len(graph.received["predicted/points"]) == COUNT, "points")
    assert graph.status("front/predicted/points").level == DiagnosticStatus.OK
