"""Schedules, message definitions and the report on a recording."""

from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from k4d_bringup.bag_report import report_on
from k4d_bringup.errors import BagError
from k4d_bringup.message_types import typestore_for
from k4d_bringup.ros.installation import share_folders
from k4d_bringup.ros.message_classes import message_class
from k4d_bringup.schedule import Schedule

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


def test_a_missing_or_empty_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="nowhere"):
        report_on(tmp_path / "nowhere", STORE)
    with Writer(tmp_path / "empty", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.add_connection("/a", "sensor_msgs/msg/Image", typestore=STORE)
    with pytest.raises(BagError, match="holds no message"):
        report_on(tmp_path / "empty", STORE)
