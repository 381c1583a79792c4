"""The triangles and colours of every link of a robot, in the link's frame."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import resources, se3
from k4d_kinematics.description import LinkGeometry, Material, MeshFile
from k4d_kinematics.errors import MeshError, RobotModelError
from k4d_kinematics.mesh_files import (
    MeshPart,
    fill_corners,
    read_mesh_file,
    read_texture,
    sample_texture,
    transform_part,
)
from k4d_kinematics.primitives import tessellate
from k4d_kinematics.robot import Robot

DEFAULT_RGB = (179, 179, 179)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LinkMesh:
    """Triangles of one appearance in the frame of their link, scale and origin applied. Metres.

    ``corner_rgb`` is the sRGB colour at each corner, with a texture the texel at that corner; ``corner_uv`` has (0, 0)
    at the texture's bottom left and repeats outside 0..1. Vertices are as in the file, not welded. Counter-clockwise
    corners seen from outside. ``source`` names the file or primitive. Raises MeshError for wrong shapes or dtypes.
    """

    link_name: str
    vertices: se3.Array  # (V, 3)
    triangles: NDArray[np.int32]  # (F, 3)
    corner_rgb: NDArray[np.uint8]  # (F, 3, 3)
    corner_uv: NDArray[np.float32] | None  # (F, 3, 2)
    texture: NDArray[np.uint8] | None  # (h, w, 3)
    source: str

    def __post_init__(self) -> None:
        F = len(self.triangles)
        self._check("vertices", self.vertices, (len(self.vertices), 3), "float64")
        self._check("triangles", self.triangles, (F, 3), "int32")
        self._check("corner_rgb", self.corner_rgb, (F, 3, 3), "uint8")
        if self.corner_uv is not None:
            self._check("corner_uv", self.corner_uv, (F, 3, 2), "float32")
        if (self.texture is None) != (self.corner_uv is None):
            raise MeshError(f"{self.source} must have a texture and corner_uv together, or neither")

    def _check(self, name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: str) -> None:
        if array.shape != shape or array.dtype != np.dtype(dtype):
            raise MeshError(f"{name} of {self.source} must be {shape} {dtype}, got {array.shape} {array.dtype}")


def load_link_meshes(robot: Robot, kind: Literal["visual", "collision"] = "visual") -> tuple[LinkMesh, ...]:
    """The meshes of all links, in the order of the robot's shapes; a file with several materials gives several.

    Colours follow RViz: a mesh file's own material, texture or colours win; the URDF's material applies where the file
    has none, and DEFAULT_RGB where neither has. Surfaces are opaque: alpha is not used. Raises MeshError naming link
    and file where a mesh or texture is missing, unreadable or empty.
    """
    if kind not in ("visual", "collision"):
        raise MeshError(f"kind must be 'visual' or 'collision', got {kind!r}")
    geometries = robot.visuals if kind == "visual" else robot.collisions
    return tuple(mesh for geometry in geometries for mesh in _load_geometry(robot, geometry))


def _load_geometry(robot: Robot, geometry: LinkGeometry) -> list[LinkMesh]:
    shape = geometry.shape
    try:
        if isinstance(shape, MeshFile):
            path = _resolve(robot, shape.uri)
            parts, source, scale = read_mesh_file(path), str(path), shape.scale
        else:
            parts, source, scale = [tessellate(shape)], f"{shape!r} of link {geometry.link_name}", (1.0, 1.0, 1.0)
        T_link_file = geometry.T_link_geometry @ np.diag([*scale, 1.0])
        colored = [_apply_material(robot, transform_part(part, T_link_file), geometry.material) for part in parts]
    except MeshError as error:
        raise MeshError(f"link {geometry.link_name!r}: {error}") from error
    return [_to_link_mesh(geometry.link_name, part, source) for part in colored]


def _resolve(robot: Robot, uri: str) -> Path:
    try:
        path = resources.resolve(uri, robot.base_folder, robot.package_paths)
        if robot.file_folders is not None:
            resources.check_inside(uri, path, robot.file_folders)
        return path
    except RobotModelError as error:
        raise MeshError(str(error)) from error


def _apply_material(robot: Robot, part: MeshPart, material: Material | None) -> MeshPart:
    """The part with the URDF's material where its file states no colour."""
    if part.corner_rgb is not None:
        return part
    rgb = np.array(DEFAULT_RGB, np.uint8)
    if material is not None and material.rgba is not None:
        rgb = np.rint(255.0 * np.array(material.rgba[:3])).astype(np.uint8)
    if material is not None and material.texture_uri is not None:
        texture = read_texture(_resolve(robot, material.texture_uri))
        if part.corner_uv is not None:
            return replace(part, corner_rgb=sample_texture(texture, part.corner_uv), texture=texture)
        _logger.warning("texture %s not shown: its shape has no texture coordinates", material.texture_uri)
    return replace(part, corner_rgb=fill_corners(part.triangles, rgb))


def _to_link_mesh(link_name: str, part: MeshPart, source: str) -> LinkMesh:
    if part.corner_rgb is None:
        raise MeshError(f"{source} must have a colour at every corner")
    uv = None if part.texture is None else part.corner_uv
    return LinkMesh(link_name, part.vertices, part.triangles, part.corner_rgb, uv, part.texture, source)
