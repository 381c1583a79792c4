"""Robot pointmaps of recorded joints: the kinematics half applied to an episode."""

import hashlib
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, ConfiguredRobot, Renderer, RenderSettings, ToolPath, se3, tool_path
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.rendering import RobotImageSequence
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import EpisodeError, RejectedEpisodeError


def with_robot_pointmaps(episode: Episode, robot: ConfiguredRobot, *, workers: int = 1) -> Episode:
    """The episode with ``robot_points`` and ``robot_mask`` rendered from its joints, camera and poses.

    Raises RejectedEpisodeError naming what is missing, or the joint that does not fit the robot.
    """
    try:
        images = rendered_robot(episode, robot, workers=workers)
    except EpisodeError as error:
        raise RejectedEpisodeError(str(error)) from error
    return replace(episode, robot_points=images.points_cam, robot_mask=np.asarray(images.mask, np.bool_))


def drawn_robot_sha256(robot: ConfiguredRobot) -> str:
    """The hash of all that drawing depends on: the robot's description, its tool and its surface."""
    digest = hashlib.sha256(f"{robot.robot.sha256} {robot.tool_link}".encode())
    for array in (*robot.surface.parts, *robot.surface.colors):
        digest.update(f"{array.dtype.str} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def rendered_robot(
    episode: Episode, robot: ConfiguredRobot, settings: RenderSettings | None = None, *, workers: int = 1
) -> RobotImageSequence:
    """What the episode's camera sees of the robot at its joints.

    Raises EpisodeError naming what is missing, or the joint that does not fit the robot.
    """
    missing = [name for name in ("camera", "T_world_cam", "T_world_base", "joints") if getattr(episode, name) is None]
    if missing:
        raise EpisodeError(f"it has no {', '.join(missing)}, which robot pointmaps need")
    assert episode.camera is not None
    assert episode.T_world_cam is not None
    assert episode.T_world_base is not None
    positions = _positions(episode, robot)
    T_base_link = robot.robot.forward_kinematics(positions)  # (T, L, 4, 4)
    T_cam_base = se3.inverse(episode.T_world_cam) @ episode.T_world_base  # (T, 4, 4)
    renderer = _renderer(robot, episode.camera, settings or RenderSettings())
    return renderer.render_sequence(T_cam_base[:, None] @ T_base_link, workers=workers)


def robot_tool(episode: Episode, robot: ConfiguredRobot) -> ToolPath | None:
    """The path of the robot's tool at the episode's joints, None where no link is known to be the tool.

    Raises EpisodeError without joints, or with some that do not fit the robot.
    """
    if not robot.tool_link:
        return None
    return tool_path(robot.robot, robot.tool_link, _positions(episode, robot))


def _positions(episode: Episode, robot: ConfiguredRobot) -> NDArray[np.float64]:
    """The episode's joint positions (T, J) in the robot's order."""
    if episode.joints is None:
        raise EpisodeError("it has no joints")
    try:
        return robot.robot.order_positions(episode.joints.joint_names, episode.joints.positions)
    except KinematicsError as error:
        raise EpisodeError(f"its joints do not fit the robot: {error}") from error


@lru_cache(maxsize=4)
def _renderer(robot: ConfiguredRobot, camera: Camera, settings: RenderSettings) -> Renderer:
    return Renderer(robot.surface, camera, settings)
