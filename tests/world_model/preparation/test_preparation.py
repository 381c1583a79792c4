"""What a model reads is made of the start alone, and says where in metres everything is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from k4d_kinematics import Camera, JointTrajectory
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.errors import ConditioningError, EpisodeError, RobotNotVisibleError
from k4d_world_model.fill import fill_colours, fill_points, robot_hole
from k4d_world_model.preparation import conditioning_of, prepare, prepare_target
from k4d_world_model.wan.architecture import Architecture


def episode_of(conditioning: Conditioning, future_seed: int) -> Episode:
    """An episode that starts as the conditioning does, its later pictures and points drawn at random."""
    generator = np.random.default_rng(future_seed)
    shape = conditioning.robot_mask.shape
    rgb = generator.integers(0, 256, (*shape, 3), np.uint8)
    points = generator.uniform(0.5, 9.0, (*shape, 3)).astype(np.float32)
    rgb[0], points[0] = conditioning.first_frame, conditioning.first_points
    return Episode(
        EpisodeInfo("one", "test"), rgb, 7.0 + conditioning.times, camera=conditioning.camera,
        T_world_cam=np.tile(np.eye(4), (shape[0], 1, 1)), T_world_base=np.eye(4), scene_points=points,
        robot_points=conditioning.robot_points, robot_mask=conditioning.robot_mask,
    )  # fmt: skip


@pytest.mark.parametrize("normalization", ["robot", "scene"])
@pytest.mark.parametrize("geometry", ["measured", "ramp"])
def test_prediction_never_reads_the_future(
    conditioning: Conditioning, architecture: Architecture, normalization: str, geometry: str
) -> None:
    chosen = replace(
        architecture, normalization=normalization, first_frame_geometry=geometry, prior="first_frame", head="velocity"
    )
    rendered = conditioning.robot_rgb
    one, by_one = prepare(conditioning_of(episode_of(conditioning, 1), rendered), chosen)
    other, by_other = prepare(conditioning_of(episode_of(conditioning, 2), rendered), chosen)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert np.array_equal(by_one.scale, by_other.scale)
    assert np.array_equal(by_one.offset, by_other.offset)


def test_the_robots_extrema_scale_the_points(conditioning: Conditioning, architecture: Architecture) -> None:
    inputs, by = prepare(conditioning, architecture)
    points = conditioning.robot_points[conditioning.robot_mask]  # (N, 3)
    half = (points.max(0) - points.min(0)) / 2
    assert np.allclose(by.scale, 2.0 * half.max())
    assert np.allclose(by.offset, points.min(0) + half, atol=1e-6)
    seen = inputs.robot_points[0].numpy()[:, conditioning.robot_mask].T
    assert np.allclose(seen * by.scale + by.offset, points, atol=1e-6)
    assert np.abs(seen).max() == pytest.approx(0.5, abs=1e-5)


def test_depths_become_points_on_the_pixels_rays(conditioning: Conditioning, architecture: Architecture) -> None:
    inputs, by = prepare(conditioning, architecture)
    depth = inputs.first_points[:, 2:, None]
    assert torch.allclose(inputs.on_rays(depth)[:, :, 0], inputs.first_points, atol=1e-5)
    moved = inputs.on_rays(depth + 0.25)[0, :, 0].numpy()
    metres = np.moveaxis(moved, 0, -1) * by.scale + by.offset
    first = conditioning.first_points
    assert first is not None
    assert np.allclose(metres, first * (metres[..., 2] / first[..., 2])[..., None], atol=1e-4)


def test_the_hole_is_where_the_robot_is_seen(conditioning: Conditioning) -> None:
    first, mask = conditioning.first_points, conditioning.robot_mask[0]
    assert first is not None
    hole = robot_hole(conditioning.robot_points[0], mask, first)
    assert hole[mask].all()
    assert hole.sum() == (7 + 2) * (5 + 2)
    nearer = first.copy()
    nearer[5, 6] *= 0.5  # something stands before the robot there
    centre = np.zeros_like(mask)
    centre[5, 6] = True
    assert not robot_hole(conditioning.robot_points[0], centre & mask, nearer).any()


def test_filling_continues_what_surrounds_the_hole() -> None:
    camera = Camera.pinhole(20, 31, 30.0, 30.0, 15.0, 9.0)
    rays = np.concatenate([camera.rays(), np.ones((20, 31, 1))], axis=-1)
    plane = (rays * (1.0 + 0.02 * np.arange(31))[None, :, None]).astype(np.float32)
    hole = np.zeros((20, 31), np.bool_)
    hole[6:12, 10:19] = True
    damaged = plane.copy()
    damaged[hole] = 0.3 * rays[hole]
    damaged[2, 3] = np.nan
    assert np.allclose(fill_points(damaged, hole, camera), plane, atol=2e-3)
    rgb = np.repeat((4 * np.arange(31, dtype=np.uint8) + 50)[None, :, None], 20, axis=0).repeat(3, axis=2)
    filled = fill_colours(np.where(hole[..., None], np.uint8(255), rgb), hole)
    assert np.abs(filled.astype(int) - rgb).max() <= 1


def test_what_cannot_be_filled_stays_missing() -> None:
    camera = Camera.pinhole(4, 6, 5.0, 5.0, 2.0, 2.0)
    nothing = np.full((4, 6, 3), np.nan, np.float32)
    assert np.isnan(fill_points(nothing, np.zeros((4, 6), np.bool_), camera)).all()
    rgb = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    assert np.array_equal(fill_colours(rgb, np.ones((4, 6), np.bool_)), rgb)


def test_targets_use_the_given_scale(conditioning: Conditioning, architecture: Architecture) -> None:
    episode = episode_of(conditioning, 5)
    assert episode.scene_points is not None
    _, by = prepare(conditioning_of(episode), architecture)
    rgb, points, valid = prepare_target(episode.rgb, episode.scene_points, by)
    back = np.moveaxis(points.numpy(), 0, -1) * by.scale + by.offset
    assert np.allclose(back, episode.scene_points, atol=1e-5)
    assert valid.all()
    assert np.allclose((np.moveaxis(rgb.numpy(), 0, -1) + 1) * 127.5, episode.rgb, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_points": None}, "depth image"),
        ({"first_points": np.full((16, 32, 3), np.nan, np.float32)}, "no measurement"),
        ({"robot_rgb": None}, "colours"),
    ],
)
def test_what_a_model_needs_is_named(
    conditioning: Conditioning, architecture: Architecture, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConditioningError, match=message):
        prepare(replace(conditioning, **change), architecture)


def test_a_robot_out_of_view_is_named(conditioning: Conditioning, architecture: Architecture) -> None:
    nowhere = np.zeros_like(conditioning.robot_mask)
    unseen = replace(conditioning, robot_mask=nowhere, robot_points=np.full_like(conditioning.robot_points, np.nan))
    with pytest.raises(RobotNotVisibleError, match="none of the 9 frames"):
        prepare(unseen, architecture)


def test_another_size_is_refused(conditioning: Conditioning, architecture: Architecture) -> None:
    with pytest.raises(ConditioningError, match=r"\(5, 16, 32\).*\(9, 16, 32\)"):
        prepare(conditioning, replace(architecture, frames=5))


def test_actions_are_the_joints(conditioning: Conditioning, architecture: Architecture) -> None:
    chosen = replace(architecture, condition="actions", action_size=3, prior="first_frame", head="velocity")
    with pytest.raises(ConditioningError, match="joint positions"):
        prepare(conditioning, chosen)
    positions = np.random.default_rng(0).normal(size=(9, 3))
    joints = JointTrajectory(("a", "b", "c"), conditioning.times, positions)
    inputs, _ = prepare(replace(conditioning, joints=joints), chosen)
    assert np.allclose(inputs.actions[0], positions, atol=1e-6)
    with pytest.raises(ConditioningError, match="2 joints a frame, got 3"):
        prepare(replace(conditioning, joints=joints), replace(chosen, action_size=2))


def test_an_episode_without_calibration_gives_no_conditioning(conditioning: Conditioning) -> None:
    episode = replace(episode_of(conditioning, 1), T_world_cam=None)
    with pytest.raises(EpisodeError, match="T_world_cam"):
        conditioning_of(episode)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_frame": np.zeros((16, 31, 3), np.uint8)}, "first_frame must be uint8"),
        ({"first_frame": np.zeros((16, 32, 3), np.float32)}, "first_frame must be uint8"),
        ({"times": np.zeros(9)}, "strictly increasing"),
        ({"robot_mask": np.zeros((9, 16, 32), np.bool_)}, "exactly where"),
    ],
)
def test_a_conditioning_checks_itself(conditioning: Conditioning, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConditioningError, match=message):
        replace(conditioning, **change)
