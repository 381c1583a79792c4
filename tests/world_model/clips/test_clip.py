"""An episode as tensors: ranges, masks, and metres back from what a model sees."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from k4d_world_model.dataset.clips import Clip, ClipSettings, clip_of
from k4d_world_model.errors import DatasetError, SampleError

from .conftest import FRAMES, HEIGHT, WIDTH, make_episode

SHAPE = (FRAMES, HEIGHT, WIDTH)
Normalization = Literal["scene", "robot"]


def clip(normalization: Normalization = "scene", frames: int = FRAMES) -> Clip:
    return clip_of(make_episode("a"), ClipSettings(normalization, frames))


def test_a_clip_has_the_episodes_pictures_masks_and_times() -> None:
    episode, made = make_episode("a"), clip()
    assert made.episode_id == "a"
    assert made.rgb.dtype == torch.float32
    np.testing.assert_allclose(made.rgb.numpy(), episode.rgb.transpose(3, 0, 1, 2) / 127.5 - 1.0, atol=1e-6)
    assert made.robot_mask.dtype == made.scene_valid.dtype == torch.bool
    np.testing.assert_array_equal(made.robot_mask, episode.robot_mask)
    np.testing.assert_array_equal(made.scene_valid, np.isfinite(episode.scene_points).all(axis=-1))
    np.testing.assert_array_equal(made.times, episode.times)
    assert made.is_metric
    assert not clip_of(replace(episode, scale="affine"), ClipSettings(frames=FRAMES)).is_metric


def test_the_first_frame_and_the_robots_pictures_are_those_of_the_clip() -> None:
    made = clip()
    torch.testing.assert_close(made.first_frame, made.rgb[:, 0])
    for k in range(3):
        assert (made.robot_rgb[k][~made.robot_mask] == -1.0).all()
        torch.testing.assert_close(made.robot_rgb[k][made.robot_mask], made.rgb[k][made.robot_mask])


@pytest.mark.parametrize("normalization", ["scene", "robot"])
def test_metres_come_back_to_a_hundredth_of_a_millimetre(normalization: Normalization) -> None:
    episode, made = make_episode("a"), clip(normalization)
    for points, normalised, affine, valid in (
        (episode.scene_points, made.scene_points, made.scene_affine, made.scene_valid),
        (episode.robot_points, made.robot_points, made.robot_affine, made.robot_mask),
    ):
        assert points is not None
        metres = affine.points(normalised).numpy().transpose(1, 2, 3, 0)  # (T, H, W, 3)
        assert np.abs(metres - points)[valid.numpy()].max() < 1e-5
        assert (normalised[:, ~valid] == -1.0).all()


def test_each_axis_fills_its_range_by_the_extrema_of_the_whole_sequence() -> None:
    made = clip("robot")
    for points, valid in ((made.scene_points, made.scene_valid), (made.robot_points, made.robot_mask)):
        low, high = points[:, valid].min(dim=1).values, points[:, valid].max(dim=1).values
        torch.testing.assert_close(low, -torch.ones(3), atol=1e-6, rtol=0.0)
        torch.testing.assert_close(high, torch.ones(3), atol=1e-6, rtol=0.0)
    first = made.robot_points[:, 0][:, made.robot_mask[0]]
    assert first.max() < 1.0  # the largest lies in another frame


def test_by_the_scene_the_robot_shares_the_scenes_affine() -> None:
    by_scene, by_robot = clip("scene"), clip("robot")
    torch.testing.assert_close(by_scene.robot_affine, by_scene.scene_affine)
    torch.testing.assert_close(by_scene.scene_points, by_robot.scene_points)
    assert not torch.allclose(by_scene.robot_points, by_robot.robot_points)


def test_an_axis_in_which_all_points_agree_becomes_zero() -> None:
    episode = make_episode("a")
    assert episode.scene_points is not None
    flat = episode.scene_points.copy()
    flat[np.isfinite(flat[..., 1]), 1] = 0.7
    made = clip_of(replace(episode, scene_points=flat), ClipSettings(frames=FRAMES))
    assert (made.scene_points[1][made.scene_valid] == 0.0).all()
    metres = made.scene_affine.points(made.scene_points)[1][made.scene_valid]
    torch.testing.assert_close(metres, torch.full_like(metres, 0.7))


def test_longer_episodes_are_sampled_uniformly_and_shorter_ones_are_errors() -> None:
    made, short = clip(), clip(frames=5)
    assert tuple(short.rgb.shape) == (3, 5, HEIGHT, WIDTH)
    torch.testing.assert_close(short.rgb, made.rgb[:, ::2])
    torch.testing.assert_close(short.times, made.times[::2])
    with pytest.raises(SampleError, match=r"sample a makes no clip: it has 9 frames, 11 are needed"):
        clip(frames=11)


def test_what_a_clip_needs_is_named() -> None:
    episode, settings = make_episode("a"), ClipSettings("robot", FRAMES)
    bare = replace(episode, scene_points=None, robot_points=None)
    with pytest.raises(SampleError, match=r"sample a .* no scene_points and no robot_points"):
        clip_of(bare, settings)
    nowhere = np.full((*SHAPE, 3), np.nan, np.float32)
    unseen = replace(episode, robot_points=nowhere, robot_mask=np.zeros(SHAPE, bool))
    with pytest.raises(SampleError, match=r"sample a makes no clip: robot_points hold no point"):
        clip_of(unseen, settings)
    assert not clip_of(unseen, ClipSettings("scene", FRAMES)).robot_mask.any()
    with pytest.raises(DatasetError, match=r"'scene' or 'robot', got 'both'"):
        ClipSettings("both")  # type: ignore[arg-type]


def test_torchs_default_collation_batches_clips() -> None:
    batch = default_collate([clip(), clip_of(make_episode("b", seed=1), ClipSettings(frames=FRAMES))])
    assert isinstance(batch, Clip)
    assert tuple(batch.episode_id) == ("a", "b")
    assert tuple(batch.scene_points.shape) == (2, 3, *SHAPE)
    torch.testing.assert_close(batch.first_frame[1], batch.rgb[1, :, 0])
    assert (batch.robot_rgb[1].amax(dim=0)[~batch.robot_mask[1]] == -1.0).all()
    metres = batch.scene_affine.points(batch.scene_points)[0]
    torch.testing.assert_close(metres, clip().scene_affine.points(clip().scene_points))
