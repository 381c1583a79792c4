"""A robot's visual triangles as MuJoCo can draw them: one mesh per link and colour."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, RobotSurface
from k4d_kinematics.decimation import decimate
from k4d_kinematics.meshes import load_link_meshes
from k4d_kinematics.robot_surface import build_surface
from k4d_kinematics.surface import Detail
from k4d_simulation.errors import SceneError

Meshes = Literal["full", "reduced", "coarse"]

# "reduced" is enough for a 99th percentile of depth error of 0.8 mm for a Panda and 1.3 mm for a UR5, and drawn twice
# as fast; "coarse" is for small pictures, of which a pixel is wider than what is lost.
TRIANGLES = {"reduced": 34_000, "coarse": 12_000}

_MOST_COLOURS = 8


@dataclass(frozen=True, eq=False)
class ColouredMesh:
    """Triangles of one colour in their link's frame (m), ``rgb`` in 0..1. MuJoCo works out the normals."""

    link_name: str
    vertices: NDArray[np.float32]  # (V, 3)
    triangles: NDArray[np.int32]  # (n, 3)
    rgb: tuple[float, float, float]


@lru_cache(maxsize=4)
def coloured_meshes(robot: ConfiguredRobot, meshes: Meshes) -> tuple[ColouredMesh, ...]:
    """The meshes of all links: every triangle of the robot's surface, or about as many as TRIANGLES says.

    More are left where many small shapes make up the robot. Raises SceneError for another value of ``meshes``.
    """
    surface = _choose_surface(robot, meshes)
    corners = surface.parts.corners.T.reshape(-1, 3, 3)
    rgb = _reduce_colours(surface.colors.corner_rgb.mean(axis=1))
    parts = []
    for link, name in enumerate(surface.link_names):
        own = surface.triangle_link == link
        if own.any():
            parts += _split_by_colour(name, corners[own], rgb[own])
    return tuple(parts)


def _choose_surface(robot: ConfiguredRobot, meshes: Meshes) -> RobotSurface:
    if meshes != "full" and meshes not in TRIANGLES:
        raise SceneError(f"meshes must be one of full, {', '.join(TRIANGLES)}, got {meshes!r}")
    model, full = robot.robot, robot.surface
    if full.detail is not None:
        full = build_surface(model.link_names, load_link_meshes(model))
    if meshes == "full" or full.triangle_count <= TRIANGLES[meshes]:
        return full
    middle = (np.maximum(model.lower, -np.pi) + np.minimum(model.upper, np.pi)) / 2.0
    detail = Detail(triangle_fraction=TRIANGLES[meshes] / full.triangle_count)
    return decimate(full, detail, model.forward_kinematics(middle))


def _reduce_colours(rgb: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours (n, 3) of which no more than ``_MOST_COLOURS`` differ, where need be rounded to coarser steps."""
    for step in (1, 16, 32, 64, 128):
        coarse = np.minimum(np.rint(rgb / step) * step, 255.0).astype(np.uint8)
        if len(np.unique(coarse, axis=0)) <= _MOST_COLOURS:
            break
    return np.asarray(coarse)


def _split_by_colour(link_name: str, corners: NDArray[np.float32], rgb: NDArray[np.uint8]) -> list[ColouredMesh]:
    parts = []
    for colour in np.unique(rgb, axis=0):
        own = (rgb == colour).all(axis=1)
        vertices, index = np.unique(corners[own].reshape(-1, 3), axis=0, return_inverse=True)
        # MuJoCo refuses meshes of fewer than four vertices; one that no triangle uses changes nothing.
        vertices = np.concatenate([vertices, vertices.mean(axis=0, keepdims=True)])
        r, g, b = (colour / 255.0).tolist()
        parts.append(ColouredMesh(link_name, vertices, index.reshape(-1, 3).astype(np.int32), (r, g, b)))
    return parts
