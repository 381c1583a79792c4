"""Images and points of an episode as channels first, scaled to [-1, 1]."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from k4d_world_model.dataset.storage.depth_codec import extrema
from k4d_world_model.errors import EpisodeError

Planes = NDArray[np.float32]

# What stands where there is no point: black, as in the published pointmap videos.
MISSING = -1.0


@dataclass(frozen=True, eq=False)
class Normalization:
    """Per axis, ``points = scale * normalised + offset``: scale > 0 and offset (3,) float32."""

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]


def normalization_by(points: NDArray[np.float32], name: str) -> Normalization:
    """What maps the extrema of points (T, H, W, 3), one for the whole sequence and each axis, to -1 and 1.

    An axis in which all points agree maps to 0. Raises EpisodeError naming ``name`` when there is no point, or one that
    is neither finite nor missing in all three coordinates.
    """
    low, high = extrema(name, points)
    if not np.isfinite(low).all():
        raise EpisodeError(f"{name} hold no point at all; extrema to normalise by need at least one")
    half = (high - low) / 2
    return Normalization(np.where(half > 0, half, 1.0).astype(np.float32), ((low + high) / 2).astype(np.float32))


def normalised_points(points: NDArray[np.float32], by: Normalization) -> tuple[Planes, NDArray[np.bool_]]:
    """Normalised points (3, T, H, W), MISSING where there is none, and where there are any (T, H, W)."""
    planes = np.empty((3, *points.shape[:3]), np.float32)
    valid = np.empty(points.shape[:3], np.bool_)
    _normalise(points, by.offset, by.scale, planes, valid)
    return planes, valid


def normalised_pictures(rgb: NDArray[np.uint8]) -> Planes:
    """Pictures (T, H, W, 3) as (3, T, H, W), levels 0 and 255 as -1 and 1."""
    planes = np.empty((3, *rgb.shape[:3]), np.float32)
    _separate(rgb, (np.arange(256) / 127.5 - 1.0).astype(np.float32), planes)
    return planes


@njit(cache=True, nogil=True)
def _normalise(points: Any, offset: Any, scale: Any, planes: Any, valid: Any) -> None:
    frames, height, width = valid.shape
    for t in range(frames):
        for v in range(height):
            for u in range(width):
                is_point = not np.isnan(points[t, v, u, 2])
                valid[t, v, u] = is_point
                for k in range(3):
                    value = (points[t, v, u, k] - offset[k]) / scale[k]
                    planes[k, t, v, u] = value if is_point else np.float32(MISSING)


@njit(cache=True, nogil=True)
def _separate(rgb: Any, levels: Any, planes: Any) -> None:
    frames, height, width = rgb.shape[:3]
    for t in range(frames):
        for k in range(3):
            for v in range(height):
                for u in range(width):
                    planes[k, t, v, u] = levels[rgb[t, v, u, k]]
