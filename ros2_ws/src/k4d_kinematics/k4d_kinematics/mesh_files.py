"""Triangles and colours of DAE, OBJ, STL, GLB and PLY files, as the files state them.

Units and axes follow RViz: the <unit> of a COLLADA file scales it to metres, its <up_axis> is ignored, and OBJ, STL,
GLB and PLY coordinates are taken as metres in the axes they are in. Readers: trimesh, pycollada.
"""

import io
import logging
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import trimesh
from defusedxml import ElementTree
from numpy.typing import NDArray
from PIL import Image
from trimesh.resolvers import FilePathResolver
from trimesh.visual import TextureVisuals, to_rgba
from trimesh.visual.material import Material, PBRMaterial, SimpleMaterial

from k4d_kinematics import se3
from k4d_kinematics.errors import MeshError

FORMATS = (".dae", ".obj", ".stl", ".glb", ".ply")

_logger = logging.getLogger(__name__)

# What trimesh, pycollada and pillow raise on broken files; pycollada's and the STL reader's own join in read_mesh_file.
_READER_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,
    SyntaxError,  # pillow on broken PNG files, and ElementTree's ParseError
    struct.error,
)


@dataclass(frozen=True, eq=False)
class MeshPart:
    """Triangles of one appearance, in metres and in the axes of their file.

    Per triangle corner: sRGB colours, None where the file states none, and texture coordinates with (0, 0) at the
    texture's bottom left, None where it states none.
    """

    vertices: se3.Array  # (V, 3)
    triangles: NDArray[np.int32]  # (F, 3)
    corner_rgb: NDArray[np.uint8] | None  # (F, 3, 3)
    corner_uv: NDArray[np.float32] | None  # (F, 3, 2)
    texture: NDArray[np.uint8] | None  # (h, w, 3)

    def __post_init__(self) -> None:
        if len(self.triangles) == 0:
            raise MeshError("a mesh must have at least one triangle, got none")
        if not np.isfinite(self.vertices).all():
            raise MeshError("vertices must be finite, got NaN or inf")
        low, high = int(self.triangles.min()), int(self.triangles.max())
        if low < 0 or high >= len(self.vertices):
            raise MeshError(f"triangle indices must be in 0..{len(self.vertices) - 1}, got {low}..{high}")


def read_mesh_file(path: Path) -> list[MeshPart]:
    """The parts of a mesh file, node transforms applied, mirrored nodes kept facing outwards.

    Raises MeshError naming the file where it is of another format, unreadable or empty, holds non-finite vertices or
    indices out of range, or refers to a texture that is missing or unreadable.
    """
    from collada.common import DaeError
    from trimesh.exchange.stl import HeaderError

    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise MeshError(f"mesh {path} must be one of {', '.join(FORMATS)}")
    try:
        data = path.read_bytes()
        unit = _collada_unit(data) if suffix == ".dae" else 1.0
        assets = _Assets(path)
        options: dict[str, Any] = {"ignore_broken": False} if suffix == ".dae" else {}
        scene = trimesh.load_scene(io.BytesIO(data), file_type=suffix[1:], resolver=assets, process=False, **options)
        if assets.broken:
            raise MeshError(f"its textures are missing or unreadable: {', '.join(assets.broken)}")
        parts = [_read_part(scene, node, unit) for node in scene.graph.nodes_geometry if _is_mesh(scene, node)]
    except (*_READER_ERRORS, DaeError, HeaderError) as error:
        raise MeshError(f"cannot read mesh {path}: {error or type(error).__name__}") from error
    if not parts:
        raise MeshError(f"mesh {path} must have at least one triangle, got none")
    return parts


def read_texture(path: Path) -> NDArray[np.uint8]:
    """An image file as sRGB (h, w, 3), its transparency dropped. Raises MeshError naming the file."""
    try:
        with Image.open(path) as image:
            return _to_rgb(image)
    except _READER_ERRORS as error:
        raise MeshError(f"cannot read texture {path}: {error or type(error).__name__}") from error


class _Assets(FilePathResolver):
    """Serves the material and texture files that a mesh names, and remembers textures that could not be served.

    trimesh goes on without such files, so this is the only place that sees them. OBJ files without their .mtl file are
    common and keep their shape, so that is a warning.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.broken: list[str] = []

    def get(self, name: str) -> bytes:
        path = Path(self.parent) / unquote(name.strip()).removeprefix("file://").replace("\\", "/")
        try:
            data = path.read_bytes()
            if path.suffix.lower() != ".mtl":
                Image.open(io.BytesIO(data)).close()
        except _READER_ERRORS as error:
            if path.suffix.lower() == ".mtl":
                _logger.warning("mesh %s loses its colours: cannot read its material file: %s", self.file_path, error)
            else:
                self.broken.append(str(path))
            raise
        return data


def _collada_unit(data: bytes) -> float:
    """Metres per unit of a COLLADA file; a document type is refused before any other reader sees the file."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        raise MeshError("a COLLADA file must be plain XML, got a zip archive")
    unit = 1.0
    for _, element in ElementTree.iterparse(io.BytesIO(data), events=("end",), forbid_dtd=True):
        tag = element.tag.rpartition("}")[2]
        if tag == "unit":
            unit = float(element.get("meter", "1"))
        if tag == "asset":
            break
    if not 0 < unit < np.inf:
        raise MeshError(f"<unit meter> must be a positive number, got {unit}")
    return unit


