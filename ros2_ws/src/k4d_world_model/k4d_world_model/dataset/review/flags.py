"""Flags: what looks wrong in an episode whose files are sound."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.review.measurements import Measurements, RobotMeasurements, SceneMeasurements, measure
from k4d_world_model.errors import DatasetError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class JointLimits:
    """Limits of named joints, each (J,): positions in radians or metres, speeds in rad/s or m/s; inf where none."""

    joint_names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    speed: tuple[float, ...]


@dataclass(frozen=True)
class FlagThresholds:
    """Beyond what an episode is flagged. Shares are of the pixels of one frame, lengths metres, levels 0 to 255.

    missing_share: scene points that are missing; missing_share_failure: so many that the pointmap is no use.
    nearest, farthest: range in which metric scene depths must lie.
    dark_level, flat_contrast: mean and deviation of the grey levels below which a picture shows nothing.
    still_share: changed pixels below which a frame repeats the one before; still_run: part of the episode that may.
    cut_level: mean change of the grey levels from one frame to the next. depth_change: median relative change of depth.
    step_ratio: longest step of time over the median one.
    camera_speed, camera_turn_rate, robot_speed, joint_speed: m/s, rad/s, m/s, and rad/s or m/s.
    smallest_mask, largest_mask: share of the picture that the robot covers in frames where it is seen.
    tolerance: distance along z within which a robot pixel lies on the scene's surface. front_share: robot pixels in
    front of the surface that the camera sees. visible_share: robot pixels on it, in the frame that has most of them.
    joint_tolerance: radians or metres by which a joint may exceed its limits.

    Raises DatasetError when a threshold is not a positive number.
    """

    missing_share: float = 0.5
    missing_share_failure: float = 0.95
    nearest: float = 0.05
    farthest: float = 20.0
    dark_level: float = 8.0
    flat_contrast: float = 2.0
    still_share: float = 1e-4
    still_run: float = 0.5
    cut_level: float = 40.0
    depth_change: float = 0.1
    step_ratio: float = 3.0
    camera_speed: float = 3.0
    camera_turn_rate: float = 6.0
    robot_speed: float = 5.0
    joint_speed: float = 10.0
    smallest_mask: float = 0.002
    largest_mask: float = 0.6
    tolerance: float = 0.02
    front_share: float = 0.05
    visible_share: float = 0.2
    joint_tolerance: float = 0.002

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise DatasetError(f"threshold {name} must be a positive number, got {value}")


@dataclass(frozen=True)
class Flag:
    """One finding: its name, what was measured where and what is allowed, and whether it makes the episode unusable."""

    name: str
    message: str
    is_failure: bool = False


def flag_episode(
    episode: Episode, thresholds: FlagThresholds | None = None, limits: JointLimits | None = None
) -> tuple[Flag, ...]:
    """The flags of an episode, none when nothing looks wrong.

    Damaged or (nearly) absent scene points are failures in every episode; a robot that disagrees with the scene is one
    where the episode was simulated (it has a seed), since there both come from one truth, and a warning elsewhere.
    ``limits`` apply to the joints that they name.
    """
    thresholds = thresholds or FlagThresholds()
    measured = measure(episode, tolerance=thresholds.tolerance)
    flags = _video_flags(measured, thresholds) + _motion_flags(measured, thresholds)
    if measured.scene is not None:
        flags += _scene_flags(measured.scene, thresholds, metric=episode.scale == "metric")
    if measured.robot is not None:
        flags += _robot_flags(measured.robot, thresholds, simulated=episode.info.seed is not None)
    if limits is not None:
        flags += _limit_flags(episode, limits, thresholds.joint_tolerance)
    return tuple(flags)


def _video_flags(measured: Measurements, thresholds: FlagThresholds) -> list[Flag]:
    still = measured.changed_share < thresholds.still_share
    run = _longest_run(still) / max(len(still), 1)
    return [
        *_below("dark_frame", "mean grey level", measured.brightness, thresholds.dark_level),
        *_below("flat_frame", "deviation of the grey levels", measured.contrast, thresholds.flat_contrast),
        *_above("video_cut", "mean change of the grey levels from the frame before", _later(measured.picture_change),
                thresholds.cut_level),
        *_above("frozen_video", "longest part of the episode without change", np.array([run]), thresholds.still_run,
                per_frame=False),
    ]  # fmt: skip


def _motion_flags(measured: Measurements, thresholds: FlagThresholds) -> list[Flag]:
    steps = measured.steps / (np.median(measured.steps) if len(measured.steps) else 1.0)
    flags = _above("time_gap", "step of time over the median one", _later(steps), thresholds.step_ratio)
    for name, label, values, limit in (
        ("camera_jump", "camera speed (m/s)", measured.camera_speed, thresholds.camera_speed),
        ("camera_jump", "camera turn rate (rad/s)", measured.camera_turn_rate, thresholds.camera_turn_rate),
        ("joint_jump", "fastest joint (rad/s or m/s)", _fastest(measured.joint_speeds), thresholds.joint_speed),
    ):
        flags += _above(name, label, _later(values), limit) if values is not None else []
    return flags


def _scene_flags(scene: SceneMeasurements, thresholds: FlagThresholds, *, metric: bool) -> list[Flag]:
    flags = _above("no_scene", "share of missing scene points", scene.missing_share, thresholds.missing_share_failure,
                   is_failure=True)  # fmt: skip
    flags += _above("damaged_points", "share of infinite, half missing or negative scene points", scene.damaged_share,
                    0.0, is_failure=True)  # fmt: skip
    if not flags:
        flags = _above("missing_points", "share of missing scene points", scene.missing_share, thresholds.missing_share)
    if metric:
        flags += _below("depth_range", "nearest scene depth (m)", scene.nearest, thresholds.nearest)
        flags += _above("depth_range", "farthest scene depth (m)", scene.farthest, thresholds.farthest)
        flags += _above("depth_jump", "median relative change of depth from the frame before",
                        _later(scene.depth_change), thresholds.depth_change)  # fmt: skip
    return flags


def _robot_flags(robot: RobotMeasurements, thresholds: FlagThresholds, *, simulated: bool) -> list[Flag]:
    seen = np.where(robot.mask_share > 0, robot.mask_share, np.nan)
    if np.isnan(seen).all():
        return [Flag("mask_empty", "the robot is in no frame")]
    flags = _below("mask_small", "share of the robot in the picture", seen, thresholds.smallest_mask)
    flags += _above("mask_large", "share of the robot in the picture", seen, thresholds.largest_mask)
    if np.isnan(seen).any():
        gone = int(np.argmax(np.isnan(seen)))
        flags.append(Flag("mask_vanishes", f"frame {gone}: no robot; it is seen in {np.isfinite(seen).sum()} frames"))
    if robot.speed is not None:
        flags += _above("robot_jump", "speed of the robot's median point (m/s)", _later(robot.speed),
                        thresholds.robot_speed)  # fmt: skip
    if robot.front_share is not None and robot.visible_share is not None:
        flags += _above("robot_before_scene", f"share of the robot more than {thresholds.tolerance:g} m in front of "
                        "what the camera sees there", robot.front_share, thresholds.front_share,
                        is_failure=simulated)  # fmt: skip
        if np.isfinite(robot.visible_share).any():
            flags += _below("robot_not_in_scene", "largest share of the robot on what the camera sees there",
                            np.array([np.nanmax(robot.visible_share)]), thresholds.visible_share, per_frame=False,
                            is_failure=simulated)  # fmt: skip
    return flags


def _limit_flags(episode: Episode, limits: JointLimits, tolerance: float) -> list[Flag]:
    if episode.joints is None:
        return []
    flags = []
    for name, lower, upper, speed in zip(limits.joint_names, limits.lower, limits.upper, limits.speed, strict=True):
        if name in episode.joints.joint_names:
            positions = episode.joints.positions[:, episode.joints.joint_names.index(name)]
            rates = np.abs(np.diff(positions)) / np.diff(episode.times)
            flags += _below("joint_limit", f"position of {name}", positions, lower - tolerance)
            flags += _above("joint_limit", f"position of {name}", positions, upper + tolerance)
            flags += _above("joint_speed", f"speed of {name}", _later(rates), speed)
    return flags


def _above(
    name: str, label: str, values: Array, limit: float, *, per_frame: bool = True, is_failure: bool = False
) -> list[Flag]:
    return _beyond(name, f"{label} {{:.4g}}, at most {limit:g}", values, values - limit, per_frame, is_failure)


def _below(
    name: str, label: str, values: Array, limit: float, *, per_frame: bool = True, is_failure: bool = False
) -> list[Flag]:
    return _beyond(name, f"{label} {{:.4g}}, at least {limit:g}", values, limit - values, per_frame, is_failure)


def _beyond(name: str, message: str, values: Array, excess: Array, per_frame: bool, is_failure: bool) -> list[Flag]:
    """One flag for the value with the largest ``excess`` where that is positive; NaN ones do not count."""
    if not (excess > 0).any():
        return []
    worst = int(np.nanargmax(excess))
    text = message.format(values[worst])
    return [Flag(name, f"frame {worst}: {text} ({(excess > 0).sum()} frames)" if per_frame else text, is_failure)]


def _later(changes: Array) -> Array:
    """Changes (T-1,) to the next frame as (T,), each at the later frame, NaN at the first."""
    return np.concatenate([[np.nan], changes])


def _fastest(speeds: Array | None) -> Array | None:
    return None if speeds is None else speeds.max(axis=1, initial=0.0)


def _longest_run(true: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
