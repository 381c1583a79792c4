"""A robot's links as bodies: how near their surface comes to points of a scene, and which points are inside of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from k4d_kinematics import RobotSurface, se3
from k4d_kinematics.robot import Robot
from k4d_world_model.errors import AssessmentError

Array = NDArray[np.float64]

# Samples finer than for this distance in metres tell nothing new of bodies of this size; their number grows squared.
_COARSEST = 0.02
SMALLEST_DISTANCE = 0.005
# Samples lie in cells within cells, this many metres wide; only cells that may hold the nearest one are looked into.
_CELLS = (0.064, 0.016)
# A body counts as solid from two voxels below its surface on; so far, samples of the surface are near enough.
_VOXELS_A_DISTANCE = 3.0
# What a link may take at most: a box of 2 x 2 x 0.8 m at 1 cm has 86 million voxels, a gigabyte and some seconds.
_MOST_SAMPLES, _MOST_VOXELS = 5_000_000, 60_000_000


@dataclass(frozen=True, eq=False)
class _Cells:
    """N places of one link in its frame; place i stands for children start[i] to start[i + 1] of the next finer level.

    radius: (N,) how far the farthest sample that a place stands for is from it. link: (N,) their links.
    """

    points: Array
    radius: Array
    link: NDArray[np.intp]
    start: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Solid:
    """Voxels (X, Y, Z) of one link that lie inside of it; voxel (0, 0, 0) begins at ``low`` in the link's frame."""

    low: Array
    size: float
    inside: NDArray[np.bool_]


class RobotBody:
    """The links of a robot that have a surface, prepared for looking at distances from ``distance`` metres on.

    No place of the surface is farther than a quarter of ``distance`` from its nearest sample. Raises AssessmentError
    for a distance below 5 mm, and naming a link that is too large for it.
    """

    def __init__(self, robot: Robot, surface: RobotSurface, distance: float) -> None:
        if not distance >= SMALLEST_DISTANCE:
            raise AssessmentError(f"contacts are told from {SMALLEST_DISTANCE} m on, got {distance} m")
        self.robot, self.surface, self.distance = robot, surface, distance
        spacing = min(distance, _COARSEST) * np.sqrt(3.0) / 4.0
        samples: dict[int, Array] = {}
        corners = surface.parts.corners.reshape(3, 3, -1).transpose(2, 0, 1)  # (N, corner, 3)
        for index in np.unique(surface.triangle_link).tolist():
            own = corners[surface.triangle_link == index].astype(np.float64)
            _check_size(surface.link_names[index], own, spacing, distance)
            samples[robot.link_index(surface.link_names[index])] = _covered(own, spacing)
        self._levels = _nested(samples)
        self._solids = {link: _solid(points, distance) for link, points in samples.items()}
        bounds = {link: np.stack([points.min(axis=0), points.max(axis=0)]) for link, points in samples.items()}
        picked = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
        self._boxes = {link: bound[picked, np.arange(3)] for link, bound in bounds.items()}  # (8, 3) corners

    def moved(self, T_base_link: Array) -> Array:
        """How far any place of a link moves at most (T - 1, L) between poses (T, L, 4, 4), metres."""
        moved = np.zeros((len(T_base_link) - 1, T_base_link.shape[1]))
        for link, box in self._boxes.items():
            places = np.einsum("tij,nj->tni", T_base_link[:, link, :3, :3], box) + T_base_link[:, link, None, :3, 3]
            moved[:, link] = np.linalg.norm(np.diff(places, axis=0), axis=-1).max(axis=1)
        return moved

    def gaps(self, T_base_link: Array, scene: cKDTree, beyond: Array) -> tuple[Array, Array]:
        """Of each link (L,) how far it is from a scene in the base frame, and the nearest place there (L, 3); metres.

        0 where a point of the scene is inside of the link; infinite, and NaN, for a link without a surface and for one
        that is at least ``beyond`` (L,) away.
        """
        gaps, places = beyond.copy(), np.full((len(T_base_link), 3), np.nan)
        chosen = np.arange(len(self._levels[0].points))
        for level in self._levels:
            link, radius = level.link[chosen], level.radius[chosen]
            points = np.einsum("nij,nj->ni", T_base_link[link, :3, :3], level.points[chosen]) + T_base_link[link, :3, 3]
            farthest = float((gaps[link] + radius).max(initial=0.0))
            found, nearest = scene.query(points, distance_upper_bound=farthest)
            order = np.argsort(-found, kind="stable")  # the nearest is written last
            closer = order[found[order] < gaps[link[order]]]
            gaps[link[closer]], places[link[closer]] = found[closer], scene.data[nearest[closer]]
            chosen = chosen[found - radius < gaps[link]]
            chosen = _ranges(level.start[chosen], level.start[chosen + 1])
        gaps[np.isnan(places[:, 0])] = np.inf
        self._enter(T_base_link, scene, gaps, places)
        return gaps, places

    def _enter(self, T_base_link: Array, scene: cKDTree, gaps: Array, places: Array) -> None:
        for link, solid in self._solids.items():
            if not solid.inside.any():
                continue
            half = np.array(solid.inside.shape) * solid.size / 2.0
            middle = se3.transform_points(T_base_link[link], (solid.low + half)[None])[0]
            within = scene.data[scene.query_ball_point(middle, float(np.linalg.norm(half)))]
            voxel = np.floor((se3.transform_points(se3.inverse(T_base_link[link]), within) - solid.low) / solid.size)
            # The outermost voxels are never inside, so that points beyond them may stand for theirs.
            voxel = np.clip(voxel, 0, np.array(solid.inside.shape) - 1).astype(np.intp)
            held = np.flatnonzero(solid.inside[tuple(voxel.T)])
            if len(held):
                gaps[link], places[link] = 0.0, within[held[0]]


