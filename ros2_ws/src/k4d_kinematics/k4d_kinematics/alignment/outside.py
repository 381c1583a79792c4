"""What can be seen of a posed robot from anywhere around it, as points that know their link."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot_surface import RobotSurface

_VIEWS = 32
_PIXELS = 160
# One point per cell of this part of the robot's radius: about 30 000 on an arm.
_CELL = 0.01


@dataclass(frozen=True, eq=False)
class Outside:
    """Points (N, 3) spread evenly over the robot's outside in the base frame, and the link index (N,) of each.

    Inner walls of the meshes are not among them: a reconstruction never shows them. ``radius`` is the root mean square
    distance of the points from their centre, the length by which the search measures.
    """

    points_base: se3.Array
    link: NDArray[np.int16]

    @property
    def radius(self) -> float:
        """Root mean square distance from the centre, metres."""
        return float(np.sqrt(self.points_base.var(axis=0).sum()))


def sample_outside(surface: RobotSurface, T_base_link: se3.Array) -> Outside:
    """The outside of a surface with its links at ``T_base_link`` (L, 4, 4), seen by cameras all around it."""
    center, radius = _bounding_sphere(surface, T_base_link)
    distance = 3.0 * radius
    focal = (_PIXELS / 2) / np.tan(np.arcsin(radius / distance))
    middle = (_PIXELS - 1) / 2
    camera = Camera.pinhole(_PIXELS, _PIXELS, focal, focal, middle, middle)
    near = min(0.001, radius)
    renderer = Renderer(surface, camera, RenderSettings(near=near, link_ids=True))
    points, links = [], []
    for direction in _directions(_VIEWS):
        up = (0.0, 0.0, 1.0) if abs(direction[2]) < 0.9 else (1.0, 0.0, 0.0)
        T_cam_base = se3.look_at(center + distance * direction, center, up)
        image = renderer.render(T_cam_base @ T_base_link)
        assert image.link_ids is not None
        points.append(se3.transform_points(se3.inverse(T_cam_base), image.points_cam[image.mask]))
        links.append(image.link_ids[image.mask])
    seen, link = np.concatenate(points), np.concatenate(links)
    _, chosen = np.unique(np.floor(seen / (_CELL * radius)).astype(np.int64), axis=0, return_index=True)
    return Outside(seen[chosen], link[chosen])


def _bounding_sphere(surface: RobotSurface, T_base_link: se3.Array) -> tuple[se3.Array, float]:
    """Centre (3,) and radius of a sphere around the boxes of all parts."""
    parts = surface.parts
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(-1, 3)
    boxes = np.where(corners, parts.high[:, None], parts.low[:, None])  # (M, 8, 3)
    points = se3.transform_points(T_base_link[parts.link], boxes).reshape(-1, 3)
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    return center, float(np.linalg.norm(points - center, axis=1).max())


def _directions(count: int) -> se3.Array:
    """Unit vectors (count, 3) spread evenly: a Fibonacci sphere."""
    k = np.arange(count) + 0.5
    z, angle = 1.0 - 2.0 * k / count, np.pi * (1.0 + np.sqrt(5.0)) * k
    r = np.sqrt(1.0 - z**2)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)
