"""Surfaces with fewer triangles, and what that costs: measured, not assumed."""

from dataclasses import dataclass, replace

import fast_simplification
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import SurfaceError
from k4d_kinematics.meshes import LinkMesh
from k4d_kinematics.rendering import Renderer
from k4d_kinematics.robot_surface import DetailReport, RobotSurface, build_surface

# Directions from the robot's middle to the cameras of the comparison; their distance is in radii of the robot.
_DIRECTIONS = ((1, 0, 0.4), (0, 1, 0.4), (-1, 0, 0.4), (0, -1, 0.4), (1, 1, 1), (-1, -1, 1), (1, -1, -0.3), (-1, 1, 0))
_DISTANCE = 1.6
_CAMERA = Camera.pinhole(480, 720, 600.0, 600.0, 359.5, 239.5)
_BISECTIONS = 6
# Of the 0..10 that fast-simplification offers; below 3 it takes much longer, above 3 errors grow.
_AGGRESSIVENESS = 3


@dataclass(frozen=True)
class Detail:
    """How much of a surface to keep: a share of its triangles in (0, 1], or the largest p99 depth error in metres.

    Raises SurfaceError unless exactly one is given, in range.
    """

    triangle_fraction: float | None = None
    depth_error_p99: float | None = None

    def __post_init__(self) -> None:
        if (self.triangle_fraction is None) == (self.depth_error_p99 is None):
            raise SurfaceError(f"a level of detail takes triangle_fraction or depth_error_p99, one of them, got {self}")
        if self.triangle_fraction is not None and not 0.0 < self.triangle_fraction <= 1.0:
            raise SurfaceError(f"triangle_fraction must be in (0, 1], got {self.triangle_fraction}")
        if self.depth_error_p99 is not None and not 0.0 < self.depth_error_p99 < np.inf:
            raise SurfaceError(f"depth_error_p99 must be a positive length in metres, got {self.depth_error_p99}")


def decimate(full: RobotSurface, detail: Detail, T_base_link: se3.Array) -> RobotSurface:
    """A reduced surface with its measured error in ``detail``, compared in the pose ``T_base_link`` (L, 4, 4).

    For a wanted error the share of triangles is found by bisection. Raises SurfaceError where no share has it.
    """
    if detail.triangle_fraction is not None:
        return _reduce(full, detail.triangle_fraction, T_base_link)[0]
    best, low, high = None, 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        surface, report = _reduce(full, middle, T_base_link)
        if report.depth_error_p99 <= (detail.depth_error_p99 or 0.0):
            best, high = surface, middle
        else:
            low = middle
    if best is None:
        raise SurfaceError(f"no reduced surface has a p99 depth error of at most {detail.depth_error_p99} m")
    return best


def measure_detail(full: RobotSurface, reduced: RobotSurface, T_base_link: se3.Array) -> DetailReport:
    """The error of ``reduced`` against ``full`` in the pose ``T_base_link`` (L, 4, 4), seen from eight sides."""
    T_cam_link = _look_from_all_sides(full, T_base_link)[:, None] @ T_base_link  # (views, L, 4, 4)
    a, b = (Renderer(surface, _CAMERA).render_sequence(T_cam_link) for surface in (full, reduced))
    both = a.mask & b.mask
    error = np.abs(a.points_cam[both, 2] - b.points_cam[both, 2])
    overlaps = both.sum(axis=(1, 2)) / np.maximum((a.mask | b.mask).sum(axis=(1, 2)), 1)
    return DetailReport(
        triangles=reduced.triangle_count,
        full_triangles=full.triangle_count,
        depth_error_p50=float(np.percentile(error, 50)),
        depth_error_p99=float(np.percentile(error, 99)),
        mask_iou=float(overlaps.min()),
        views=len(overlaps),
    )


def _reduce(full: RobotSurface, fraction: float, T_base_link: se3.Array) -> tuple[RobotSurface, DetailReport]:
    reduced = build_surface(full.link_names, _reduce_links(full, fraction))
    report = measure_detail(full, reduced, T_base_link)
    return replace(reduced, detail=report), report


def _look_from_all_sides(surface: RobotSurface, T_base_link: se3.Array) -> se3.Array:
    corners = surface.parts.corners.T.reshape(-1, 3, 3)
    points_base = se3.transform_points(T_base_link[surface.triangle_link], corners).reshape(-1, 3)
    center = (points_base.min(axis=0) + points_base.max(axis=0)) / 2.0
    radius = np.linalg.norm(points_base - center, axis=1).max()
    directions = np.array(_DIRECTIONS) / np.linalg.norm(_DIRECTIONS, axis=1)[:, None]
    return np.stack([se3.look_at(center + _DISTANCE * radius * direction, center) for direction in directions])


def _reduce_links(surface: RobotSurface, fraction: float) -> list[LinkMesh]:
    link_of_triangle = surface.triangle_link
    meshes: list[LinkMesh] = []
    for link, name in enumerate(surface.link_names):
        own = np.flatnonzero(link_of_triangle == link)
        if len(own):
            meshes += _reduce_link(surface, name, own, fraction)
    return meshes


def _reduce_link(surface: RobotSurface, name: str, own: NDArray[np.intp], fraction: float) -> list[LinkMesh]:
    corners = surface.parts.corners[:, own].T.reshape(-1, 3, 3)
    positions, index = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    vertices, triangles = fast_simplification.simplify(
        positions, index.reshape(-1, 3).astype(np.int32), target_reduction=1.0 - fraction, agg=_AGGRESSIVENESS
    )
    vertices, triangles = vertices.astype(np.float64), triangles.astype(np.int32)
    model = own[cKDTree(corners.mean(axis=1)).query(vertices[triangles].mean(axis=1))[1]]
    rgb = np.rint(surface.colors.corner_rgb[model].mean(axis=1, keepdims=True)).astype(np.uint8).repeat(3, axis=1)
    texture = surface.colors.triangle_texture[model]
    uv = _carry_over_uv(surface, model, vertices[triangles]) if (texture >= 0).any() else None
    return [
        LinkMesh(
            name,
            vertices,
            triangles[texture == k],
            np.ascontiguousarray(rgb[texture == k]),
            None if k < 0 or uv is None else uv[texture == k],
            None if k < 0 else _texture(surface, int(k)),
            f"{name}, reduced",
        )
        for k in np.unique(texture)
    ]


def _carry_over_uv(surface: RobotSurface, model: NDArray[np.intp], corners: se3.Array) -> NDArray[np.float32]:
    """Texture coordinates (n, 3, 2) of new corners (n, 3, 3), continued linearly from the full surface's triangles."""
    p = surface.parts.corners[:, model].T.reshape(-1, 3, 3).astype(np.float64)
    uv = surface.colors.corner_uv[model].astype(np.float64)
    edges = p[:, 1:] - p[:, :1]  # (n, 2, 3)
    weights = (corners - p[:, :1]) @ np.linalg.pinv(edges)  # (n, 3, 2)
    return np.asarray(uv[:, :1] + weights @ (uv[:, 1:] - uv[:, :1]), np.float32)


def _texture(surface: RobotSurface, index: int) -> NDArray[np.uint8]:
    first, height, width = surface.colors.texture_shapes[index]
    return surface.colors.texels[first : first + height * width].reshape(height, width, 3)
