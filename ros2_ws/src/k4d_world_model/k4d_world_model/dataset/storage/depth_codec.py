"""Coordinates as 16-bit codes: one step and offset a sequence and axis, code 0 where a point is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from k4d_kinematics import Camera
from k4d_world_model.errors import EpisodeError

Codes = NDArray[np.uint16]
Points = NDArray[np.float32]

FINEST_STEP = 5e-5
"""Metres between two codes of metric points where their range allows it: an error of 0.025 mm."""
COARSEST_STEP = 1e-3
"""Metres between two codes of metric points at most: an error of 0.5 mm is promised."""

_LARGEST_CODE = 65535
_LARGEST_RAY_OFFSET_PX = 0.01
_FLAGS = {"contract", "nsz"}


@dataclass(frozen=True)
class Quantisation:
    """Coordinate = ``offset`` + ``step`` * (code - 1); the largest error is half a step, and float32's rounding."""

    offset: float
    step: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.offset) and np.isfinite(self.step) and self.step > 0):
            raise EpisodeError(f"offset must be finite and step finite and > 0, got {self.offset} and {self.step}")


_EIGHT_BIT = Quantisation(0.0, 1.0 / 255.0)


def quantisation(name: str, low: float, high: float, *, metric: bool) -> Quantisation:
    """The codes of coordinates from ``low`` to ``high``; not finite ones stand for no coordinates at all.

    Raises EpisodeError naming ``name`` when metric coordinates have too large a range for the promised error.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return Quantisation(0.0, 1.0)
    step = (high - low) / (_LARGEST_CODE - 1)
    if not metric:
        return Quantisation(low, step if step > 0 else 1.0)
    if step > COARSEST_STEP:
        raise EpisodeError(
            f"{name} range from {low} m to {high} m; the promised error of {COARSEST_STEP / 2} m allows a range of "
            f"at most {COARSEST_STEP * (_LARGEST_CODE - 1)} m: remove points that are too far away (NaN)"
        )
    return Quantisation(low, max(step, FINEST_STEP))


def eight_bit(points: Points) -> Quantisation | None:
    """The codes that keep points (T, H, W, 3) exactly which are colours of 8 bits divided by 255, None for others."""
    return _EIGHT_BIT if _is_eight_bit(points) else None


def extrema(name: str, points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and largest x, y, z (3,) of points (T, H, W, 3) that are not missing; infinite where all are.

    Raises EpisodeError at a point that is neither finite nor NaN in all three coordinates.
    """
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    ragged = _extrema(points, low, high)
    if ragged >= 0:
        index = _index(ragged, points)
        raise EpisodeError(f"{name} must be finite or NaN in all of x, y, z, got {points[index]} at {index}")
    return low, high


def check_on_rays(name: str, points: Points, camera: Camera) -> None:
    """Raises EpisodeError unless points (T, H, W, 3) lie before the camera, each on the ray of its pixel's centre."""
    worst = np.zeros(2)
    behind = _ray_offset(points, *_separate_rays(camera), camera.matrix[0, 0], camera.matrix[1, 1], worst)
    if behind >= 0:
        index = _index(behind, points)
        raise EpisodeError(f"{name} must have z > 0 in the camera's frame, got {points[index]} at {index}")
    if worst[0] > _LARGEST_RAY_OFFSET_PX:
        index = _index(int(worst[1]), points)
        raise EpisodeError(
            f"{name} must lie on the rays of the camera's pixel centres to {_LARGEST_RAY_OFFSET_PX} px, got "
            f"{points[index]}, which is {worst[0]:.4g} px off at {index} (frame, row, column)"
        )


def encode(coordinates: NDArray[np.float32], scale: Quantisation) -> Codes:
    """Codes of coordinates (...) of one axis, 0 where NaN."""
    codes = np.empty(coordinates.shape, np.uint16)
    for frame, out in zip(coordinates, codes, strict=True):
        _encode(frame, scale.offset, 1.0 / scale.step, out)
    return codes


