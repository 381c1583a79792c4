"""Depth codes: the promised precision, and points that cannot be kept so are refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import Camera
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.depth_codec import (
    COARSEST_STEP,
    FINEST_STEP,
    DepthDecoder,
    Quantisation,
    encode,
    quantisation,
)
from k4d_world_model.dataset.storage.native_sample import list_samples, read_sample, write_sample
from k4d_world_model.errors import EpisodeError

MakeEpisode = Callable[..., Episode]
Unproject = Callable[[Camera, np.ndarray], np.ndarray]


@pytest.mark.parametrize(
    ("far", "error_mm"), [(0.5001, 0.025), (3.7, 0.0251), (13.6, 0.1002), (66.0, 0.5)], ids=lambda value: str(value)
)
def test_the_error_is_as_promised_for_each_range(far: float, error_mm: float) -> None:
    camera = Camera.pinhole(40, 60, 50.0, 51.0, 29.5, 19.5)
    depth = np.random.default_rng(1).uniform(0.5, far, (40, 60)).astype(np.float32)
    depth[0, :2] = 0.5, far
    scale = quantisation("z", float(depth.min()), float(depth.max()), metric=True)
    points = np.empty((40, 60, 3), np.float32)
    DepthDecoder(camera, scale)(encode(depth[None], scale)[0], points)
    assert scale.step == max(FINEST_STEP, (float(depth.max()) - 0.5) / 65534)
    worst = np.abs(points[..., 2].astype(np.float64) - depth).max()
    assert worst <= scale.step / 2 + np.spacing(np.float32(far))
    assert worst * 1e3 <= error_mm
    rays = camera.rays()
    np.testing.assert_allclose(points[..., :2], rays * points[..., 2:], rtol=2e-7)


def test_a_code_of_zero_is_missing_and_one_is_the_nearest() -> None:
    scale = Quantisation(1.5, 0.001)
    np.testing.assert_array_equal(
        encode(np.array([[[np.nan, 1.5, 1.6, 67.034]]], np.float32), scale), [[[0, 1, 101, 65535]]]
    )


def test_a_range_too_large_for_the_promise_is_refused() -> None:
    with pytest.raises(EpisodeError, match=r"scene_points z range from 0\.5 m to 66\.1 m.*at most 65\.534 m"):
        quantisation("scene_points z", 0.5, 66.1, metric=True)
    assert quantisation("z", 0.0, 1e6, metric=False).step == pytest.approx(1e6 / 65534)
    assert pytest.approx(65.534) == 65534 * COARSEST_STEP


@pytest.mark.parametrize("name", ["scene_points", "robot_points"])
@pytest.mark.parametrize("shift_px", [(0.5, 0.0), (0.0, -0.5), (0.02, 0.0), (0.0, 0.02)])
def test_points_off_their_rays_are_refused(
    make_episode: MakeEpisode,
    points_of_depth: Unproject,
    layout: NativeLayout,
    name: str,
    shift_px: tuple[float, float],
) -> None:
    episode = make_episode()
    shifted = Camera.pinhole(
        12, 18, *np.diag(episode.camera.K)[:2], *(episode.camera.K[:2, 2] + np.array(shift_px)), frame_id="front"
    )
    points = points_of_depth(shifted, getattr(episode, name)[..., 2])
    with pytest.raises(EpisodeError, match=rf"{name} must lie on the rays.*0\.01 px.*px off at \("):
        write_sample(layout, replace(episode, **{name: points}))
    assert list_samples(layout) == () if layout.root.exists() else True


def test_points_within_a_hundredth_of_a_pixel_are_taken(
    make_episode: MakeEpisode, points_of_depth: Unproject, layout: NativeLayout
) -> None:
    episode = make_episode()
    fx, fy, cx, cy = (episode.camera.K[i] for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    points = points_of_depth(Camera.pinhole(12, 18, fx, fy, cx + 0.009, cy - 0.009), episode.scene_points[..., 2])
    write_sample(layout, replace(episode, scene_points=points))


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ((0.1, np.nan, 1.0), "must be finite or NaN in all of x, y, z"),
        ((np.inf, np.inf, np.inf), "must be finite or NaN in all of x, y, z"),
        ((np.nan, np.nan, -np.inf), "must be finite or NaN in all of x, y, z"),
        ((0.0, 0.0, -1.0), "must have z > 0"),
        ((0.0, 0.0, 0.0), "must have z > 0"),
    ],
)
def test_points_that_are_none_are_refused_with_their_place(
    make_episode: MakeEpisode, layout: NativeLayout, point: tuple[float, ...], message: str
) -> None:
    points = make_episode().scene_points.copy()
    points[3, 7, 11] = point
    with pytest.raises(EpisodeError, match=rf"scene_points {message}.*\(3, 7, 11\)"):
        write_sample(layout, make_episode(scene_points=points))


def test_a_caption_that_is_no_text_is_refused(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    info = replace(make_episode().info, caption="half a \ud83d pair")
    with pytest.raises(EpisodeError, match="take_1"):
        write_sample(layout, make_episode(info=info))


def test_points_of_eight_bits_are_kept_exactly(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    levels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1) / np.float32(255)
    points = np.concatenate([levels, levels[:, ::-1], np.zeros_like(levels)], axis=-1)
    points[0, 3, 4] = np.nan
    others = {"scale": "affine", "camera": None, "robot_points": None}
    write_sample(layout, make_episode(1, 16, 16, scene_points=points, **others))
    np.testing.assert_array_equal(read_sample(layout, "take_1").scene_points, points)


def test_a_robot_that_is_never_seen_stays_unseen(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    nothing = np.full((5, 12, 18, 3), np.nan, np.float32)
    write_sample(layout, make_episode(robot_points=nothing, robot_mask=np.zeros((5, 12, 18), bool)))
    read = read_sample(layout, "take_1")
    assert np.isnan(read.robot_points).all()
    assert not read.robot_mask.any()


@pytest.mark.parametrize("scale", ["metric", "affine"])
def test_a_flat_axis_keeps_its_value(make_episode: MakeEpisode, layout: NativeLayout, scale: str) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (5, 12, 18, 3)).astype(np.float32)
    points[..., 1] = -0.25
    episode = make_episode(scale=scale, camera=None, scene_points=points, robot_points=None)
    write_sample(layout, episode)
    read = read_sample(layout, "take_1").scene_points
    assert (read[..., 1] == np.float32(-0.25)).all()
    assert np.abs(read - points).max() <= (FINEST_STEP if scale == "metric" else 1 / 65534) / 2 + 1e-7
