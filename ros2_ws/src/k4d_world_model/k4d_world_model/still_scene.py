"""What a scene may look like without the robot and without what lies about: planes, and what the robot stands on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, se3
from k4d_kinematics.scene_planes import MOST_PLANES, find_planes

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Surfaces that are told of: planes, and the column under the robot, this wide (metres).
SURFACES = MOST_PLANES + 1
MOUNT_RADIUS = 0.11


class StillScene(NamedTuple):
    """Depths (SURFACES, H, W) in metres of surfaces on every pixel's ray, and where (SURFACES, H, W) they may be seen.

    Where one is not its depth is the farthest known one. The planes come first, those that show most before others.
    """

    depths: Field
    reached: Mask

    @property
    def nearest(self) -> Field:
        """The depth (H, W) of the nearest surface that may be seen, infinite where there is none."""
        return np.asarray(np.where(self.reached, self.depths, np.inf).min(axis=0))


def still_scene(depth: Field, known: Mask, camera: Camera, T_base_cam: se3.Array) -> StillScene:
    """The surfaces in the known ones of the depths (H, W). ``T_base_cam`` (4, 4) places the robot's base."""
    planes = find_planes(depth, known)
    mount = _mount(camera, T_base_cam)
    farthest = depth[known].max(initial=0.0)
    depths = np.full((SURFACES, *depth.shape), farthest)
    reached = np.zeros(depths.shape, np.bool_)
    count = len(planes.depths)
    depths[:count], reached[:count] = planes.depths, planes.extents
    reached[-1] = np.isfinite(mount)
    depths[-1] = np.where(reached[-1], mount, farthest)
    return StillScene(depths, reached)


def _mount(camera: Camera, T_base_cam: se3.Array) -> Field:
    """The depth (H, W) of a column about the base frame's z axis that ends at the base, infinite beside it."""
    rays = np.concatenate([camera.rays(), np.ones((camera.image_height, camera.image_width, 1))], axis=-1)
    way, eye = rays @ T_base_cam[:3, :3].T, T_base_cam[:3, 3]  # (H, W, 3) for each metre of depth, (3,)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (way[..., :2] ** 2).sum(axis=-1), way[..., :2] @ eye[:2]
        side = (-b - np.sqrt(b**2 - a * (eye[:2] @ eye[:2] - MOUNT_RADIUS**2))) / a
        top = -eye[2] / way[..., 2]
        is_side = (side > 0) & (eye[2] + side * way[..., 2] < 0)
        is_top = (top > 0) & (np.linalg.norm(eye[:2] + top[..., None] * way[..., :2], axis=-1) < MOUNT_RADIUS)
    return np.minimum(np.where(is_side, side, np.inf), np.where(is_top, top, np.inf))
