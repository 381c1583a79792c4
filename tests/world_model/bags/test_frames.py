"""Which pictures become frames, and what belongs to them: stamps, interpolation, tolerances."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from k4d_kinematics import Camera, se3
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.joint_samples import JointSamples
from k4d_world_model.dataset.sources.rosbag import RosbagConfig, RosbagSource
from k4d_world_model.errors import RejectedEpisodeError, SourceError

START = 1_760_000_000_123_456_789
MS = 1_000_000
CAMERA = Camera.pinhole(3, 4, 5.0, 6.0, 1.5, 1.0, frame_id="cam")
BARE = RosbagConfig("lab", "/image")

Record = Callable[..., Path]


def read(bag: Path, config: RosbagConfig, frames: int, **sampling: bool) -> Any:
    return RosbagSource(config, bag.parent).read(bag.name, FrameSampling(frames, **sampling))


def images(messages: Any, offsets_ms: list[float], topic: str = "/image") -> list[tuple[str, int, Any]]:
    """Pictures whose every value is their place in the list, recorded 20 ms after their stamp."""
    made = []
    for index, offset in enumerate(offsets_ms):
        stamp = START + round(offset * MS)
        rgb = np.full((3, 4, 3), index, np.uint8)
        made.append((topic, stamp + 20 * MS, messages.image(stamp, rgb, "rgb8")))
    return made


def test_times_are_header_stamps_in_order(messages: Any, record: Record) -> None:
    episode = read(record(images(messages, [30, 0, 10, 10, 20])), BARE, 4)
    np.testing.assert_allclose(episode.times - START * 1e-9, [0.0, 0.01, 0.02, 0.03], atol=5e-7)
    assert episode.rgb[:, 0, 0, 0].tolist() == [1, 2, 4, 0]
    assert "of 5 pictures left out: 1 with a stamp that another has" in episode.info.provenance
    assert (episode.camera, episode.joints, episode.T_world_cam) == (None, None, None)


def test_only_chosen_pictures_are_decoded(messages: Any, record: Record) -> None:
    records = images(messages, [10.0 * k for k in range(9)])
    for index in (1, 2, 3, 5, 6, 7):
        records[index][2].encoding = "yuv422"  # would be refused
    bag = record(records)
    assert read(bag, BARE, 3).rgb[:, 0, 0, 0].tolist() == [0, 4, 8]
    with pytest.raises(RejectedEpisodeError, match="yuv422"):
        read(bag, BARE, 5)


def test_short_recordings_are_mirrored_when_asked(messages: Any, record: Record) -> None:
    joints = [("/joints", START, messages.joints(START + k * 10 * MS, j=float(k))) for k in range(4)]
    bag = record([*images(messages, [0, 10, 20, 30]), *joints])
    config = replace(BARE, joint_topic="/joints")
    episode = read(bag, config, 6, mirror_short=True)
    assert episode.rgb[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 3, 2]
    np.testing.assert_allclose(episode.joints.positions[:, 0], [0, 1, 2, 3, 3, 2], atol=1e-9)
    with pytest.raises(RejectedEpisodeError, match=r"it has 4 frames, 6 are needed.*all of 4 pictures"):
        read(bag, config, 6)


def test_joints_are_interpolated_and_may_come_in_parts(messages: Any, record: Record) -> None:
    arm = [("/joints", START, messages.joints(START + k * 8 * MS, b=0.1 * k, a=-2.0 * k)) for k in range(10)]
    hand = [("/joints", START, messages.joints(START + k * 30 * MS, grip=float(k * k))) for k in range(3)]
    speeds = messages("sensor_msgs/msg/JointState", stamp=START, name=["b"], position=np.zeros(0),
                      velocity=np.ones(1), effort=np.zeros(0))  # fmt: skip
    bag = record([*images(messages, [0, 13, 45, 60]), *arm[::-1], *hand, ("/joints", START, speeds)])
    joints = read(bag, replace(BARE, joint_topic="/joints"), 4).joints
    assert set(joints.joint_names) == {"a", "b", "grip"}
    moments = np.array([0.0, 13.0, 45.0, 60.0])
    np.testing.assert_allclose(joints.reorder(["b"]).positions[:, 0], 0.1 * moments / 8, atol=1e-9)
    np.testing.assert_allclose(joints.reorder(["a"]).positions[:, 0], -2.0 * moments / 8, atol=1e-9)
    np.testing.assert_allclose(joints.reorder(["grip"]).positions[:, 0], [0.0, 13 / 30, 2.5, 4.0], atol=1e-9)


def test_frames_without_joints_are_left_out_and_counted(messages: Any, record: Record) -> None:
    states = [("/joints", START, messages.joints(START + at * MS, j=float(at))) for at in (10, 20, 30, 70, 80)]
    bag = record([*images(messages, [0, 10, 25, 30, 50, 70, 75, 90]), *states])
    config = replace(BARE, joint_topic="/joints", max_joint_gap=0.02)
    episode = read(bag, config, 5)
    assert episode.rgb[:, 0, 0, 0].tolist() == [1, 2, 3, 5, 6]
    np.testing.assert_allclose(episode.joints.positions[:, 0], [10, 25, 30, 70, 75], atol=1e-6)
    assert "of 8 pictures left out: 3 without joints" in episode.info.provenance
    assert read(bag, replace(config, max_joint_gap=0.04), 6).rgb[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(RejectedEpisodeError, match=r"min_covered is 0.7\): of 8 pictures left out: 3 without joints"):
        read(bag, replace(config, min_covered=0.7), 5)
    with pytest.raises(RejectedEpisodeError, match=r"it has 5 frames, 6 are needed.*3 without joints"):
        read(bag, config, 6)


def test_depth_is_paired_by_stamp(messages: Any, record: Record) -> None:
    depths = []
    for offset in (31, 2, 11.5, 60):  # of pictures at 30, 0, 10; none for 45
        stamp = START + round(offset * MS)
        depths.append(("/depth", START, messages.image(stamp, np.full((3, 4), offset, np.float32), "32FC1")))
    info = ("/info", START, messages.camera(CAMERA))
    bag = record([*images(messages, [0, 10, 30, 45]), *depths, info])
    config = replace(BARE, camera_info_topic="/info", depth_topic="/depth", max_depth_age=0.002)
    episode = read(bag, config, 3)
    np.testing.assert_array_equal(episode.scene_points[:, 1, 2, 2], [2.0, 11.5, 31.0])
    u, v = np.meshgrid(np.arange(4), np.arange(3))
    np.testing.assert_allclose(episode.scene_points[1, ..., 0], 11.5 * (u - 1.5) / 5.0, rtol=1e-6)
    np.testing.assert_allclose(episode.scene_points[1, ..., 1], 11.5 * (v - 1.0) / 6.0, rtol=1e-6)
    assert "1 without depth within 0.002 s" in episode.info.provenance
    assert read(bag, replace(config, max_depth_age=0.015), 4).scene_points[3, 0, 0, 2] == 31.0
    big = [("/depth", START, messages.image(START, np.ones((3, 5), np.float32), "32FC1"))]
    other = record([*images(messages, [0]), *big, info], name="bags/sizes")
    with pytest.raises(RejectedEpisodeError, match=r"/depth must have its camera's \(height, width\) \(3, 4\)"):
        read(other, config, 1)


def test_the_camera_is_where_it_was_at_the_stamp(messages: Any, record: Record) -> None:
    poses = []
    for at in (0, 40, 100):
        T_arm_cam = se3.from_xyz_rpy([at / 1000, 0, 0], [0, 0, at / 50])
        poses.append(("/tf", START, messages.transforms(START + at * MS, "arm", "cam", T_arm_cam)))
    arm = messages.transforms(0, "world", "arm", se3.from_xyz_rpy([0, 0, 2.0], [0, 0, 0]))
    base = messages.transforms(0, "world", "base", se3.from_xyz_rpy([1.0, 0, 0], [0, 0, 0.5]))
    fixed = [("/tf_static", START, arm), ("/tf_static", START, base)]
    bag = record([*images(messages, [-5, 10, 40, 85, 110]), *poses, *fixed, ("/info", START, messages.camera(CAMERA))])
    config = replace(BARE, camera_info_topic="/info", world_frame="world", base_frame="base")
    episode = read(bag, config, 3)
    for T, at in zip(episode.T_world_cam, (10, 40, 85), strict=True):
        np.testing.assert_allclose(T, se3.from_xyz_rpy([at / 1000, 0, 2.0], [0, 0, at / 50]), atol=2e-5)
    np.testing.assert_allclose(episode.T_world_base, se3.from_xyz_rpy([1.0, 0, 0], [0, 0, 0.5]), atol=1e-12)
    assert "2 without poses" in episode.info.provenance
    with pytest.raises(RejectedEpisodeError, match="lack the frame table; known are arm, base, cam, world"):
        read(bag, replace(config, base_frame="table"), 3)
    with pytest.raises(RejectedEpisodeError, match="base must stand still"):
        read(bag, replace(config, base_frame="cam"), 3)


def test_a_lens_is_taken_out_and_its_turn_told(messages: Any, record: Record) -> None:
    R = se3.from_xyz_rpy([0, 0, 0], [0.02, 0.0, 0.1])[:3, :3]
    K = np.array([[5.0, 0, 1.5], [0, 6.0, 1.0], [0, 0, 1.0]])
    P = np.hstack([K, np.zeros((3, 1))])
    camera = Camera(3, 4, K, (0.1, 0.0, 0.0, 0.0), "plumb_bob", R, P, frame_id="cam")
    T_world_cam = se3.from_xyz_rpy([1, 2, 3], [0.3, 0.2, 0.1])
    tf = ("/tf_static", START, messages.transforms(0, "world", "cam", T_world_cam))
    bag = record([*images(messages, [0, 10]), tf, ("/info", START, messages.camera(camera))])
    config = replace(BARE, camera_info_topic="/info", world_frame="world")
    for is_rectified in (False, True):
        episode = read(bag, replace(config, image_is_rectified=is_rectified), 2)
        assert not episode.camera.is_distorted
        point_rect = np.array([0.1, 0.2, 1.0])
        expected = T_world_cam[:3, :3] @ (R.T @ point_rect) + T_world_cam[:3, 3]
        np.testing.assert_allclose((episode.T_world_cam[1] @ [*point_rect, 1.0])[:3], expected, atol=1e-12)


def test_a_turning_joint_takes_the_short_way() -> None:
    samples = JointSamples()
    for stamp, angle in ((0, 3.0), (10, -3.0), (20, -2.8)):
        samples.add(stamp, ["wheel"], [angle])
    halfway = samples.positions(["wheel"], np.array([5, 10]), continuous=["wheel"])[:, 0]
    np.testing.assert_allclose(halfway, [np.pi, 2 * np.pi - 3.0])
    np.testing.assert_allclose(samples.positions(["wheel"], np.array([5]))[:, 0], [0.0])


def test_a_damaged_picture_is_named_with_its_bag(messages: Any, record: Record) -> None:
    records = images(messages, [0.0, 10.0, 20.0])
    records[1][2].data = records[1][2].data[:-1]
    bag = record(records)
    with pytest.raises(SourceError, match=rf"^{bag}: message 1 of /image: a rgb8 image of "):
        read(bag, BARE, 3)
