"""The video shows side by side what was asked for, predicted and recorded."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import write_rollout
from k4d_world_model.rollout_frames import Frames
from k4d_world_model.rollout_video import comparison_pictures

FACTOR = 48  # 6 rows become 288


def column(picture: np.ndarray, k: int) -> np.ndarray:
    return picture[::FACTOR, k * 10 * FACTOR : (k + 1) * 10 * FACTOR : FACTOR]


def test_columns(rollout: Rollout, conditioning: Conditioning, recorded: Episode) -> None:
    frames, happened = Frames.of_rollout(rollout), Frames.of_episode(recorded)
    robot_rgb = np.where(conditioning.robot_mask[..., None], np.uint8(9), np.uint8(0)).repeat(3, axis=-1)
    pictures = comparison_pictures(frames, replace(conditioning, robot_rgb=robot_rgb), happened)
    assert len(pictures) == 5
    for k, picture in enumerate(pictures):
        assert picture.shape == (288, 5 * 10 * FACTOR, 3)
        assert np.array_equal(column(picture, 0), robot_rgb[k])
        assert np.array_equal(column(picture, 1), rollout.rgb[k])
        assert np.array_equal(column(picture, 3), recorded.rgb[k])
        assert not column(picture, 2)[~rollout.valid[k]].any()


def test_equal_points_have_equal_colours(rollout: Rollout) -> None:
    frames = Frames.of_rollout(rollout)
    moved = Frames(frames.rgb, np.where(frames.points > 1, frames.points + 1, frames.points), frames.valid)
    low = (frames.points <= 1).all(axis=-1) & frames.valid
    for k, picture in enumerate(comparison_pictures(frames, recorded=moved)):
        assert np.array_equal(column(picture, 1)[low[k]], column(picture, 3)[low[k]])


def test_without_anything_else_there_are_two_columns(rollout: Rollout, conditioning: Conditioning) -> None:
    frames = Frames.of_rollout(rollout)
    assert comparison_pictures(frames)[0].shape == (288, 2 * 10 * FACTOR, 3)
    assert comparison_pictures(frames, conditioning)[0].shape == (288, 3 * 10 * FACTOR, 3)
    blind = Frames(frames.rgb, np.full_like(frames.points, np.nan), np.zeros_like(frames.valid))
    assert comparison_pictures(frames, recorded=blind)[0].shape == (288, 3 * 10 * FACTOR, 3)


def test_the_video_plays_as_fast_as_it_happens(rollout: Rollout, tmp_path: Path) -> None:
    write_rollout(tmp_path, rollout)
    with av.open(str(tmp_path / "predicted.mp4")) as video:
        rate = float(video.streams.video[0].average_rate)
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(pictures) == 5
    assert rate == pytest.approx(4 / (rollout.times[-1] - rollout.times[0]), rel=1e-2)
    assert np.abs(pictures[2][24::48, 24:480:48].astype(int) - rollout.rgb[2]).mean() < 30
