"""A robot's outside as loose triangles per link, in the order and layout that the rasteriser reads."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.closed_pieces import find_closed_triangles
from k4d_kinematics.errors import SurfaceError
from k4d_kinematics.meshes import LinkMesh

# Far beyond any robot, and small enough for float32 products of three coordinates.
_LARGEST_COORDINATE = 1e6

_logger = logging.getLogger(__name__)


class Parts(NamedTuple):
    """N triangles in M parts; a part belongs to one link, and is closed or not as a whole."""

    corners: NDArray[np.float32]  # (9, N) x0 y0 z0 x1 y1 z1 x2 y2 z2 in the link frame, metres
    link: NDArray[np.int64]  # (M,) link index
    start: NDArray[np.int64]  # (M + 1,) first triangle of each part, then N
    closed: NDArray[np.bool_]  # (M,) whether only the outside of its triangles can be seen
    low: NDArray[np.float64]  # (M, 3) corners of each part's box in its link frame
    high: NDArray[np.float64]  # (M, 3)


class Colors(NamedTuple):
    """Appearance of N triangles; textures are stored one after the other as texels."""

    corner_rgb: NDArray[np.uint8]  # (N, 3, 3)
    corner_uv: NDArray[np.float32]  # (N, 3, 2), zero where there is no texture
    triangle_texture: NDArray[np.int32]  # (N,) texture index or -1
    triangle_part: NDArray[np.int32]  # (N,)
    texels: NDArray[np.uint8]  # (K, 3)
    texture_shapes: NDArray[np.int64]  # (n, 3) first texel, height, width


@dataclass(frozen=True)
class DetailReport:
    """What a reduced surface loses against the full one, measured by rendering both; metres.

    depth_error_p50, depth_error_p99: quantiles of the depth difference over pixels that both show.
    mask_iou: smallest intersection over union of the two masks among the ``views`` images compared.
    """

    triangles: int
    full_triangles: int
    depth_error_p50: float
    depth_error_p99: float
    mask_iou: float
    views: int


@dataclass(frozen=True, eq=False)
class RobotSurface:
    """The prepared outside of a robot with L links and N triangles; arrays are read-only.

    ``detail`` states the measured error of a reduced surface, None for the full one. Raises SurfaceError when it has
    no triangle or its arrays do not fit each other.
    """

    link_names: tuple[str, ...]
    parts: Parts
    colors: Colors
    detail: DetailReport | None = None

    def __post_init__(self) -> None:
        n, m = self.triangle_count, len(self.parts.link)
        if n == 0 or m == 0:
            raise SurfaceError("a robot surface needs at least one triangle, got none; has the robot any visual shape?")
        shapes: dict[str, tuple[NDArray[Any], tuple[int, ...], type[np.generic]]] = {
            "corners": (self.parts.corners, (9, n), np.float32),
            "start": (self.parts.start, (m + 1,), np.int64),
            "closed": (self.parts.closed, (m,), np.bool_),
            "low": (self.parts.low, (m, 3), np.float64),
            "high": (self.parts.high, (m, 3), np.float64),
            "corner_rgb": (self.colors.corner_rgb, (n, 3, 3), np.uint8),
            "corner_uv": (self.colors.corner_uv, (n, 3, 2), np.float32),
            "triangle_texture": (self.colors.triangle_texture, (n,), np.int32),
            "triangle_part": (self.colors.triangle_part, (n,), np.int32),
        }
        for name, (array, shape, dtype) in shapes.items():
            if array.shape != shape or array.dtype != dtype:
                raise SurfaceError(f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")
        if not np.isfinite(self.parts.corners).all():
            raise SurfaceError("triangle corners must be finite, got NaN or inf")
        if self.parts.link.min() < 0 or self.parts.link.max() >= len(self.link_names):
            raise SurfaceError(f"link indices must be in 0..{len(self.link_names) - 1}, got {self.parts.link.tolist()}")
        if self.parts.start[0] != 0 or self.parts.start[-1] != n or (np.diff(self.parts.start) <= 0).any():
            raise SurfaceError(f"parts must follow one another without gaps, got starts {self.parts.start.tolist()}")
        for array in (*self.parts, *self.colors):
            array.flags.writeable = False

    @property
    def triangle_count(self) -> int:
        """Number of triangles N."""
        return int(self.parts.corners.shape[1])

    @property
    def triangle_link(self) -> NDArray[np.int16]:
        """Link index of every triangle (N,)."""
        return self.parts.link[self.colors.triangle_part].astype(np.int16)


def build_surface(link_names: Sequence[str], meshes: Sequence[LinkMesh]) -> RobotSurface:
    """The surface of link meshes: welded, split per link into closed pieces and the rest.

    Pieces whose winding is turned inside out are turned back; triangles of no area, which no pixel shows, are left
    out. Raises SurfaceError when there is no triangle or a mesh belongs to an unknown link.
    """
    unknown = sorted({mesh.link_name for mesh in meshes} - set(link_names))
    if unknown:
        raise SurfaceError(f"meshes belong to unknown links {', '.join(unknown)}; valid are {', '.join(link_names)}")
    if len(link_names) > np.iinfo(np.int16).max:
        raise SurfaceError(f"at most {np.iinfo(np.int16).max} links can be told apart, got {len(link_names)}")
    textures = [mesh.texture for mesh in meshes if mesh.texture is not None]
    pieces: list[_Piece] = []
    for link, name in enumerate(link_names):
        own = [mesh for mesh in meshes if mesh.link_name == name]
        if own:
            pieces += _split_link(link, name, own, textures)
    if not pieces:
        raise SurfaceError(f"no triangle in the meshes of {len(link_names)} links; has the robot any visual shape?")
    return _join_pieces(tuple(link_names), pieces, textures)


class _Piece(NamedTuple):
    link: int
    closed: bool
    corners: NDArray[np.float32]  # (n, 3, 3)
    rgb: NDArray[np.uint8]
    uv: NDArray[np.float32]
    texture: NDArray[np.int32]


def _split_link(link: int, name: str, meshes: list[LinkMesh], textures: list[NDArray[np.uint8]]) -> list[_Piece]:
    positions = np.concatenate([mesh.vertices[mesh.triangles] for mesh in meshes])
    if not (np.abs(positions) < _LARGEST_COORDINATE).all():
        raise SurfaceError(f"corners of link {name!r} must be finite and within {_LARGEST_COORDINATE:g} m of it")
    corners = positions.astype(np.float32)  # (n, 3, 3)
    rgb = np.concatenate([mesh.corner_rgb for mesh in meshes])
    uv = np.concatenate([_corner_uv(mesh) for mesh in meshes])
    texture = np.concatenate(
        [np.full(len(mesh.triangles), _texture_index(mesh, textures), np.int32) for mesh in meshes]
    )
    edges = corners[:, 1:].astype(np.float64) - corners[:, :1]
    solid = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=-1) > 0.0
    if not solid.any():
        return []
    corners, rgb, uv, texture = corners[solid], rgb[solid], uv[solid], texture[solid]
    closed, inside_out = find_closed_triangles(corners)
    order = np.where(inside_out[:, None], (0, 2, 1), (0, 1, 2))  # (n, 3)
    corners, rgb, uv = (np.take_along_axis(a, order[:, :, None], axis=1) for a in (corners, rgb, uv))
    _logger.debug("link %s: %d of %d triangles in closed pieces", name, closed.sum(), len(closed))
    split = ((True, closed), (False, ~closed))
    return [_Piece(link, c, corners[k], rgb[k], uv[k], texture[k]) for c, k in split if k.any()]


def _corner_uv(mesh: LinkMesh) -> NDArray[np.float32]:
    return np.zeros((len(mesh.triangles), 3, 2), np.float32) if mesh.corner_uv is None else mesh.corner_uv


def _texture_index(mesh: LinkMesh, textures: list[NDArray[np.uint8]]) -> int:
    return next((k for k, texture in enumerate(textures) if texture is mesh.texture), -1)


def _join_pieces(link_names: tuple[str, ...], pieces: list[_Piece], textures: list[NDArray[np.uint8]]) -> RobotSurface:
    counts = [len(piece.corners) for piece in pieces]
    corners = np.concatenate([piece.corners for piece in pieces])
    sizes = np.array([texture.shape[:2] for texture in textures], np.int64).reshape(-1, 2)
    first_texel = np.cumsum([0, *(sizes[:, 0] * sizes[:, 1])])[: len(sizes)]
    parts = Parts(
        corners=np.ascontiguousarray(corners.reshape(-1, 9).T),
        link=np.array([piece.link for piece in pieces], np.int64),
        start=np.cumsum([0, *counts], dtype=np.int64),
        closed=np.array([piece.closed for piece in pieces], np.bool_),
        low=np.stack([piece.corners.min(axis=(0, 1)) for piece in pieces]).astype(np.float64),
        high=np.stack([piece.corners.max(axis=(0, 1)) for piece in pieces]).astype(np.float64),
    )
    colors = Colors(
        corner_rgb=np.concatenate([piece.rgb for piece in pieces]),
        corner_uv=np.concatenate([piece.uv for piece in pieces]),
        triangle_texture=np.concatenate([piece.texture for piece in pieces]),
        triangle_part=np.repeat(np.arange(len(pieces), dtype=np.int32), counts),
        texels=np.concatenate([np.zeros((0, 3), np.uint8), *(texture.reshape(-1, 3) for texture in textures)]),
        texture_shapes=np.column_stack([first_texel, sizes]).astype(np.int64).reshape(-1, 3),
    )
    return RobotSurface(link_names, parts, colors)
