"""Episodes and videos of the frames and at the size that a model was made for, or that are scored."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import EpisodeError
from k4d_world_model.fitting import fitted


def fitted_episode(episode: Episode, height: int, width: int) -> Episode:
    """The episode at height x width pixels, every frame resampled as ``fitted`` resamples a prediction's first one.

    Raises EpisodeError where it has no camera, ConditioningError for sizes below 1.
    """
    if episode.rgb.shape[1:3] == (height, width):
        return episode
    frames = [fitted(_still(episode, t), height, width) for t in range(episode.frame_count)]
    scene = [frame.first_points for frame in frames if frame.first_points is not None]
    has_robot = episode.robot_points is not None
    return replace(
        episode,
        rgb=np.stack([frame.first_frame for frame in frames]),
        camera=frames[0].camera,
        scene_points=np.stack(scene) if scene else None,
        robot_points=np.concatenate([frame.robot_points for frame in frames]) if has_robot else None,
        robot_mask=np.concatenate([frame.robot_mask for frame in frames]) if has_robot else None,
    )


def shortened(episode: Episode, frames: int) -> Episode:
    """The episode's every k-th frame, ``frames`` of them, first and last among them.

    Raises EpisodeError where no k fits.
    """
    count = episode.frame_count
    if frames == count:
        return episode
    if not 1 < frames < count or (count - 1) % (frames - 1):
        raise EpisodeError(
            f"episode {episode.info.episode_id} has {count} frames, of which every k-th shall make {frames}: "
            f"{frames} - 1 must divide {count} - 1"
        )
    every = slice(None, None, (count - 1) // (frames - 1))
    joints = episode.joints
    if joints is not None:
        velocities = None if joints.velocities is None else joints.velocities[every]
        joints = JointTrajectory(joints.joint_names, joints.times[every], joints.positions[every], velocities)
    return replace(
        episode,
        rgb=episode.rgb[every],
        times=episode.times[every],
        joints=joints,
        T_world_cam=None if episode.T_world_cam is None else episode.T_world_cam[every],
        scene_points=None if episode.scene_points is None else episode.scene_points[every],
        robot_points=None if episode.robot_points is None else episode.robot_points[every],
        robot_mask=None if episode.robot_mask is None else episode.robot_mask[every],
    )


def fitted_video(
    rgb: NDArray[np.uint8], points: NDArray[np.float32] | None, camera: Camera
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Pictures and points (T, h, w, 3), which show what ``camera`` sees, at its own size.

    They are resampled as ``fitted`` resamples a prediction's first frame; h : w must be the camera's ratio.
    """
    height, width = camera.image_height, camera.image_width
    if rgb.shape[1:3] == (height, width):
        return rgb, points
    K, scale = camera.matrix, rgb.shape[1] / height
    centre = (K[:2, 2] + 0.5) * scale - 0.5
    source = Camera.pinhole(
        rgb.shape[1], rgb.shape[2], K[0, 0] * scale, K[1, 1] * scale, centre[0], centre[1], frame_id=camera.frame_id
    )
    frames = [
        fitted(_start(picture, None if points is None else points[t], source), height, width)
        for t, picture in enumerate(rgb)
    ]
    known = [frame.first_points for frame in frames if frame.first_points is not None]
    return np.stack([frame.first_frame for frame in frames]), np.stack(known) if known else None


def _start(picture: NDArray[np.uint8], points: NDArray[np.float32] | None, camera: Camera) -> Conditioning:
    """A picture and its points as the start of a prediction that goes no further, with no robot."""
    nothing = np.full((1, *picture.shape), np.nan, np.float32)
    return Conditioning(
        first_frame=picture,
        robot_points=nothing,
        robot_mask=np.isfinite(nothing[..., 2]),
        times=np.zeros(1),
        camera=camera,
        T_cam_base=np.eye(4)[None],
        first_points=points,
    )


def _still(episode: Episode, t: int) -> Conditioning:
    """Frame t as the start of a prediction that goes no further."""
    if episode.camera is None:
        raise EpisodeError(f"episode {episode.info.episode_id} cannot be resized: it has no camera")
    scene = None if episode.scene_points is None else episode.scene_points[t]
    start = _start(episode.rgb[t], scene, episode.camera)
    if episode.robot_points is None:
        return start
    robot_points = episode.robot_points[t : t + 1]
    return replace(start, robot_points=robot_points, robot_mask=np.isfinite(robot_points[..., 2]))
