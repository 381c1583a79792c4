"""Where surfaces around a hole would go on inside it: planes, whose inverse depth is linear over the picture."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# From which side of the hole, in the order of the results.
SIDES = ("left", "right", "above", "below")

# Pixels a side of the windows in which surfaces are told, and how far inside a surface its slope is taken.
_WINDOW, _INSIDE = 7, 3
# Variance of pixel positions below which a window tells no slope.
_LEAST_SPREAD = 1e-3

Field = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)


def continued_depths(depth: Field, hole: NDArray[np.bool_]) -> tuple[Field, Field]:
    """Depths (4, H, W) that the surface on each of SIDES would have in the hole (H, W), and pixels (4, H, W) to it.

    Along a row or a column the nearest pixel outside of the hole is continued with the slope of inverse depth around
    it, within the range of the depths (H, W) outside, which are positive. Where a side has no such pixel, and outside
    of the hole, the depth itself is returned, at a distance of 0 pixels.
    """
    inverse = 1.0 / depth
    slopes = _slopes(inverse, ~hole)  # along x, along y
    low, high = (inverse[~hole].min(), inverse[~hole].max()) if not hole.all() else (0.0, np.inf)
    depths, distances = [], []
    for side in range(4):
        values, slope = (_turned(field, side) for field in (inverse, slopes[side // 2]))
        empty = _turned(hole, side)
        columns = np.arange(values.shape[1])
        edge = np.maximum.accumulate(np.where(empty, -1, columns), axis=1)
        from_pixel = np.maximum(edge, 0)
        rising = np.take_along_axis(slope, np.maximum(from_pixel - _INSIDE, 0), axis=1) * (-1.0) ** side
        away = np.where(edge < 0, 0, columns - edge)
        continued = np.take_along_axis(values, from_pixel, axis=1) + rising * away
        continued = np.where(away > 0, np.clip(continued, low, high), values)
        depths.append(1.0 / _turned_back(continued, side))
        distances.append(_turned_back(away, side))
    return np.stack(depths), np.stack(distances).astype(np.float64)


def _turned(field: NDArray[Scalar], side: int) -> NDArray[Scalar]:
    """The field with ``side`` on the left."""
    upright = field if side < 2 else field.T
    return upright[:, ::-1] if side % 2 else upright


def _turned_back(field: NDArray[Scalar], side: int) -> NDArray[Scalar]:
    straight = field[:, ::-1] if side % 2 else field
    return straight if side < 2 else straight.T


def _slopes(values: Field, known: NDArray[np.bool_]) -> tuple[Field, Field]:
    """Slopes (H, W) along x and y of the plane through the known values of each window; 0 where they tell none."""
    height, width = values.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    weight = known.astype(np.float64)
    count = np.maximum(_sum(weight), 1.0)

    def mean(field: Field) -> Field:
        return np.asarray(_sum(weight * field) / count)

    mx, my, mv = mean(x), mean(y), mean(values)
    xx, yy, xy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    xv, yv = mean(x * values) - mx * mv, mean(y * values) - my * mv
    determinant = xx * yy - xy * xy
    sure = determinant > _LEAST_SPREAD
    safe = np.where(sure, determinant, 1.0)
    along_x, along_y = (xv * yy - yv * xy) / safe, (yv * xx - xv * xy) / safe
    return np.where(sure, along_x, 0.0), np.where(sure, along_y, 0.0)


def _sum(field: Field) -> Field:
    """Sums (H, W) over windows."""
    return np.asarray(_WINDOW**2 * ndimage.uniform_filter(field, _WINDOW, mode="constant"))
