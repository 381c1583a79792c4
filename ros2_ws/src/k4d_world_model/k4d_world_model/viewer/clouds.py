"""Clouds over time, in the robot's base frame and light enough for a browser."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout_frames import Frames


@dataclass(frozen=True, eq=False)
class CloudVideo:
    """T clouds of one camera and the pictures that they were made from.

    points_base: T arrays (n_t, 3) float32 metres in the robot's base frame. colours: T arrays (n_t, 3) uint8.
    pictures: (T, H, W, 3) uint8.
    """

    points_base: tuple[NDArray[np.float32], ...]
    colours: tuple[NDArray[np.uint8], ...]
    pictures: NDArray[np.uint8]

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest corner (3,) of the box that holds most points; one of 1 m where there is no point."""
        points = np.concatenate(self.points_base).astype(np.float64)
        if not len(points):
            return np.full(3, -0.5), np.full(3, 0.5)
        low, high = np.percentile(points, [2, 98], axis=0)
        return low, high


def cloud_video(frames: Frames, T_cam_base: se3.Array, *, points: int) -> CloudVideo:
    """The clouds of ``frames`` under the camera's poses ``T_cam_base`` (T, 4, 4).

    Of larger pictures every n-th row and column is taken, so that a cloud has at most ``points`` points. Raises
    RolloutError as ``stride`` does.
    """
    _, height, width = frames.valid.shape
    n = stride(height, width, points)
    valid, rgb = frames.valid[:, ::n, ::n], frames.rgb[:, ::n, ::n]
    points_cam, T_base_cam = frames.points[:, ::n, ::n], se3.inverse(T_cam_base)
    clouds = tuple(
        se3.transform_points(T_base_cam[k], points_cam[k][valid[k]]).astype(np.float32) for k in range(len(valid))
    )
    return CloudVideo(clouds, tuple(rgb[k][valid[k]] for k in range(len(valid))), frames.rgb)


def stride(height: int, width: int, points: int) -> int:
    """The smallest n that leaves at most ``points`` pixels when every n-th row and column is taken.

    Raises RolloutError when ``points`` is below 1.
    """
    if points < 1:
        raise RolloutError(f"points must be at least 1, got {points}")
    n = max(1, math.isqrt(height * width // points))
    while -(-height // n) * -(-width // n) > points:
        n += 1
    return n