class DepthDecoder:
    """Turns depth codes (H, W) into points (H, W, 3) on the camera's rays, NaN where the code is 0."""

    def __init__(self, camera: Camera, scale: Quantisation) -> None:
        self._rays = _separate_rays(camera)
        self._scale = scale

    def __call__(self, codes: Codes, points: Points) -> None:
        """Fills ``points``."""
        _unproject(codes, *self._rays, self._scale.offset, self._scale.step, points)


class PointDecoder:
    """Turns codes (H, W, 3) of x, y, z into points (H, W, 3), NaN where a code is 0."""

    def __init__(self, scales: Sequence[Quantisation]) -> None:
        self._offset = np.array([scale.offset for scale in scales])
        self._step = np.array([scale.step for scale in scales])

    def __call__(self, codes: Codes, points: Points) -> None:
        """Fills ``points``."""
        _decode(codes, self._offset, self._step, points)


def _separate_rays(camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x/z of the columns (W,) and y/z of the rows (H,), which are all there is to a pinhole's rays."""
    rays = camera.rays()  # (H, W, 2)
    return np.ascontiguousarray(rays[0, :, 0]), np.ascontiguousarray(rays[:, 0, 1])


def _index(flat: int, points: Points) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, points.shape[:-1]))


@njit(cache=True, nogil=True)
def _extrema(points: Any, low: Any, high: Any) -> int:
    flat = points.reshape(-1, 3)
    for i in range(flat.shape[0]):
        finite = np.isfinite(flat[i, 0]) + np.isfinite(flat[i, 1]) + np.isfinite(flat[i, 2])
        missing = np.isnan(flat[i, 0]) and np.isnan(flat[i, 1]) and np.isnan(flat[i, 2])
        if finite == 3:
            for k in range(3):
                low[k], high[k] = min(low[k], flat[i, k]), max(high[k], flat[i, k])
        elif not missing:
            return i
    return -1


@njit(cache=True, nogil=True, fastmath=_FLAGS, error_model="numpy")
def _ray_offset(points: Any, columns: Any, rows: Any, fx: float, fy: float, worst: Any) -> Any:
    frames, height, width = points.shape[:3]
    for t in range(frames):
        for v in range(height):
            for u in range(width):
                x, y, z = points[t, v, u]
                if np.isnan(z):
                    continue
                if z <= 0:
                    return (t * height + v) * width + u
                offset = max(abs(x / z - columns[u]) * fx, abs(y / z - rows[v]) * fy)
                if offset > worst[0]:
                    worst[0], worst[1] = offset, (t * height + v) * width + u
    return -1


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _encode(coordinates: Any, offset: float, codes_per_unit: float, codes: Any) -> None:
    for v in range(coordinates.shape[0]):
        for u in range(coordinates.shape[1]):
            value = coordinates[v, u]
            codes[v, u] = 0 if np.isnan(value) else np.uint16((value - offset) * codes_per_unit + 1.5)


@njit(cache=True, nogil=True)
def _is_eight_bit(points: Any) -> Any:
    for value in points.ravel():
        level = np.round(value * np.float32(255))
        if not np.isnan(value) and not (0 <= level <= 255 and value == np.float32(level) / np.float32(255)):
            return False
    return True


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _decode(codes: Any, offset: Any, step: Any, points: Any) -> None:
    for v in range(codes.shape[0]):
        for u in range(codes.shape[1]):
            for k in range(3):
                code = codes[v, u, k]
                points[v, u, k] = offset[k] + step[k] * (np.float64(code) - 1.0) if code else np.nan


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _unproject(codes: Any, columns: Any, rows: Any, offset: float, step: float, points: Any) -> None:
    for v in range(codes.shape[0]):
        for u in range(codes.shape[1]):
            z = offset + step * (np.float64(codes[v, u]) - 1.0) if codes[v, u] else np.nan
            points[v, u, 0], points[v, u, 1], points[v, u, 2] = columns[u] * z, rows[v] * z, z