def _check_size(link: str, corners: Array, spacing: float, distance: float) -> None:
    size = np.ptp(corners.reshape(-1, 3), axis=0)
    parts = _parts(corners, spacing)
    samples, voxels = float(((parts + 1) * (parts + 2) / 2).sum()), float((size / distance * _VOXELS_A_DISTANCE).prod())
    if samples > _MOST_SAMPLES or voxels > _MOST_VOXELS:
        raise AssessmentError(
            f"link {link} of {size[0]:.2f} x {size[1]:.2f} x {size[2]:.2f} m is too large to be looked at from "
            f"{distance:g} m on: are its meshes in metres? Else give a larger contact_distance"
        )


def _parts(corners: Array, spacing: float) -> Array:
    """Into how many parts (n,) the sides of triangles (n, 3, 3) are cut."""
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(axis=1)
    return np.asarray(np.maximum(np.ceil(longest / spacing), 1.0))


def _covered(corners: Array, spacing: float) -> Array:
    """Points (N, 3) on triangles (n, 3, 3), none of whose places is farther than spacing / sqrt(3) from its nearest."""
    parts = _parts(corners, spacing).astype(np.intp)
    found = []
    for count in np.unique(parts).tolist():
        i, j = (axis.ravel() for axis in np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij"))
        i, j = i[i + j <= count], j[i + j <= count]
        weights = np.stack([i, j, count - i - j], axis=1) / count  # (n, 3)
        found.append(np.einsum("nc,tcx->tnx", weights, corners[parts == count]).reshape(-1, 3))
    # Neighbours share their corners and edges.
    return np.unique(np.concatenate(found).round(6), axis=0)


def _nested(samples: dict[int, Array]) -> list[_Cells]:
    """Samples by link as levels of cells, the coarsest first and the samples themselves last."""
    points = np.concatenate(list(samples.values()))
    link = np.concatenate([np.full(len(own), index, np.intp) for index, own in samples.items()])
    keys = [np.floor(points / size).astype(np.int64) for size in _CELLS]
    order = np.lexsort(np.column_stack([link, *keys]).T[::-1])
    points, link, keys = points[order], link[order], [key[order] for key in keys]
    levels = [_Cells(points, np.zeros(len(points)), link, np.arange(len(points) + 1))]
    sample_start = np.arange(len(points) + 1)  # first sample of each place of the level below
    for depth in range(len(keys), 0, -1):
        label = np.column_stack([link, *keys[:depth]])
        begins = np.flatnonzero(np.concatenate([[True], (np.diff(label, axis=0) != 0).any(axis=1)]))
        bounds = np.append(begins, len(points))
        count = np.diff(bounds)
        middle = np.add.reduceat(points, begins) / count[:, None]
        away = np.linalg.norm(points - np.repeat(middle, count, axis=0), axis=1)
        # The sample nearest to the middle stands for its cell, so that its own gap bounds the cell's from above.
        head = np.lexsort((away, np.repeat(np.arange(len(begins)), count)))[begins]
        radius = np.linalg.norm(points - np.repeat(points[head], count, axis=0), axis=1)
        start = np.searchsorted(sample_start, bounds)
        levels.insert(0, _Cells(points[head], np.maximum.reduceat(radius, begins), link[head], start))
        sample_start = bounds
    return levels


def _solid(points: Array, distance: float) -> _Solid:
    size = distance / _VOXELS_A_DISTANCE
    low = points.min(axis=0) - 2.5 * size  # a free margin around the widened shell
    voxel = np.floor((points - low) / size).astype(np.intp)
    shell = np.zeros(voxel.max(axis=0) + 3, np.bool_)
    shell[tuple(voxel.T)] = True
    # Samples lie less dense than voxels: widened, the shell has no holes.
    shell = ndimage.binary_dilation(shell)
    regions, _ = ndimage.label(~shell)
    return _Solid(low, size, ~shell & (regions != regions[0, 0, 0]))


def _ranges(start: NDArray[np.intp], stop: NDArray[np.intp]) -> NDArray[np.intp]:
    """All whole numbers from start[i] up to stop[i], one range after the other."""
    count = stop - start
    return np.repeat(stop - np.cumsum(count), count) + np.arange(count.sum())
