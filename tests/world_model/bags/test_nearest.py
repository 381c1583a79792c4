"""A bag's frames nearest to given moments, and its joints on a grid of their own."""

from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.dataset.bag_writer import write_bag
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.sources.joint_samples import JointSamples
from k4d_world_model.dataset.sources.rosbag import RosbagConfig, RosbagSource
from k4d_world_model.errors import RejectedEpisodeError


@pytest.fixture
def source(episode: Episode, config: RosbagConfig, tmp_path: Path) -> RosbagSource:
    write_bag(episode, tmp_path / "one", config)
    return RosbagSource(config, tmp_path / "one")


def test_the_nearest_frames_come_once_each_with_all_that_belongs_to_them(
    source: RosbagSource, episode: Episode
) -> None:
    moments = np.sort(np.append(episode.times[[1, 1, 4, 6]] + [-0.004, 0.003, 0.002, 5.0], episode.times[0] - 5.0))
    chosen = sorted({int(np.argmin(np.abs(episode.times - moment))) for moment in moments})
    assert chosen == [0, 1, 4, 6]
    read = source.read_nearest("one", moments)
    np.testing.assert_allclose(read.times, episode.times[chosen], atol=1e-6)
    np.testing.assert_array_equal(read.rgb, episode.rgb[chosen])
    np.testing.assert_array_equal(read.scene_points, episode.scene_points[chosen])
    np.testing.assert_allclose(read.T_world_cam, episode.T_world_cam[chosen], atol=1e-9)
    np.testing.assert_allclose(read.joints.positions, episode.joints.positions[chosen], atol=1e-9)


def test_joints_are_sampled_between_their_messages(source: RosbagSource, episode: Episode) -> None:
    joints = source.joints("one", 0.003)
    assert joints.joint_names == episode.joints.joint_names
    assert joints.times[0] == pytest.approx(episode.times[0], abs=1e-6)
    assert joints.times[-1] == pytest.approx(episode.times[-1], abs=1e-6)
    np.testing.assert_allclose(np.diff(joints.times)[:-1], 0.003, atol=1e-6)
    for column in range(len(joints.joint_names)):
        expected = np.interp(joints.times, episode.times, episode.joints.positions[:, column])
        np.testing.assert_allclose(joints.positions[:, column], expected, atol=1e-4)


def test_samples_of_joints_that_are_never_known_together_or_too_old_are_gone() -> None:
    samples = JointSamples()
    samples.add(1_000, ["a", "b"], [1.0, 2.0])
    samples.add(5_000, ["a"], [3.0])
    samples.forget_before(1_001)
    assert samples.joint_names == ("a",)
    np.testing.assert_array_equal(samples.positions(["a"], np.array([5_000])), [[3.0]])
    samples.add(1_760_000_000_000_000_000, ["c"], [0.0])
    samples.add(1_760_000_000_020_000_100, ["c"], [1.0])  # a float64 has no such second
    np.testing.assert_allclose(samples.sampled(["c"], 0.01).positions[:, 0], [0.0, 0.5, 1.0], atol=1e-4)
    samples.add(9_000, ["b"], [4.0])
    with pytest.raises(RejectedEpisodeError, match="at no moment are all of its joints known: a, b"):
        samples.sampled(["a", "b"], 1e-6)
