"""Episodes of what a reader finds in a recording: pictures, times, joints, depth and calibration."""

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, ConfiguredRobot, JointTrajectory
from k4d_world_model.dataset.episode import Episode, EpisodeInfo, check_episode_id
from k4d_world_model.dataset.robot_pointmaps import with_robot_pointmaps
from k4d_world_model.dataset.sources.calibration import Calibration
from k4d_world_model.errors import EpisodeError, RejectedEpisodeError, SourceError


def recorded_episode(
    info: EpisodeInfo,
    rgb: NDArray[np.uint8],
    times: NDArray[np.float64],
    joints: JointTrajectory | None,
    calibration: Calibration | None,
    robot: ConfiguredRobot | None,
    depth: NDArray[np.float32] | None = None,
) -> Episode:
    """The episode of T frames: rgb (T, H, W, 3), ``times`` (T,) and, where known, joints, calibration and z-depth.

    ``depth`` (T, H, W) in metres becomes the scene's pointmap; NaN stays missing. With a ``robot``, its pointmaps are
    rendered. Raises RejectedEpisodeError where the arrays, the calibration or the joints do not fit each other.
    """
    try:
        episode = Episode(
            info,
            rgb,
            times,
            camera=None if calibration is None else calibration.camera,
            T_world_cam=None if calibration is None else np.tile(calibration.T_world_cam, (len(times), 1, 1)),
            T_world_base=None if calibration is None else calibration.T_world_base,
            joints=joints,
            scene_points=None if depth is None or calibration is None else points_of_depth(calibration.camera, depth),
        )
    except EpisodeError as error:
        raise RejectedEpisodeError(str(error)) from error
    return episode if robot is None else with_robot_pointmaps(episode, robot)


def points_of_depth(camera: Camera, depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points (T, H, W, 3) in the camera's optical frame of z-depths (T, H, W) in metres, NaN where depth is NaN."""
    if depth.shape[1:] != (camera.image_height, camera.image_width):
        raise EpisodeError(
            f"depth must have the camera's {camera.image_height} x {camera.image_width} pixels, got {depth.shape[1:]}"
        )
    directions = np.concatenate([camera.rays(), np.ones((*depth.shape[1:], 1))], axis=-1)  # (H, W, 3)
    return (directions * depth[..., None]).astype(np.float32)


def check_name(name: str) -> None:
    """Raises SourceError unless ``name`` can begin an episode's identifier."""
    try:
        check_episode_id(name)
    except EpisodeError as error:
        raise SourceError(f"name: {error}") from error


def check_rate(rate_hz: float) -> None:
    """Raises SourceError unless a recording's rate is a positive number of frames per second."""
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise SourceError(f"rate_hz must be finite and above 0, got {rate_hz}")


def check_robot_given(robot_name: str, robot: ConfiguredRobot | None) -> None:
    """Raises SourceError when a configuration names a robot that the source was not given."""
    if robot_name and robot is None:
        raise SourceError(f"the configuration names the robot {robot_name!r}; give the loaded robot to the source")
