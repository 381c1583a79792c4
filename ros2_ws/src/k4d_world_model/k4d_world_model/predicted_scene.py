"""What a prediction shows beside the robot, frame by frame, as points of the base frame."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from k4d_kinematics import Renderer, RobotSurface, se3
from k4d_world_model.rollout import Rollout

# Pixels around the robot that may show either side of its silhouette.
_SILHOUETTE_PX = 2


def scenes(
    rollout: Rollout, surface: RobotSurface, T_base_link: NDArray[np.float64]
) -> Iterator[tuple[cKDTree | None, int]]:
    """Of each frame the scene's points in the base frame, None where there is none, and how many pixels show it.

    ``T_base_link`` (T, L, 4, 4) are the frames' poses. The scene is what the frame predicts outside of the robot's
    silhouette; behind the robot it is what the first frame shows there.
    """
    renderer = Renderer(surface, rollout.camera)
    still: NDArray[np.float64] | None = None
    for frame, T_cam_base in enumerate(rollout.T_cam_base):
        mask = renderer.render(T_cam_base @ T_base_link[frame]).mask
        robot = ndimage.binary_dilation(mask, iterations=_SILHOUETTE_PX, structure=np.ones((3, 3), np.bool_))
        T_base_cam = se3.inverse(T_cam_base)
        points = se3.transform_points(T_base_cam, rollout.points[frame].reshape(-1, 3).astype(np.float64))
        seen = (rollout.valid[frame] & ~robot).ravel()
        if still is None:
            still, first_seen = points, seen
            is_fixed = bool(np.allclose(rollout.T_cam_base, T_cam_base, atol=1e-6))
        hidden = robot.ravel() & first_seen if is_fixed else first_seen if frame else np.zeros_like(seen)
        scene = np.concatenate([points[seen], still[hidden]])
        tree = cKDTree(scene, balanced_tree=False, compact_nodes=False) if len(scene) else None
        yield tree, int(seen.sum())
