"""What can be measured on an episode without knowing what is right: brightness, gaps, motion, areas, agreement."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_world_model.dataset.episode import Episode

Array = NDArray[np.float64]

# Grey levels of 255 by which lossy coding alone may change a pixel from one frame to the next.
_CODING_NOISE = 8
# Frames are measured on a grid of about this many pixels: shares and medians do not need more.
_GRID_PIXELS = 50_000


@dataclass(frozen=True, eq=False)
class SceneMeasurements:
    """Of the scene's points, each (T,): share of missing ones, of damaged ones (partly missing, infinite, or for
    metric points behind the camera), nearest and farthest depth (NaN in frames without points), and (T-1,): the median
    over the pixels of the relative change of depth to the next frame (NaN where no pixel has both)."""

    missing_share: Array
    damaged_share: Array
    nearest: Array
    farthest: Array
    depth_change: Array


@dataclass(frozen=True, eq=False)
class RobotMeasurements:
    """Of the robot: its share of the picture (T,) and the speed of its median point (T-1,), m/s, NaN where it is out
    of sight. Where there are metric scene points too, of the robot's pixels (T,): the share that lies in front of what
    the camera sees, where it cannot be, and the share on what the camera sees; NaN in frames without such pixels."""

    mask_share: Array
    speed: Array | None
    front_share: Array | None
    visible_share: Array | None


@dataclass(frozen=True, eq=False)
class Measurements:
    """Of all episodes, (T,) mean and standard deviation of the grey levels; (T-1,) seconds to the next frame, mean
    change of the grey levels, share of the pixels that change more than coding noise. Where known, (T-1,) the camera's
    speed in m/s and turn rate in rad/s, and (T-1, J) the joints' speeds in rad/s or m/s."""

    brightness: Array
    contrast: Array
    steps: Array
    picture_change: Array
    changed_share: Array
    camera_speed: Array | None
    camera_turn_rate: Array | None
    joint_speeds: Array | None
    scene: SceneMeasurements | None
    robot: RobotMeasurements | None


def measure(episode: Episode, *, tolerance: float) -> Measurements:
    """The measurements of an episode. ``tolerance`` is the distance in metres along z within which a robot pixel
    counts as lying on the scene's surface."""
    steps = np.diff(episode.times)
    grid = _grid(episode)
    grey = episode.rgb[grid].astype(np.float32).mean(axis=-1)  # (T, h, w)
    change = np.abs(np.diff(grey, axis=0))  # (T-1, h, w)
    metric_poses = episode.T_world_cam if episode.scale == "metric" else None
    return Measurements(
        brightness=_mean(grey),
        contrast=grey.std(axis=(1, 2), dtype=np.float64),
        steps=steps,
        picture_change=_mean(change),
        changed_share=_mean(change > _CODING_NOISE),
        camera_speed=None if metric_poses is None else _speed(metric_poses[:, :3, 3], steps),
        camera_turn_rate=None if metric_poses is None else _turn_rate(metric_poses, steps),
        joint_speeds=None if episode.joints is None else np.abs(np.diff(episode.joints.positions, axis=0).T / steps).T,
        scene=None if episode.scene_points is None else _scene(episode.scene_points[grid], episode.scale == "metric"),
        robot=None if episode.robot_mask is None else _robot(episode, grid, tolerance),
    )


def _grid(episode: Episode) -> tuple[slice, slice, slice]:
    height, width = episode.rgb.shape[1:3]
    stride = max(1, round((height * width / _GRID_PIXELS) ** 0.5))
    return slice(None), slice(None, None, stride), slice(None, None, stride)


def _scene(points: NDArray[np.float32], metric: bool) -> SceneMeasurements:
    depth = points[..., 2]  # (T, h, w)
    missing = np.asarray(np.isnan(points).all(axis=-1))
    usable = np.asarray(np.isfinite(points).all(axis=-1)) & ((depth > 0) | (not metric))
    known = np.where(usable, depth, np.float32(np.nan))
    change = np.abs(np.diff(known, axis=0)) / np.maximum(np.abs(known[1:]), np.finfo(np.float32).tiny)
    return SceneMeasurements(
        missing_share=_mean(missing),
        damaged_share=_mean(~(missing | usable)),
        nearest=_per_frame(known, np.min),
        farthest=_per_frame(known, np.max),
        depth_change=_per_frame(change, np.median),
    )


def _robot(episode: Episode, grid: tuple[slice, slice, slice], tolerance: float) -> RobotMeasurements:
    assert episode.robot_mask is not None
    mask = episode.robot_mask[grid]
    if episode.robot_points is None or episode.scale != "metric":
        return RobotMeasurements(episode.robot_mask.mean(axis=(1, 2)), None, None, None)
    points = episode.robot_points[grid]
    middles = np.array(
        [np.median(p[m], axis=0) if m.any() else np.full(3, np.nan) for p, m in zip(points, mask, strict=True)]
    )
    front = visible = None
    if episode.scene_points is not None:
        beyond = np.where(mask, episode.scene_points[grid][..., 2] - points[..., 2], np.nan)  # > 0: before the scene
        front = _share(beyond > tolerance, beyond)
        visible = _share(np.abs(beyond) <= tolerance, beyond)
    speed = _speed(middles.astype(np.float64), np.diff(episode.times))
    return RobotMeasurements(episode.robot_mask.mean(axis=(1, 2)), speed, front, visible)


def _speed(places: Array, steps: Array) -> Array:
    return np.linalg.norm(np.diff(places, axis=0), axis=-1) / steps  # type: ignore[no-any-return]


def _turn_rate(poses: Array, steps: Array) -> Array:
    return se3.rotation_angle(se3.inverse(poses[:-1]) @ poses[1:]) / steps


def _mean(frames: NDArray[np.bool_] | NDArray[np.float32]) -> Array:
    return np.asarray(frames.mean(axis=(1, 2), dtype=np.float64))


def _per_frame(values: Array | NDArray[np.float32], statistic: Callable[[NDArray[np.generic]], Any]) -> Array:
    """``statistic`` of each frame's known values (T,), NaN where a frame has none."""
    known = (frame[~np.isnan(frame)] for frame in values)
    return np.array([float(statistic(frame)) if frame.size else np.nan for frame in known], np.float64)


def _share(true: NDArray[np.bool_], values: NDArray[np.float32]) -> Array:
    """The share of each frame's known ``values`` where ``true`` (T,), NaN where a frame has none."""
    known = (~np.isnan(values)).sum(axis=(1, 2))
    return np.where(known > 0, true.sum(axis=(1, 2)) / np.maximum(known, 1), np.nan)
