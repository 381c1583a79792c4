"""Schedules, message definitions and the report on a recording."""

from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from k4d_bringup.bag_report import report_on
from k4d_bringup.errors import BagError
from k4d_bringup.message_types import typestore_for
from k4d_bringup.played_messages import PLAN_TOPIC, played_messages, played_topics
from k4d_bringup.ros.installation import share_folders
from k4d_bringup.ros.message_classes import message_class
from k4d_bringup.schedule import Schedule
from k4d_kinematics import Camera, JointTrajectory
from k4d_world_model import rollout_messages as messages
from k4d_world_model.dataset import bag_messages
from k4d_world_model.rollout import MetricFit, Provenance, Rollout

STORE = get_typestore(Stores.ROS2_KILTED)
SECOND = 1_000_000_000


def test_a_schedule_moves_and_stretches_time() -> None:
    schedule = Schedule(100, 7000, rate=2.0)
    assert [schedule.due_ns(t) for t in (100, 200, 300)] == [7000, 7050, 7100]
    for rate in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(BagError, match="rate"):
            Schedule(0, 0, rate)


def test_our_messages_are_read_with_all_they_consist_of() -> None:
    names = ["k4d_msgs/msg/PointmapFrame", "k4d_msgs/msg/Rollout", "sensor_msgs/msg/Image"]
    store = typestore_for(names, share_folders())
    assert {*names, "diagnostic_msgs/msg/KeyValue", "sensor_msgs/msg/CameraInfo"} <= set(store.fielddefs)
    assert store.hash_rihs01("k4d_msgs/msg/PointmapFrame").startswith("RIHS01_")
    with pytest.raises(BagError, match="'moon_msgs/msg/Crater' is not installed"):
        typestore_for(["moon_msgs/msg/Crater"], share_folders())


def test_message_classes_by_name() -> None:
    assert message_class("sensor_msgs/msg/Image").__name__ == "Image"
    for name in ("sensor_msgs/msg/Imag", "moon_msgs/msg/Crater", "Image"):
        with pytest.raises(BagError, match=name):
            message_class(name)


def header(stamp_ns: int) -> object:
    stamp = STORE.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, SECOND))
    return STORE.types["std_msgs/msg/Header"](stamp, "optical")


def mask(stamp_ns: int, pixels: int) -> object:
    data = np.zeros(12, np.uint8)
    data[:pixels] = 255
    return STORE.types["sensor_msgs/msg/Image"](header(stamp_ns), 3, 4, "mono8", 0, 4, data)


def camera_info(stamp_ns: int) -> object:
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    zeros = np.zeros
    return STORE.types["sensor_msgs/msg/CameraInfo"](
        header(stamp_ns), 3, 4, "", zeros(0), zeros(9), zeros(9), zeros(12), 0, 0, roi
    )


def test_a_report_counts_drops_rates_latencies_and_pixels(tmp_path: Path) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        kinds = {"/side/camera_info": "sensor_msgs/msg/CameraInfo", "/side/robot/mask": "sensor_msgs/msg/Image"}
        topics = {topic: writer.add_connection(topic, kind, typestore=STORE) for topic, kind in kinds.items()}
        for index in range(5):
            stamp_ns = 100 * SECOND + index * SECOND // 10
            for topic, message in (
                ("/side/camera_info", camera_info(stamp_ns)),
                ("/side/robot/mask", mask(stamp_ns, index)),
            ):
                if topic.endswith("mask") and index == 3:
                    continue  # one lost
                raw = STORE.serialize_cdr(message, kinds[topic])
                writer.write(topics[topic], stamp_ns + 7_000_000 * (topic.endswith("mask")), raw)
    infos, masks = report_on(tmp_path / "bag", STORE)
    assert (infos.topic, infos.messages, infos.dropped) == ("/side/camera_info", 5, None)
    assert (masks.messages, masks.expected, masks.dropped) == (4, 5, 1)
    assert masks.rate_hz == pytest.approx(7.5)
    assert infos.rate_hz == pytest.approx(10.0)
    assert (masks.latency_p50_ms, masks.latency_p99_ms) == (pytest.approx(7.0), pytest.approx(7.0))
    assert masks.robot_pixels == pytest.approx((0 + 1 + 2 + 4) / 4)


