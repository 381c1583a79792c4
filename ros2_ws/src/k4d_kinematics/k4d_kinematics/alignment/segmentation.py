"""Which link each face of an aligned reconstruction belongs to, and how well each link was reconstructed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from k4d_kinematics import se3
from k4d_kinematics.alignment.open3d_library import load_open3d
from k4d_kinematics.alignment.outside import Outside
from k4d_kinematics.errors import AlignmentError
from k4d_kinematics.robot_surface import RobotSurface

NO_LINK = -1


@dataclass(frozen=True)
class LinkResidual:
    """How one link was reconstructed.

    faces: faces given to it. median_mm, p95_mm: distance of their middles from the link's surface, NaN without faces.
    coverage: share of the link's outside with a face of it within the inlier distance, NaN where nothing of it is
    outside at all.
    """

    link_name: str
    faces: int
    median_mm: float
    p95_mm: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The link index of each face (F,), NO_LINK where it is dropped, and how far the face is from it (F,), metres."""

    face_link: NDArray[np.int16]
    distance: se3.Array

    @property
    def dropped(self) -> int:
        """Faces that are farther than the limit from every link."""
        return int((self.face_link == NO_LINK).sum())


def segment(
    points_base: se3.Array,
    triangles: NDArray[np.int32],
    surface: RobotSurface,
    T_base_link: se3.Array,
    *,
    farthest: float,
) -> Segmentation:
    """Each face whole to the link that its corners and middle are nearest to, on average.

    ``points_base`` (V, 3) are the reconstruction's vertices in metres of the base frame, ``triangles`` (F, 3) its
    faces, ``T_base_link`` (L, 4, 4) the posture. Faces whose average is above ``farthest`` metres are dropped. Raises
    AlignmentError where none is left, or where open3d is not installed.
    """
    middles = points_base[triangles].mean(axis=1)
    nearest = np.full(len(triangles), np.inf)
    face_link = np.full(len(triangles), NO_LINK, np.int16)
    for link in np.unique(surface.parts.link):
        T_link_base = se3.inverse(T_base_link[link])
        distance = _distances(surface, int(link), se3.transform_points(T_link_base, np.vstack([points_base, middles])))
        at_corners, at_middle = distance[: len(points_base)], distance[len(points_base) :]
        average = (at_corners[triangles].sum(axis=1) + at_middle) / 4.0
        nearer = average < nearest
        nearest[nearer], face_link[nearer] = average[nearer], link
    face_link[nearest > farthest] = NO_LINK
    if (face_link == NO_LINK).all():
        raise AlignmentError(
            f"no face of the reconstruction lies within {farthest * 1e3:g} mm of the robot; the nearest is at "
            f"{nearest.min() * 1e3:.1f} mm"
        )
    return Segmentation(face_link, nearest)


def measure_links(
    segmentation: Segmentation, middles_base: se3.Array, outside: Outside, link_names: tuple[str, ...], reach: float
) -> tuple[LinkResidual, ...]:
    """The residual of every link that has a surface or faces, in the order of ``link_names``.

    ``middles_base`` (F, 3) are the faces' middles; ``reach`` is the distance in metres within which the outside counts
    as covered.
    """
    residuals = []
    for link, name in enumerate(link_names):
        own, seen = segmentation.face_link == link, outside.points_base[outside.link == link]
        if not own.any() and not len(seen):
            continue
        median, p95 = np.quantile(segmentation.distance[own], (0.5, 0.95)) if own.any() else (np.nan, np.nan)
        coverage = np.nan
        if len(seen):
            near = cKDTree(middles_base[own]).query(seen, distance_upper_bound=reach)[0] if own.any() else np.inf
            coverage = float((np.isfinite(near) & np.ones(len(seen), np.bool_)).mean())
        residuals.append(LinkResidual(name, int(own.sum()), float(median * 1e3), float(p95 * 1e3), coverage))
    return tuple(residuals)


def _distances(surface: RobotSurface, link: int, points_link: se3.Array) -> se3.Array:
    """Distances (N,) of points (N, 3) in a link's frame from its triangles, metres."""
    open3d = load_open3d()
    own = surface.triangle_link == link
    corners = np.ascontiguousarray(surface.parts.corners[:, own].T).reshape(-1, 3)
    scene = open3d.t.geometry.RaycastingScene()
    faces = np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)
    scene.add_triangles(open3d.core.Tensor(corners), open3d.core.Tensor(faces))
    return np.asarray(scene.compute_distance(open3d.core.Tensor(points_link.astype(np.float32))).numpy(), np.float64)
