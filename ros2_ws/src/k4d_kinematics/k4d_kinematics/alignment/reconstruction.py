"""A reconstructed mesh as its file states it, in a frame and a unit that nobody knows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.errors import MeshError
from k4d_kinematics.mesh_files import fill_corners, read_mesh_file
from k4d_kinematics.meshes import DEFAULT_RGB


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Triangles of a reconstruction with a colour at each corner. Raises MeshError where it is empty or has no area."""

    vertices_recon: se3.Array  # (V, 3)
    triangles: NDArray[np.int32]  # (F, 3)
    corner_rgb: NDArray[np.uint8]  # (F, 3, 3)

    def __post_init__(self) -> None:
        if len(self.triangles) == 0:
            raise MeshError("a reconstruction must have at least one triangle, got none")
        if not np.isfinite(self.vertices_recon).all():
            raise MeshError("vertices of a reconstruction must be finite, got NaN or inf")
        if not self.areas.sum() > 0.0:
            raise MeshError(f"a reconstruction must have an area above 0, got {len(self.triangles)} triangles of none")

    @property
    def areas(self) -> se3.Array:
        """Area (F,) of each triangle in squared units of the reconstruction."""
        a, b, c = np.moveaxis(self.vertices_recon[self.triangles], 1, 0)
        return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2.0)

    def sample(self, count: int, rng: np.random.Generator) -> se3.Array:
        """Points (count, 3) spread evenly over the triangles' area."""
        share = np.cumsum(self.areas)
        where = (np.arange(count) + rng.uniform(size=count)) / count * share[-1]
        face = np.minimum(np.searchsorted(share, where), len(share) - 1)
        a, b, c = np.moveaxis(self.vertices_recon[self.triangles[face]], 1, 0)
        u, v = rng.uniform(size=(2, count, 1))
        outside = u + v > 1.0
        u, v = np.where(outside, 1.0 - u, u), np.where(outside, 1.0 - v, v)
        return np.asarray(a + u * (b - a) + v * (c - a))


def read_reconstruction(path: Path) -> Reconstruction:
    """The mesh of an OBJ, GLB, PLY, STL or DAE file, all its parts in one; textures become colours at the corners.

    Raises MeshError naming the file where it is unreadable, empty, without faces, not finite or without an area.
    """
    parts = read_mesh_file(path)
    first = np.cumsum([0, *(len(part.vertices) for part in parts)])
    grey = np.array(DEFAULT_RGB, np.uint8)
    colours = [fill_corners(p.triangles, grey) if p.corner_rgb is None else p.corner_rgb for p in parts]
    try:
        return Reconstruction(
            np.concatenate([part.vertices for part in parts]),
            np.concatenate([part.triangles + np.int32(n) for part, n in zip(parts, first, strict=False)]),
            np.concatenate(colours),
        )
    except MeshError as error:
        raise MeshError(f"{path}: {error}") from error
