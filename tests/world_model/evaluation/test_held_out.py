"""Episodes to evaluate on, at any size, and the robot's pictures in them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import DatasetError, EpisodeError, SourceError
from k4d_world_model.evaluation.fitted_episode import fitted_episode, shortened
from k4d_world_model.evaluation.held_out import HeldOut, conditioning_with_robot, of_source, of_split, robot_pictures
from k4d_world_model.fitting import fitted

from .conftest import DATASET, ROOT


def test_frames_are_taken_evenly_or_not_at_all(episode: Episode) -> None:
    some = shortened(episode, 7)
    np.testing.assert_array_equal(some.rgb, episode.rgb[::8])
    np.testing.assert_array_equal(some.robot_points, episode.robot_points[::8])
    assert some.joints is not None
    assert episode.joints is not None
    np.testing.assert_array_equal(some.joints.positions, episode.joints.positions[::8])
    for frames in (8, 50, 1):
        with pytest.raises(EpisodeError, match=f"has 49 frames, of which every k-th shall make {frames}:"):
            shortened(episode, frames)


def test_a_larger_episode_is_brought_to_the_model_as_its_first_frame_is(held_out: HeldOut, episode: Episode) -> None:
    small = fitted_episode(episode, 30, 36)
    conditioning = fitted(conditioning_with_robot(episode, held_out.robot), 30, 36)
    np.testing.assert_array_equal(small.rgb[0], conditioning.first_frame)
    np.testing.assert_array_equal(small.scene_points[0], conditioning.first_points)
    np.testing.assert_array_equal(small.robot_points, conditioning.robot_points)
    assert small.camera == conditioning.camera
    later = replace(conditioning_with_robot(episode, held_out.robot), first_frame=episode.rgb[31])
    np.testing.assert_array_equal(small.rgb[31], fitted(later, 30, 36).first_frame)
    bare = fitted_episode(replace(episode, robot_points=None, robot_mask=None), 30, 36)
    assert bare.robot_points is bare.robot_mask is None
    np.testing.assert_array_equal(bare.scene_points[7], small.scene_points[7])
    with pytest.raises(EpisodeError, match="has no camera"):
        fitted_episode(replace(episode, camera=None), 30, 36)


def test_rendered_robot_pictures_lie_on_the_robot_and_look_like_it(held_out: HeldOut, episode: Episode) -> None:
    pictures = robot_pictures(episode, held_out.robot)
    lit = pictures.max(axis=-1) > 0
    assert (lit == episode.robot_mask).mean() > 0.99  # the fixture was drawn with reduced meshes
    both = lit & episode.robot_mask
    # Light differs; what is bright in one is bright in the other.
    assert np.corrcoef(pictures[both].mean(axis=-1), episode.rgb[both].mean(axis=-1))[0, 1] > 0.5
    with pytest.raises(EpisodeError, match="has no joints"):
        robot_pictures(replace(episode, joints=None), held_out.robot)


def test_sources_and_splits_say_what_is_wrong_with_them(robot: ConfiguredRobot, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="source must be 'simulation' to be evaluated on, got 'rosbag'"):
        of_source(ROOT / "config" / "sources" / "bag.yaml", 49)
    with pytest.raises(DatasetError, match=r"episodes must be within 1\.\.\d+, got 99"):
        of_split(DATASET, "train", robot).first(99)
    with pytest.raises(DatasetError, match="no such folder"):
        of_split(tmp_path / "nowhere", "val", robot)


def test_held_out_sources_are_fifty_seeds_beyond_those_trained_on(tmp_path: Path) -> None:
    taken: set[int] = set()
    for scene in ("easy", "medium", "hard"):
        part = of_source(ROOT / "config" / "sources" / f"held_out_{scene}.yaml", 49, tmp_path)
        seeds = {seed_of(episode_id) for episode_id in part.episode_ids}
        assert min(seeds) >= 5_000_000
        assert not taken & seeds
        taken |= seeds
        for purpose in ("training", "simulation"):
            trained = yaml.safe_load((ROOT / "config" / "sources" / f"{purpose}_{scene}.yaml").read_text())
            assert trained["seed"] + trained["episodes"] <= min(seeds)
        assert any(not episode_id.endswith("expert") for episode_id in part.episode_ids)
    assert len(taken) == 50


def seed_of(episode_id: str) -> int:
    return next(int(part) for part in episode_id.split("_") if part.isdigit())