def _is_mesh(scene: trimesh.Scene, node: str) -> bool:
    """Whether a node holds triangles; lines and points of a file are no surface."""
    return isinstance(scene.geometry[scene.graph[node][1]], trimesh.Trimesh)


def _read_part(scene: trimesh.Scene, node: str, unit: float) -> MeshPart:
    T_file_node, name = scene.graph[node]
    mesh = scene.geometry[name]
    triangles = np.asarray(mesh.faces, np.int64)
    if triangles.size and np.abs(triangles).max() > np.iinfo(np.int32).max:
        raise MeshError(f"triangle indices must be in 0..{len(mesh.vertices) - 1}, got {np.abs(triangles).max()}")
    vertices = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
    part = MeshPart(vertices, triangles.reshape(-1, 3).astype(np.int32), None, None, None)
    rgb, uv, texture = _read_appearance(mesh, part.triangles)
    part = MeshPart(part.vertices, part.triangles, rgb, uv, texture)
    return transform_part(part, np.diag([unit, unit, unit, 1.0]) @ np.asarray(T_file_node, np.float64))


def transform_part(part: MeshPart, T_a_b: se3.Array) -> MeshPart:
    """A part moved by an affine transform (4, 4); where that mirrors, the corners are reversed to face outwards."""
    corners = slice(None, None, -1 if np.linalg.det(T_a_b[:3, :3]) < 0 else 1)
    return MeshPart(
        se3.transform_points(T_a_b, part.vertices),
        np.ascontiguousarray(part.triangles[:, corners]),
        None if part.corner_rgb is None else np.ascontiguousarray(part.corner_rgb[:, corners]),
        None if part.corner_uv is None else np.ascontiguousarray(part.corner_uv[:, corners]),
        part.texture,
    )


_Appearance = tuple[NDArray[np.uint8] | None, NDArray[np.float32] | None, NDArray[np.uint8] | None]


def _read_appearance(mesh: trimesh.Trimesh, triangles: NDArray[np.int32]) -> _Appearance:
    """Corner colours, texture coordinates and texture: texture before vertex or face colours before material."""
    visual = mesh.visual
    vertex_rgba, uv, material_rgba = mesh.vertex_attributes.get("color"), None, None
    if isinstance(visual, TextureVisuals):
        image, material_rgba = _read_material(visual.material)
        uv = None if visual.uv is None else np.asarray(visual.uv, np.float32)[triangles][..., :2]
        if image is not None and uv is not None:
            texture = _to_rgb(image, material_rgba)
            return sample_texture(texture, uv), uv, texture
        vertex_rgba = visual.vertex_attributes.get("color", vertex_rgba)
    elif visual is not None and visual.kind == "face":
        return np.repeat(np.asarray(visual.face_colors, np.uint8)[:, None, :3], 3, axis=1), None, None
    elif visual is not None and visual.kind == "vertex":
        vertex_rgba = visual.vertex_colors
    if vertex_rgba is not None:
        return np.asarray(to_rgba(vertex_rgba), np.uint8)[triangles][..., :3], uv, None
    return None if material_rgba is None else fill_corners(triangles, material_rgba[:3]), uv, None


def _read_material(material: Material) -> tuple[Image.Image | None, NDArray[np.uint8] | None]:
    """The texture and base colour (4,) of a material, None where it has none."""
    if isinstance(material, PBRMaterial):
        rgba = material.baseColorFactor
        return material.baseColorTexture, None if rgba is None else np.asarray(rgba, np.uint8)
    if not isinstance(material, SimpleMaterial):
        return None, None
    if material.image is None:
        return None, np.asarray(material.diffuse, np.uint8)
    # Where an OBJ file has texture coordinates only, trimesh makes up an image, which no file is noted for.
    return (material.image, None) if "file_path" in material.image.info else (None, None)


def _to_rgb(image: Image.Image, factor: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    rgb = np.asarray(image.convert("RGB"))
    if factor is None or (factor[:3] == 255).all():
        return rgb
    return np.rint(rgb * (factor[:3] / 255.0)).astype(np.uint8)


def fill_corners(triangles: NDArray[np.int32], rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One colour (3,) at every corner (F, 3, 3) of the triangles."""
    return np.tile(rgb, (len(triangles), 3, 1))


def sample_texture(texture: NDArray[np.uint8], uv: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours (..., 3) of the texels that coordinates (..., 2) fall in, the texture repeating outside 0..1."""
    height, width = texture.shape[:2]
    column = np.floor(uv[..., 0] * width).astype(np.int64) % width
    row = height - 1 - np.floor(uv[..., 1] * height).astype(np.int64) % height
    return np.asarray(texture[row, column])
