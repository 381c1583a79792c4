"""What really happened, in the form that a rollout is compared with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import EpisodeError


@dataclass(frozen=True, eq=False)
class Truth:
    """T frames of one camera as they were recorded or simulated.

    rgb: (T, H, W, 3) uint8.
    points: (T, H, W, 3) float32 metres in the camera's optical frame of all that is seen, NaN where nothing is known.
    robot_points: (T, H, W, 3) float32 metres of the robot alone, by forward kinematics of its joints; NaN elsewhere.
    robot_mask: (T, H, W) bool, where the robot is: the pixels of ``robot_points``, united with those where it is seen
        as far as somebody knows them.

    Raises EpisodeError when shapes or types do not fit each other, a point is neither finite nor NaN in all three
    coordinates, or robot_mask leaves out a robot point.
    """

    rgb: NDArray[np.uint8]
    points: NDArray[np.float32]
    robot_points: NDArray[np.float32]
    robot_mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        pixels = self.rgb.shape[:3]  # (T, H, W)
        expected: tuple[tuple[str, NDArray[np.generic], tuple[int, ...], type[np.generic]], ...] = (
            ("rgb", self.rgb, (*pixels, 3), np.uint8),
            ("points", self.points, (*pixels, 3), np.float32),
            ("robot_points", self.robot_points, (*pixels, 3), np.float32),
            ("robot_mask", self.robot_mask, pixels, np.bool_),
        )
        for name, array, shape, dtype in expected:
            if array.shape != shape or array.dtype != dtype:
                raise EpisodeError(f"{name} must be {dtype.__name__} of shape {shape}, got {array.dtype} {array.shape}")
        for name, points in (("points", self.points), ("robot_points", self.robot_points)):
            if broken := partly_known(points):
                raise EpisodeError(f"{name} must be finite, or NaN in all three coordinates; {broken} are neither")
        outside = int(np.count_nonzero(np.isfinite(self.robot_points[..., 2]) & ~self.robot_mask))
        if outside:
            raise EpisodeError(f"robot_mask must cover every robot point, {outside} of them lie outside")


def partly_known(points: NDArray[np.float32]) -> int:
    """How many of some points (..., 3) are neither finite nor NaN in all three coordinates."""
    return int((~np.isfinite(points).all(axis=-1) & ~np.isnan(points).all(axis=-1)).sum())


def truth_of(episode: Episode, visible_robot_mask: NDArray[np.bool_] | None = None) -> Truth:
    """The episode's pictures, points and robot; ``visible_robot_mask`` (T, H, W) is where the robot is seen, if known.

    Raises EpisodeError where the episode has no points of scene or robot, or they are not in metres.
    """
    if episode.scene_points is None or episode.robot_points is None or episode.robot_mask is None:
        raise EpisodeError(f"episode {episode.info.episode_id} is no truth: it has no points of scene and robot")
    if episode.scale != "metric":
        raise EpisodeError(f"episode {episode.info.episode_id} is no truth: points must be metric, got {episode.scale}")
    mask = episode.robot_mask if visible_robot_mask is None else episode.robot_mask | visible_robot_mask
    return Truth(episode.rgb, episode.scene_points, episode.robot_points, mask)
