"""The recording is one of ROS: k4d_msgs' own definitions, and standard messages with the same content."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from k4d_kinematics import se3
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_bag import write_rollout_bag
from k4d_world_model.rollout_messages import message_types

STAMP_NS = 1_760_000_000_123_456_789
DEFINITIONS = Path(__file__).resolve().parents[3] / "ros2_ws" / "src" / "k4d_msgs" / "msg"


@pytest.fixture
def recording(rollout: Rollout, tmp_path: Path) -> dict[str, list[tuple[int, Any]]]:
    """All messages by topic, read as a foreign tool does: by the definitions that the file carries."""
    path = tmp_path / "rollout.mcap"
    write_rollout_bag(path, rollout, stamp_ns=STAMP_NS, base_frame="base")
    assert [item.name for item in tmp_path.iterdir()] == ["rollout.mcap"]
    topics: dict[str, list[tuple[int, Any]]] = {}
    with AnyReader([path]) as reader:
        for connection, at, raw in reader.messages():
            topics.setdefault(connection.topic, []).append((at, reader.deserialize(raw, connection.msgtype)))
    return topics


def test_the_definitions_are_those_of_k4d_msgs() -> None:
    theirs = get_typestore(Stores.ROS2_KILTED)
    for name in ("Rollout", "RolloutFrame"):
        theirs.register(get_types_from_msg((DEFINITIONS / f"{name}.msg").read_text(), f"k4d_msgs/msg/{name}"))
        kind = f"k4d_msgs/msg/{name}"
        assert message_types().hash_rihs01(kind) == theirs.hash_rihs01(kind)
        assert message_types().fielddefs[kind] == theirs.fielddefs[kind]


def test_summary_and_frames_hold_the_rollout(recording: dict[str, list[tuple[int, Any]]], rollout: Rollout) -> None:
    ((_, summary),) = recording["/predicted/rollout"]
    frames = [message for _, message in recording["/predicted/frames"]]
    assert (summary.frame_count, summary.height, summary.width) == rollout.valid.shape
    assert (summary.seed, summary.weights_sha256) == (2**63 + 5, "ab" * 32)
    assert (summary.metric, summary.metric_residual, summary.error_code) == (True, rollout.fit.residual, 0)
    assert len(frames) == len(rollout.times)
    for k, frame in enumerate(frames):
        assert (frame.index, frame.sequence_id, frame.base_frame_id) == (k, summary.sequence_id, "base")
        assert frame.header.stamp.sec * 10**9 + frame.header.stamp.nanosec == STAMP_NS
        assert frame.time_from_start == summary.time_from_start[k]
        duration = frame.time_from_start.sec + frame.time_from_start.nanosec / 1e9
        assert duration == pytest.approx(rollout.times[k], abs=1e-9)
        assert frame.header.frame_id == frame.camera_info.header.frame_id == rollout.camera.frame_id
        assert np.array_equal(frame.camera_info.k.reshape(3, 3), rollout.camera.K)
        assert bytes(frame.pointmap.data) == rollout.points[k].tobytes()
        assert bytes(frame.rgb.data) == rollout.rgb[k].tobytes()
        assert np.array_equal(frame.mask.data.reshape(rollout.valid[k].shape), 255 * rollout.valid[k])
        assert [frame.pointmap.encoding, frame.rgb.encoding, frame.mask.encoding] == ["32FC3", "rgb8", "mono8"]
        p, q = frame.t_base_cam.translation, frame.t_base_cam.rotation
        T_base_cam = se3.from_xyzw((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
        np.testing.assert_allclose(T_base_cam @ rollout.T_cam_base[k], np.eye(4), atol=1e-9)


def test_standard_topics_play_at_the_moments_that_they_predict(
    recording: dict[str, list[tuple[int, Any]]], rollout: Rollout
) -> None:
    assert rollout.joints is not None
    for topic in ("/predicted/image", "/predicted/points", "/predicted/camera_info", "/joint_states"):
        assert len(recording[topic]) == len(rollout.times)
        for (at, message), time in zip(recording[topic], rollout.times, strict=True):
            assert at == message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            assert at - STAMP_NS == round(time * 1e9)
    for k, (_, state) in enumerate(recording["/joint_states"]):
        assert tuple(state.name) == rollout.joints.joint_names
        assert np.array_equal(state.position, rollout.joints.positions[k])
    for k, (_, picture) in enumerate(recording["/predicted/image"]):
        assert bytes(picture.data) == rollout.rgb[k].tobytes()


def test_the_cloud_has_points_and_colours(recording: dict[str, list[tuple[int, Any]]], rollout: Rollout) -> None:
    for k, (_, cloud) in enumerate(recording["/predicted/points"]):
        layout = [(field.name, field.offset, field.datatype, field.count) for field in cloud.fields]
        assert layout == [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("rgb", 12, 7, 1)]
        assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (6, 10, 16, 160)
        rows = cloud.data.reshape(6, 10, 16)
        assert rows[..., :12].tobytes() == rollout.points[k].tobytes()
        assert np.array_equal(rows[..., 12:15], rollout.rgb[k][..., ::-1])  # b, g, r, 0: 0x00RRGGBB, little-endian
        assert not rows[..., 15].any()
