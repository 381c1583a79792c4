"""The prepared surface of a robot: link meshes, welded, split, on demand reduced, and cached."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from k4d_kinematics.decimation import Detail, decimate
from k4d_kinematics.errors import SurfaceError
from k4d_kinematics.meshes import load_link_meshes
from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_surface import DetailReport, RobotSurface, build_surface
from k4d_kinematics.surface_cache import content_key, load_surface, save_surface

__all__ = ["Detail", "DetailReport", "RobotSurface", "prepare_surface"]

_logger = logging.getLogger(__name__)


def prepare_surface(
    robot: Robot,
    *,
    kind: Literal["visual", "collision"] = "visual",
    cache_dir: Path | None = None,
    detail: Detail | None = None,
) -> RobotSurface:
    """The surface of a robot's visual or collision shapes; with ``detail`` a reduced one that states its error.

    With ``cache_dir`` it is kept there in a file named by its content: shapes, mesh and texture bytes and parameters.
    A file that is not sound is rebuilt with a logged warning. Raises MeshError for missing or broken meshes and
    SurfaceError where there is no triangle or the level of detail cannot be had.
    """
    if kind not in ("visual", "collision"):
        raise SurfaceError(f"kind must be 'visual' or 'collision', got {kind!r}")
    if cache_dir is None:
        return _build(robot, kind, detail)
    geometries = robot.visuals if kind == "visual" else robot.collisions
    # The pose in which a reduced surface is measured depends on the joints, hence on the whole description.
    parameters = kind if detail is None else f"{kind} {detail} {robot.sha256}"
    path = Path(cache_dir) / f"{content_key(robot, geometries, parameters)}.npz"
    surface = load_surface(path)
    if surface is None:
        surface = _build(robot, kind, detail)
        save_surface(path, surface)
        _logger.info("surface of %s with %d triangles kept in %s", robot.name, surface.triangle_count, path)
    return surface


def _build(robot: Robot, kind: Literal["visual", "collision"], detail: Detail | None) -> RobotSurface:
    full = build_surface(robot.link_names, load_link_meshes(robot, kind))
    if detail is None:
        return full
    lower, upper = np.maximum(robot.lower, -np.pi), np.minimum(robot.upper, np.pi)
    return decimate(full, detail, robot.forward_kinematics((lower + upper) / 2.0))
