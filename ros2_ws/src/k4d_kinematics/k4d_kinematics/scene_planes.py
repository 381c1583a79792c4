"""Planes that a scene is made of, and how far each of them goes on where something hides it."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Most planes looked for. Parts of the picture: what the smallest plane shows, and its smallest piece that counts.
MOST_PLANES = 4
_LEAST_SHARE, _LEAST_PIECE = 0.01, 0.003
# How far a depth may lie off its plane, as a part of it.
FLATNESS = 0.006
# Windows in which planes are guessed: pixels a side, how many are tried, and how much of one must be known.
_WINDOW, _GUESSES, _LEAST_KNOWN = 9, 300, 0.5
_REFINEMENTS = 5
# Pixels outside of a plane's outline from which on something farther says that it has ended, and how many must say so.
_BEYOND, _WITNESSES = 0.1, 2


class ScenePlanes(NamedTuple):
    """K planes of a picture, those first that show most.

    depths: (K, H, W) of each plane on every pixel's ray, at most the farthest known depth.
    members: (K, H, W) bool, where it is seen.
    extents: (K, H, W) bool, where it is, or may be behind what is nearer: as far as its outline stays convex without
        covering anything that is seen to be farther.
    """

    depths: Field
    members: Mask
    extents: Mask


def find_planes(depth: Field, known: Mask) -> ScenePlanes:
    """The planes in the known ones of the depths (H, W), which are positive there; equal pictures give equal planes.

    Inverse depth is linear over the picture on a plane. Guesses from small windows are counted, the best is refined.
    """
    inverse = np.divide(1.0, depth, out=np.zeros_like(depth), where=known)
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float64)
    basis = np.stack([x, y, np.ones_like(x)], axis=-1)
    values = np.array([basis @ fit for fit in _fits(inverse, known, basis)]).reshape(-1, *depth.shape)  # (K, H, W)
    off = np.abs(values - inverse)
    best = off == off.min(axis=0, initial=np.inf)
    members = np.array([_large(known & best[k] & (off[k] < FLATNESS * inverse)) for k in range(len(values))])
    seen = [k for k, member in enumerate(members) if member.any()]
    if not seen:
        return ScenePlanes(*(np.zeros((0, *depth.shape), kind) for kind in (np.float64, np.bool_, np.bool_)))
    values, members = values[seen], members[seen]
    depths = np.divide(1.0, values, out=np.full_like(values, np.inf), where=values > 0)
    farther = known & (depth > (1 + FLATNESS) * depths)
    extents = np.stack([_extent(*pair) for pair in zip(members, farther, strict=True)])
    return ScenePlanes(np.minimum(depths, depth[known].max()), members, extents)


def _fits(inverse: Field, known: Mask, basis: Field) -> list[Field]:
    """Coefficients (3,) over x, y and 1 of at most MOST_PLANES planes, one after the other."""
    left, fits = known.copy(), list[Field]()
    generator = np.random.default_rng(0)
    while len(fits) < MOST_PLANES and left.any():
        rows, values = basis[left], inverse[left]
        guesses = _guesses(inverse, left, basis, generator)
        counts = [np.count_nonzero(np.abs(rows @ guess - values) < FLATNESS * values) for guess in guesses]
        if max(counts, default=0) < _LEAST_SHARE * left.size:
            break
        fit = guesses[int(np.argmax(counts))]
        for _ in range(_REFINEMENTS):
            close = np.abs(rows @ fit - values) < FLATNESS * values
            if np.count_nonzero(close) >= len(fit):
                fit = np.asarray(np.linalg.lstsq(rows[close], values[close], rcond=None)[0], np.float64)
        fits.append(fit)
        left &= np.abs(basis @ fit - inverse) >= 2 * FLATNESS * inverse
    return fits


def _guesses(inverse: Field, left: Mask, basis: Field, generator: np.random.Generator) -> list[Field]:
    """Coefficients of the planes through windows around randomly chosen pixels."""
    pixels, half, guesses = np.argwhere(left), _WINDOW // 2, []
    for row, column in pixels[generator.integers(len(pixels), size=_GUESSES)]:
        window = np.s_[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1]
        inside = left[window]
        if np.count_nonzero(inside) >= _LEAST_KNOWN * _WINDOW**2:
            fit, _, rank, _ = np.linalg.lstsq(basis[window][inside], inverse[window][inside], rcond=None)
            if rank == len(fit):
                guesses.append(np.asarray(fit, np.float64))
    return guesses


def _large(member: Mask) -> Mask:
    """Its pieces that are at least _LEAST_PIECE of the picture."""
    pieces, _ = ndimage.label(member)
    large = np.bincount(pieces.ravel()) >= _LEAST_PIECE * member.size
    large[0] = False
    return np.asarray(large[pieces], np.bool_)


def _extent(member: Mask, farther: Mask) -> Mask:
    """Where (H, W) a plane that is seen at ``member`` may go on without covering what is ``farther``."""
    pixels = np.argwhere(member)[:, ::-1].astype(np.float64)  # x, y
    try:
        outline = pixels[ConvexHull(pixels).vertices]  # counter-clockwise
    except (QhullError, ValueError):  # fewer than three pixels, or all of them in a line
        return member
    witnesses = np.argwhere(farther)[:, ::-1].astype(np.float64)
    return np.asarray(_reach(outline, witnesses, *member.shape), np.bool_)


@njit(cache=True, nogil=True)
def _reach(outline: Field, witnesses: Field, height: int, width: int) -> Mask:
    """Which pixels (H, W) may join a convex outline (N, 2) while its hull covers fewer than _WITNESSES of (M, 2).

    The hull with a pixel p covers a witness q outside of the outline when p is in the cone at q between the tangents
    from the outline through q.
    """
    cones = np.empty((len(witnesses), 6))
    count = 0
    for witness in witnesses:
        beyond, nx, ny = -np.inf, 0.0, 0.0
        for i in range(len(outline)):
            corner, edge = outline[i], outline[(i + 1) % len(outline)] - outline[i]
            length = np.sqrt((edge**2).sum())
            away = ((witness[0] - corner[0]) * edge[1] - (witness[1] - corner[1]) * edge[0]) / length
            if away > beyond:
                beyond, nx, ny = away, edge[1] / length, -edge[0] / length
        if beyond < _BEYOND:
            continue
        # Halfway to the outline, where the plane may end at the latest.
        inwards = min(beyond, 1.0) / 2
        q = np.array([witness[0] - inwards * nx, witness[1] - inwards * ny])
        left, right = outline[0] - q, outline[0] - q
        for i in range(1, len(outline)):
            corner = outline[i] - q
            if left[0] * corner[1] - left[1] * corner[0] > 0:
                left = corner
            if right[0] * corner[1] - right[1] * corner[0] < 0:
                right = corner
        cones[count, :2], cones[count, 2:4], cones[count, 4:] = q, left, right
        count += 1
    reached = np.ones((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            covered = 0
            for k in range(count):
                px, py = cones[k, 0] - x, cones[k, 1] - y  # back towards the outline
                if cones[k, 2] * py - cones[k, 3] * px <= 0 <= cones[k, 4] * py - cones[k, 5] * px:
                    covered += 1
                    if covered == _WITNESSES:
                        reached[y, x] = False
                        break
    return reached
