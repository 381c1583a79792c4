"""Episodes at the size and of the length that a model was made for."""

from dataclasses import replace

import numpy as np

from k4d_kinematics import JointTrajectory
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
    kept, joints = slice(None, None, (count - 1) // (frames - 1)), episode.joints
    if joints is not None:
        joints = JointTrajectory(joints.joint_names, joints.times[kept], joints.positions[kept])
    return replace(
        episode,
        rgb=episode.rgb[kept],
        times=episode.times[kept],
        T_world_cam=None if episode.T_world_cam is None else episode.T_world_cam[kept],
        joints=joints,
        scene_points=None if episode.scene_points is None else episode.scene_points[kept],
        robot_points=None if episode.robot_points is None else episode.robot_points[kept],
        robot_mask=None if episode.robot_mask is None else episode.robot_mask[kept],
    )


def _still(episode: Episode, t: int) -> Conditioning:
    """Frame t as the start of a prediction that goes no further."""
    if episode.camera is None:
        raise EpisodeError(f"episode {episode.info.episode_id} cannot be resized: it has no camera")
    nothing = np.full((1, *episode.rgb.shape[1:]), np.nan, np.float32)
    robot_points = nothing if episode.robot_points is None else episode.robot_points[t : t + 1]
    return Conditioning(
        first_frame=episode.rgb[t],
        robot_points=robot_points,
        robot_mask=np.isfinite(robot_points[..., 2]),
        times=np.zeros(1),
        camera=episode.camera,
        T_cam_base=np.eye(4)[None],
        first_points=None if episode.scene_points is None else episode.scene_points[t],
    )
