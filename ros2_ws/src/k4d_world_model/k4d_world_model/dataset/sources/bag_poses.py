"""Where camera and robot stood when a recording's pictures were taken."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.errors import TransformError
from k4d_kinematics.recordings import read_recorded_transforms
from k4d_kinematics.transforms import RecordedTransforms
from k4d_world_model.errors import RejectedEpisodeError

Array = NDArray[np.float64]

_STILL = 1e-6  # metres, and sines of angles


@dataclass(frozen=True, eq=False)
class BagPoses:
    """Poses at N moments: T_world_cam and T_world_base (N, 4, 4), NaN where one is not ``known`` (N,) bool.

    T_world_base is None where nobody asked for it; ``reason`` tells why the first unknown one is not known.
    """

    T_world_cam: Array
    T_world_base: Array | None
    known: NDArray[np.bool_]
    reason: str = ""


def read_poses(path: Path, world_frame: str, base_frame: str, camera_frame: str, times: Array) -> BagPoses:
    """The poses at ``times`` (N,) seconds, interpolated in a recording's /tf and /tf_static.

    Raises RejectedEpisodeError when its transforms cannot be read or lack one of the frames.
    """
    try:
        transforms = read_recorded_transforms(path)
    except TransformError as error:
        raise RejectedEpisodeError(f"its transforms cannot be used: {error}") from error
    frames = [frame for frame in (world_frame, base_frame, camera_frame) if frame]
    missing = [frame for frame in frames if frame not in transforms.frames]
    if missing:
        known = ", ".join(transforms.frames)
        raise RejectedEpisodeError(f"its transforms lack the frame {', '.join(missing)}; known are {known}")
    T_world_cam, reason = _lookups(transforms, world_frame, camera_frame, times)
    known_at = np.isfinite(T_world_cam[:, 0, 0])
    if not base_frame:
        return BagPoses(T_world_cam, None, known_at, reason)
    T_world_base, base_reason = _lookups(transforms, world_frame, base_frame, times)
    known_at &= np.isfinite(T_world_base[:, 0, 0])
    return BagPoses(T_world_cam, T_world_base, known_at, reason or base_reason)


def fixed_pose(T_world_base: Array) -> Array:
    """The one pose (4, 4) of a base that stands still through (T, 4, 4). Raises RejectedEpisodeError when it moves."""
    travel = np.abs(T_world_base - T_world_base[0]).max()
    if travel > _STILL:
        raise RejectedEpisodeError(
            f"the robot's base must stand still in the world frame, it moves by up to {travel:.6f}; "
            "a robot that drives needs its own base as world frame"
        )
    return np.asarray(T_world_base[0])


def _lookups(transforms: RecordedTransforms, target: str, source: str, times: Array) -> tuple[Array, str]:
    """T_target_source (N, 4, 4), NaN where it is not known, and why the first of these is not."""
    T = np.full((len(times), 4, 4), np.nan)
    reason = ""
    for index, time in enumerate(times.tolist()):
        try:
            T[index] = transforms.lookup(target, source, time)
        except TransformError as error:
            reason = reason or str(error)
    return T, reason
