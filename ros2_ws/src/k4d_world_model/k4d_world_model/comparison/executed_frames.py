"""The executed frames that a prediction is compared with, brought to its pixels."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import JointTrajectory
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import ComparisonError
from k4d_world_model.evaluation.fitted_episode import fitted_episode
from k4d_world_model.rollout import Rollout

# Pixels by which focal lengths and principal points may differ: stored and transmitted numbers are rounded.
_SAME_CAMERA_PX = 1e-3


def chosen_frames(episode: Episode, indices: NDArray[np.intp]) -> Episode:
    """The episode's frames of these increasing indices (K,), without its robot's pointmaps."""
    bare = replace(episode, robot_points=None, robot_mask=None)
    if len(indices) == episode.frame_count:
        return bare  # a copy of large pictures takes seconds
    joints, times = episode.joints, episode.times[indices]
    return replace(
        bare,
        rgb=episode.rgb[indices],
        times=times,
        T_world_cam=None if episode.T_world_cam is None else episode.T_world_cam[indices],
        joints=None if joints is None else JointTrajectory(joints.joint_names, times, joints.positions[indices]),
        scene_points=None if episode.scene_points is None else episode.scene_points[indices],
    )


def on_pixels_of(rollout: Rollout, episode: Episode) -> Episode:
    """The episode at the rollout's size, resampled as the prediction's own first frame was.

    Raises ComparisonError unless both are then of one camera.
    """
    if episode.camera is None:
        raise ComparisonError(
            f"the executed frames ({episode.info.episode_id}) say nothing of their camera, so that pixels cannot be "
            "compared"
        )
    fitted = fitted_episode(episode, rollout.camera.image_height, rollout.camera.image_width)
    assert fitted.camera is not None
    found, expected = fitted.camera.matrix, rollout.camera.matrix
    if not np.allclose(found, expected, rtol=0.0, atol=_SAME_CAMERA_PX):
        raise ComparisonError(
            f"executed frames must be of the camera that was predicted for, at {rollout.camera.image_height} x "
            f"{rollout.camera.image_width} pixels {_intrinsics(expected)}; they are of {_intrinsics(found)}"
        )
    return fitted


def _intrinsics(matrix: NDArray[np.float64]) -> str:
    return f"fx {matrix[0, 0]:.4f}, fy {matrix[1, 1]:.4f}, cx {matrix[0, 2]:.4f}, cy {matrix[1, 2]:.4f}"
