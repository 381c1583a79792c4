"""Rough similarities between two shapes from every rotation: a robust ICP that runs on hundreds of starts at once.

Both directions count. Points of one shape that are pulled to the other one alone would reward a shape that shrinks to a
spot, and would break on what only one of the two shows: a table in the reconstruction, the back that no view has seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from k4d_kinematics import se3

_ROTATIONS = 200
# Clutter makes the reconstruction's radius larger than the robot's, missing parts make it smaller.
_SCALES = (0.8, 1.1)
# A plane with this share of the reconstruction is taken for a table, and more starts leave it out: points within this
# part of the radius, the best of so many tries.
_TABLE_SHARE, _TABLE_THICKNESS, _TABLE_TRIES = 0.2, 0.03, 300
_CELLS = 32
_FIELD_POINTS = 6000
# Widths of the robust kernel, in radii of the shape: first for all starts on few points, then for the best on more.
_WIDTHS_OF_ALL = (0.5, 0.5, 0.5, 0.35, 0.35, 0.35, 0.35, 0.25, 0.25, 0.25, 0.25)
_WIDTHS_OF_BEST = (0.2, 0.2, 0.2, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08)
_POINTS_OF_ALL = 100
_POINTS_OF_BEST = 500
_BEST = 40
# Two rough results whose points lie closer than this part of the radius, on average, will become the same one.
_SAME = 0.25


def search_rotations(
    points_base: se3.Array, points_recon: se3.Array, rng: np.random.Generator, *, most: int
) -> se3.Array:
    """Up to ``most`` different similarities ``S_base_recon`` (n, 4, 4), the most likely first, from shapes alone.

    ``points_base`` (N, 3) lie evenly on what the robot shows, ``points_recon`` (M, 3) on the reconstruction.
    """
    base, recon = _normalize(points_base), _normalize(points_recon)
    search = _Search(_Field(base.pick(_FIELD_POINTS, rng)), _Field(recon.pick(_FIELD_POINTS, rng)), rng)
    starts = _Starts.everywhere([(scale, np.zeros(3)) for scale in _SCALES] + _without_table(search.recon.points, rng))
    rough, cost = search.refine(starts, _POINTS_OF_ALL, _WIDTHS_OF_ALL)
    best, cost = search.refine(rough.take(np.argsort(cost)[:_BEST]), _POINTS_OF_BEST, _WIDTHS_OF_BEST)
    ordered = best.take(np.argsort(cost))
    chosen = _different(ordered.place(base.points[:: max(1, len(base.points) // 200)]), most)
    return np.stack([_denormalize(ordered, k, base, recon) for k in chosen])


@dataclass(frozen=True, eq=False)
class _Normalized:
    points: se3.Array  # (N, 3) with centre 0 and radius 1
    center: se3.Array
    radius: float

    def pick(self, most: int, rng: np.random.Generator) -> se3.Array:
        return self.points[rng.permutation(len(self.points))[:most]]


def _normalize(points: se3.Array) -> _Normalized:
    center = points.mean(axis=0)
    radius = float(np.sqrt(points.var(axis=0).sum()))
    return _Normalized((points - center) / radius, center, radius)


@dataclass(frozen=True, eq=False)
class _Starts:
    """h similarities y = s R x + t from the robot to the reconstruction, both normalised."""

    R: se3.Array  # (h, 3, 3)
    s: se3.Array  # (h,)
    t: se3.Array  # (h, 3)

    @classmethod
    def everywhere(cls, places: list[tuple[float, se3.Array]]) -> "_Starts":
        """Every rotation at every place: a scale and a translation (3,)."""
        R = np.repeat(_even_rotations(_ROTATIONS), len(places), axis=0)
        s, t = (np.array([place[k] for place in places]) for k in (0, 1))
        return cls(R, np.tile(s, _ROTATIONS), np.tile(t, (_ROTATIONS, 1)))

    def take(self, chosen: NDArray[np.int64]) -> "_Starts":
        return _Starts(self.R[chosen], self.s[chosen], self.t[chosen])

    def place(self, x: se3.Array) -> se3.Array:
        """Points (n, 3) of the robot in the reconstruction (h, n, 3)."""
        return np.asarray(x @ self.R.transpose(0, 2, 1) * self.s[:, None, None] + self.t[:, None])

    def place_back(self, y: se3.Array) -> se3.Array:
        """Points (n, 3) of the reconstruction on the robot (h, n, 3)."""
        return np.asarray((y - self.t[:, None]) @ self.R / self.s[:, None, None])


def _without_table(points: se3.Array, rng: np.random.Generator) -> list[tuple[float, se3.Array]]:
    """Radius and centre of normalised points without the largest plane, where that is large enough to be a table."""
    a, b, c = np.moveaxis(points[rng.integers(len(points), size=(_TABLE_TRIES, 3))], 1, 0)
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    normal, a = normal[length > 0.0] / length[length > 0.0, None], a[length > 0.0]
    on_plane = np.abs(points @ normal.T - (normal * a).sum(axis=1)) < _TABLE_THICKNESS  # (N, tries)
    if not on_plane.size or on_plane.mean(axis=0).max() < _TABLE_SHARE:
        return []
    rest = points[~on_plane[:, on_plane.sum(axis=0).argmax()]]
    return [(_normalize(rest).radius, rest.mean(axis=0))] if len(rest) > _POINTS_OF_BEST else []


class _Field:
    """The nearest point of a shape to any place, looked up in a grid around it; outside, in its outermost cells."""

    def __init__(self, points: se3.Array) -> None:
        self.points = points
        low, high = points.min(axis=0), points.max(axis=0)
        margin = (high - low).max() / 2
        self._low, self._cell = low - margin, ((high - low).max() + 2 * margin) / _CELLS
        self._shape = np.maximum(np.ceil((high - low + 2 * margin) / self._cell).astype(np.int64), 1)
        cells = np.stack(np.meshgrid(*map(np.arange, self._shape), indexing="ij"), axis=-1).reshape(-1, 3)
        self._nearest = cKDTree(points).query(self._low + (cells + 0.5) * self._cell)[1]

    def nearest(self, places: se3.Array) -> se3.Array:
        """The nearest points (..., 3) to places (..., 3), exact to about a cell."""
        i, j, k = np.moveaxis(np.clip((places - self._low) / self._cell, 0, self._shape - 1).astype(np.int64), -1, 0)
        return np.asarray(self.points[self._nearest[(i * self._shape[1] + j) * self._shape[2] + k]])


class _Search:
    def __init__(self, base: _Field, recon: _Field, rng: np.random.Generator) -> None:
        self.base, self.recon, self._rng = base, recon, rng

    def refine(self, starts: _Starts, count: int, widths: tuple[float, ...]) -> tuple[_Starts, se3.Array]:
        """The starts after one step per width, and their robust cost (h,) in 0..1 at the last one."""
        x, y = (field.points[self._rng.permutation(len(field.points))[:count]] for field in (self.base, self.recon))
        for width in widths:
            from_base, from_recon, squared = self._pair(starts, x, y)
            weight = 1.0 / (1.0 + squared / width**2) ** 2  # of Geman and McClure
            starts = _fit(from_base, from_recon, weight)
        _, _, squared = self._pair(starts, x, y)
        return starts, (squared / (squared + widths[-1] ** 2)).mean(axis=1)

    def _pair(self, starts: _Starts, x: se3.Array, y: se3.Array) -> tuple[se3.Array, se3.Array, se3.Array]:
        """Pairs of points (h, n, 3) on robot and reconstruction, and their squared distances (h, n) on the robot."""
        placed, placed_back = starts.place(x), starts.place_back(y)
        near_x, near_y = self.recon.nearest(placed), self.base.nearest(placed_back)
        on_base = np.concatenate([np.broadcast_to(x, placed.shape), near_y], axis=1)
        on_recon = np.concatenate([near_x, np.broadcast_to(y, near_y.shape)], axis=1)
        forward = ((near_x - placed) ** 2).sum(axis=-1) / starts.s[:, None] ** 2
        backward = ((near_y - placed_back) ** 2).sum(axis=-1)
        return on_base, on_recon, np.concatenate([forward, backward], axis=1)


def _fit(x: se3.Array, y: se3.Array, weight: se3.Array) -> _Starts:
    """The similarities that take points x (h, n, 3) to y (h, n, 3) best: Umeyama 1991, with the symmetric scale of
    Horn 1987, which does not shrink where pairs are wrong."""
    total = weight.sum(axis=1)[:, None]
    mean_x, mean_y = ((weight[..., None] * p).sum(axis=1) / total for p in (x, y))
    dx, dy = x - mean_x[:, None], y - mean_y[:, None]
    U, _, Vt = np.linalg.svd((weight[..., None] * dy).transpose(0, 2, 1) @ dx)
    sign = np.ones((len(x), 3))
    sign[:, 2] = np.sign(np.linalg.det(U) * np.linalg.det(Vt))
    R = (U * sign[:, None]) @ Vt
    spread_x, spread_y = ((weight * (d**2).sum(axis=-1)).sum(axis=1) for d in (dx, dy))
    s = np.sqrt(spread_y / spread_x)
    return _Starts(R, s, mean_y - s[:, None] * (R @ mean_x[:, :, None])[..., 0])


def _different(placed: se3.Array, most: int) -> list[int]:
    """Indices of placed points (h, n, 3) that are no copies of earlier ones."""
    chosen: list[int] = []
    for k, points in enumerate(placed):
        if all(np.linalg.norm(points - placed[c], axis=1).mean() > _SAME for c in chosen):
            chosen.append(k)
        if len(chosen) == most:
            break
    return chosen


def _denormalize(starts: _Starts, k: int, base: _Normalized, recon: _Normalized) -> se3.Array:
    """``S_base_recon`` (4, 4) of one start."""
    metres_per_unit = base.radius / (recon.radius * starts.s[k])
    S = np.eye(4)
    S[:3, :3] = metres_per_unit * starts.R[k].T
    S[:3, 3] = base.center - S[:3, :3] @ (recon.center + recon.radius * starts.t[k])
    return S


def _even_rotations(count: int) -> se3.Array:
    """Rotations (count, 3, 3) spread evenly: the super-Fibonacci spiral of Alexa 2022."""
    k = np.arange(count) + 0.5
    alpha, beta = 2.0 * np.pi * k / np.sqrt(2.0), 2.0 * np.pi * k / 1.533751168755204288118041
    r, R = np.sqrt(k / count), np.sqrt(1.0 - k / count)
    quaternions = np.stack([r * np.sin(alpha), r * np.cos(alpha), R * np.sin(beta), R * np.cos(beta)], axis=1)
    return np.asarray(Rotation.from_quat(quaternions).as_matrix())
