"""Episodes written as bags and read back, by our reader and by rosbags alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from k4d_kinematics import JointTrajectory
from k4d_kinematics.recordings import read_recorded_trajectory
from k4d_world_model.dataset.bag_writer import write_bag
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.rosbag import RosbagConfig, RosbagSource
from k4d_world_model.errors import DatasetError, EpisodeError


def assert_same(read: Episode, written: Episode) -> None:
    np.testing.assert_array_equal(read.times, written.times)
    np.testing.assert_array_equal(read.rgb, written.rgb)
    np.testing.assert_array_equal(read.scene_points, written.scene_points)
    np.testing.assert_allclose(read.T_world_cam, written.T_world_cam, atol=1e-12)
    np.testing.assert_allclose(read.T_world_base, written.T_world_base, atol=1e-12)
    np.testing.assert_array_equal(read.joints.positions, written.joints.positions)
    assert read.joints.joint_names == written.joints.joint_names
    np.testing.assert_array_equal(read.camera.matrix, written.camera.matrix)
    for name in ("episode_id", "source", "task", "caption", "success", "seed"):
        assert getattr(read.info, name) == getattr(written.info, name), name


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("picture_encoding", ["rgb8", "png"])
def test_an_episode_comes_back_as_it_was(
    episode: Episode, config: RosbagConfig, tmp_path: Path, storage: str, compression: str, picture_encoding: str
) -> None:
    write_bag(
        episode, tmp_path / "reach_0", config, storage=storage, compression=compression,
        picture_encoding=picture_encoding,
    )  # fmt: skip
    assert not [path for path in tmp_path.iterdir() if path.name != "reach_0"]
    source = RosbagSource(config, tmp_path)
    assert source.episode_ids() == ("reach_0",)
    assert_same(source.read("reach_0", FrameSampling(episode.frame_count)), episode)


def test_a_still_camera_is_a_static_transform(episode: Episode, config: RosbagConfig, tmp_path: Path) -> None:
    still = replace(episode, T_world_cam=np.repeat(episode.T_world_cam[:1], episode.frame_count, axis=0))
    write_bag(still, tmp_path / "reach_0", config)
    with AnyReader([tmp_path / "reach_0"]) as reader:
        assert "/tf" not in reader.topics
        qos = reader.topics["/tf_static"].connections[0].ext.offered_qos_profiles
        assert qos[0].durability.name == "TRANSIENT_LOCAL"
    assert_same(RosbagSource(config, tmp_path).read("reach_0", FrameSampling(7)), still)


def test_millimetres_are_rounded_and_bounded(episode: Episode, config: RosbagConfig, tmp_path: Path) -> None:
    write_bag(episode, tmp_path / "mm", config, depth_encoding="16UC1")
    read = RosbagSource(config, tmp_path).read("mm", FrameSampling(7))
    error = np.abs(read.scene_points[..., 2] - episode.scene_points[..., 2])
    assert 1e-5 < np.nanmax(error) < 0.000501
    np.testing.assert_array_equal(np.isnan(read.scene_points), np.isnan(episode.scene_points))
    far = replace(episode, scene_points=episode.scene_points * np.float32(30))
    with pytest.raises(EpisodeError, match=r"65\.535 m"):
        write_bag(far, tmp_path / "far", config, depth_encoding="16UC1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mm"], "half a bag was left"


def test_rosbags_reads_what_ros_would(episode: Episode, config: RosbagConfig, tmp_path: Path) -> None:
    plan = JointTrajectory(("a", "b"), 1.76e9 + np.array([0.01, 0.5, 0.75]), np.arange(6.0).reshape(3, 2))
    write_bag(episode, tmp_path / "reach_0", config, plan=plan)
    expected_ns = [round(float(time) * 1e9 / 1000) * 1000 for time in episode.times]
    stamps: dict[str, list[int]] = {}
    arrivals: list[int] = []
    with AnyReader([tmp_path / "reach_0"]) as reader:
        for connection, arrival, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            arrivals.append(arrival)
            if hasattr(message, "header"):
                stamps.setdefault(connection.topic, []).append(
                    message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
                )
            if connection.topic == "/cam/depth":
                assert (message.encoding, message.height, message.width, message.step) == ("32FC1", 5, 9, 36)
    assert arrivals == sorted(arrivals)
    for topic in ("/cam/image", "/cam/depth", "/cam/camera_info", "/joint_states"):
        np.testing.assert_allclose(stamps[topic], expected_ns, atol=1000, rtol=0)
    np.testing.assert_allclose(
        read_recorded_trajectory(tmp_path / "reach_0", "/planned_trajectory").positions, plan.positions
    )


def test_stamps_are_exact_to_the_nanosecond(episode: Episode, config: RosbagConfig, tmp_path: Path) -> None:
    times = np.arange(7) * 0.1 + np.array([0, 1, 2, 3, 4, 5, 999_999_999]) * 1e-9
    short = replace(episode, times=times, joints=JointTrajectory(("a",), times, np.zeros((7, 1))))
    write_bag(short, tmp_path / "reach_0", config)
    with AnyReader([tmp_path / "reach_0"]) as reader:
        image = [item for item in reader.connections if item.topic == "/cam/image"]
        arrivals = [arrival for _, arrival, _ in reader.messages(image)]
    assert arrivals == [0, 100_000_001, 200_000_002, 300_000_003, 400_000_004, 500_000_005, 1_599_999_999]
    read = RosbagSource(config, tmp_path).read("reach_0", FrameSampling(7))
    np.testing.assert_allclose(read.times, times, rtol=0, atol=1e-15)


def test_labels_that_nobody_knows_stay_unknown(episode: Episode, config: RosbagConfig, tmp_path: Path) -> None:
    bare = replace(episode, info=replace(episode.info, task="", caption="", success=None, seed=None))
    write_bag(bare, tmp_path / "reach_0", config)
    read = RosbagSource(config, tmp_path).read("reach_0", FrameSampling(7))
    assert_same(read, bare)
    assert "without /success, /seed, /task, /caption" in read.info.provenance


def test_what_a_bag_cannot_hold_is_refused(episode: Episode, config: RosbagConfig, tmp_path: Path) -> None:
    off_ray = episode.scene_points.copy()
    off_ray[2, 3, 4, 0] += 0.01
    half = episode.scene_points.copy()
    half[2, 3, 4, 0] = np.nan
    early = episode.times - 1.8e9
    wrong = {
        "on its pixels' rays": replace(episode, scene_points=off_ray),
        "or be all NaN": replace(episode, scene_points=half),
        "'affine'": replace(episode, scale="affine"),
        "no joints": replace(episode, joints=None),
        "no T_world_cam": replace(episode, T_world_cam=None),
        "no scene_points": replace(episode, scene_points=None),
        "ROS stamp": replace(episode, times=early, joints=JointTrajectory(("a",), early, np.zeros((7, 1)))),
    }
    for message, unfit in wrong.items():
        with pytest.raises(EpisodeError, match=message):
            write_bag(unfit, tmp_path / "x", config)
    with pytest.raises(EpisodeError, match="both 'world'"):
        write_bag(episode, tmp_path / "x", replace(config, base_frame="world"))
    assert not list(tmp_path.iterdir())
    write_bag(episode, tmp_path / "x", config)
    with pytest.raises(DatasetError, match="exists already"):
        write_bag(episode, tmp_path / "x", config)