def test_drops_are_told_by_stamp_where_inputs_are_lost_too(tmp_path: Path) -> None:
    kinds = {"/side/camera_info": "sensor_msgs/msg/CameraInfo"}
    kinds |= {f"/side/robot/{name}": "sensor_msgs/msg/Image" for name in ("mask", "pointmap", "preview")}
    came = {"/side/camera_info": (0, 4), "/side/robot/mask": (0, 1, 2, 4), "/side/robot/pointmap": (1, 2, 3)}
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {topic: writer.add_connection(topic, kind, typestore=STORE) for topic, kind in kinds.items()}
        for topic, indices in came.items():
            for index in indices:
                stamp_ns = 100 * SECOND + index * SECOND // 10
                message = camera_info(stamp_ns) if topic.endswith("info") else mask(stamp_ns, index)
                writer.write(topics[topic], stamp_ns, STORE.serialize_cdr(message, kinds[topic]))
    reports = {
        report.topic: (report.messages, report.expected, report.dropped)
        for report in report_on(tmp_path / "bag", STORE)
    }
    assert reports == {
        "/side/camera_info": (2, None, None),
        "/side/robot/mask": (4, 5, 1),
        "/side/robot/pointmap": (3, 5, 2),
        "/side/robot/preview": (0, 5, 5),
    }


def test_frames_that_a_rollout_announces_are_expected(tmp_path: Path) -> None:
    summary = messages.summary_message(rollout(5), (), "mine", 9)
    kinds = {"/side/predicted/rollout": messages.ROLLOUT, "/side/predicted/frames": messages.ROLLOUT_FRAME}
    store = messages.message_types()
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {topic: writer.add_connection(topic, kind, typestore=store) for topic, kind in kinds.items()}
        came = [("/side/predicted/rollout", summary)]
        came += [
            ("/side/predicted/frames", messages.frame_message(rollout(5), k, "mine", "base", 9)) for k in (0, 3, 4)
        ]
        for topic, message in came:
            writer.write(topics[topic], 10, store.serialize_cdr(message, kinds[topic]))
    frames, announced = report_on(tmp_path / "bag", store)
    assert (frames.topic, frames.messages, frames.expected, frames.dropped) == ("/side/predicted/frames", 3, 5, 2)
    assert (announced.messages, announced.expected, announced.dropped) == (1, None, None)


def rollout(count: int) -> Rollout:
    shape = (count, 2, 3)
    fit, made = MetricFit(np.ones(3), np.zeros(3), 0.0, 1), Provenance("m", "", "", 0, 1, "none", "cpu", 0.0, 0, ())
    return Rollout(
        np.zeros((*shape, 3), np.uint8), np.ones((*shape, 3), np.float32), np.ones(shape, np.bool_),
        np.arange(count) / 10.0, Camera.pinhole(2, 3, 1.0, 1.0, 1.0, 1.0), np.tile(np.eye(4), (count, 1, 1)), fit, made,
    )  # fmt: skip


def test_a_recorded_motion_comes_as_the_plan_that_was_made_before_it(tmp_path: Path) -> None:
    old = bag_messages.planned_trajectory(JointTrajectory(("a",), [0.0, 1.0], [[9.0], [9.0]]), 1)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        states = writer.add_connection("/joints", "sensor_msgs/msg/JointState", typestore=STORE)
        plans = writer.add_connection(PLAN_TOPIC, old.__msgtype__, typestore=STORE)
        for k in range(6):
            stamp_ns = 50 * SECOND + k * SECOND // 10
            message = bag_messages.joint_state(("b", "a"), np.array([k, -k], np.float64), stamp_ns)
            writer.write(states, stamp_ns, STORE.serialize_cdr(message, message.__msgtype__))
        writer.write(plans, 51 * SECOND, STORE.serialize_cdr(old, old.__msgtype__))
    with Reader(tmp_path / "bag") as reader:
        assert [topic.name for topic in played_topics(reader, "/joints")] == ["/joints", PLAN_TOPIC]
        played = list(played_messages(reader, tmp_path / "bag", "/joints", 2.0))
        as_recorded = list(played_messages(reader, tmp_path / "bag", "", 2.0))
    assert [item.topic for item in as_recorded] == ["/joints"] * 6 + [PLAN_TOPIC]
    assert [item.topic for item in played] == ["/joints"] * 3 + [PLAN_TOPIC] + ["/joints"] * 3
    plan = STORE.deserialize_cdr(played[3].raw, played[3].message_type)
    assert (plan.header.stamp.sec, plan.header.stamp.nanosec) == (50, 0)
    assert plan.joint_names == ["b", "a"]
    np.testing.assert_array_equal([point.positions for point in plan.points], [[k, -k] for k in range(6)])
    np.testing.assert_allclose([point.time_from_start.nanosec for point in plan.points], np.arange(6) * 50e6, atol=2)


def test_a_missing_or_empty_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="nowhere"):
        report_on(tmp_path / "nowhere", STORE)
    with Writer(tmp_path / "empty", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.add_connection("/a", "sensor_msgs/msg/Image", typestore=STORE)
    with pytest.raises(BagError, match="holds no message"):
        report_on(tmp_path / "empty", STORE)
