"""Disturbed pointmaps: each noise does what it states, no more, and the same again for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import Camera
from k4d_world_model.ablation.pointmap_noise import PointmapNoise, disturbed
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import AblationError

FRAMES, HEIGHT, WIDTH = 3, 40, 52


@pytest.fixture
def robot() -> Conditioning:
    """A block in the middle whose points say which pixel they belong to."""
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), np.bool_)
    mask[:, 10:30, 16:36] = True
    v, u = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1).astype(np.float32)
    return Conditioning(
        first_frame=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        robot_points=np.where(mask[..., None], pixels, np.float32(np.nan)),
        robot_mask=mask,
        times=np.arange(FRAMES) * 0.1,
        camera=Camera.pinhole(HEIGHT, WIDTH, 40.0, 41.0, 25.5, 19.5, frame_id="lens"),
        T_cam_base=np.tile(np.eye(4), (FRAMES, 1, 1)),
        robot_rgb=np.where(mask[..., None], np.uint8(90), np.uint8(0)).repeat(3, axis=-1),
    )


def pixels_of(conditioning: Conditioning) -> tuple[np.ndarray, np.ndarray]:
    """Where (n, 2) the robot's points of frame 0 lie in the picture (u, v), and where they came from."""
    v, u = np.nonzero(conditioning.robot_mask[0])
    return np.stack([u, v], axis=-1), conditioning.robot_points[0, v, u, :2]


def test_no_noise_changes_nothing(robot: Conditioning) -> None:
    same = disturbed(robot, PointmapNoise(), seed=3)
    assert np.array_equal(same.robot_points, robot.robot_points, equal_nan=True)
    assert np.array_equal(same.robot_rgb, robot.robot_rgb)


def test_a_share_of_each_frames_pixels_is_lost(robot: Conditioning) -> None:
    lost = disturbed(robot, PointmapNoise(removed_share=0.05), seed=3)
    assert not (lost.robot_mask & ~robot.robot_mask).any()
    assert (robot.robot_mask.sum((1, 2)) - lost.robot_mask.sum((1, 2))).tolist() == [20] * FRAMES
    assert not np.array_equal(lost.robot_mask[0], lost.robot_mask[1])
    assert (lost.robot_rgb[~lost.robot_mask] == 0).all()
    kept = lost.robot_mask
    assert np.array_equal(lost.robot_points[kept], robot.robot_points[kept])


def test_jitter_has_the_stated_spread(robot: Conditioning) -> None:
    noisy = disturbed(robot, PointmapNoise(jitter=0.02), seed=3)
    assert np.array_equal(noisy.robot_mask, robot.robot_mask)
    added = (noisy.robot_points - robot.robot_points)[robot.robot_mask]  # (n, 3)
    assert np.allclose(added.std(axis=0), 0.02, rtol=0.1)
    assert np.allclose(added.mean(axis=0), 0.0, atol=0.002)


@pytest.mark.parametrize("size", [1, 5])
def test_a_shift_moves_all_pixels_by_as_much(robot: Conditioning, size: int) -> None:
    signs = set()
    for seed in range(12):
        where, came_from = pixels_of(disturbed(robot, PointmapNoise(shift_px=size), seed=seed))
        assert len(where) == 400
        moved = np.unique(where - came_from, axis=0)
        assert moved.shape == (1, 2)
        assert np.abs(moved).tolist() == [[size, size]]
        signs.add(tuple(np.sign(moved[0])))
    assert len(signs) == 4


def test_a_turn_has_the_stated_angle(robot: Conditioning) -> None:
    turns = []
    for seed in range(8):
        where, came_from = pixels_of(disturbed(robot, PointmapNoise(turn_deg=20.0), seed=seed))
        middle = (np.array([WIDTH, HEIGHT]) - 1) / 2
        before, after = came_from - middle, where - middle
        cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        turns.append(np.degrees(np.arctan2(cross.sum(), (before * after).sum())))
    assert np.allclose(np.abs(turns), 20.0, atol=0.5)
    assert min(turns) < 0 < max(turns)


def test_what_leaves_the_picture_is_lost_and_nothing_comes_in(robot: Conditioning) -> None:
    wide = replace(
        robot,
        robot_mask=np.ones_like(robot.robot_mask),
        robot_points=np.ones_like(robot.robot_points),
    )
    moved = disturbed(wide, PointmapNoise(shift_px=5), seed=3)
    assert moved.robot_mask.sum() == FRAMES * (HEIGHT - 5) * (WIDTH - 5)


def test_a_seed_means_the_same_again(robot: Conditioning) -> None:
    noise = PointmapNoise(shift_px=2, turn_deg=3.0, removed_share=0.1, jitter=0.01)
    one, same, other = (disturbed(robot, noise, seed=seed).robot_points for seed in (5, 5, 6))
    assert np.array_equal(one, same, equal_nan=True)
    assert not np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("wrong", [{"shift_px": -1}, {"turn_deg": 180.0}, {"removed_share": 1.0}, {"jitter": -0.1}])
def test_noise_out_of_range_is_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AblationError, match=r"shift_px.*turn_deg.*removed_share"):
        PointmapNoise(**wrong)
