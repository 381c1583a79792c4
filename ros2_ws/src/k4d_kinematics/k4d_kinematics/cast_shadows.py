"""Where the robot stands in the way of light: scene points against its pointmap, for many directions of light."""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.errors import RenderingError

# Metres: side of a shadow map's cells, how far before a point the robot must be to shade it, and how thick the robot is
# taken to be behind what the camera sees of it.
CELL, CLEARANCE, THICKNESS = 0.02, 0.03, 0.06
# Cells a side of a shadow map; points beyond it, 1.28 m from the robot's middle, cast and get no shadow.
_CELLS = 128


def light_directions(count: int, steepest: float) -> NDArray[np.float64]:
    """Unit vectors (count * count, 3) towards the light, about the z axis, x outside and y inside.

    Their horizontal parts are from -``steepest`` to ``steepest`` of the vertical one, evenly spaced along x and y.
    """
    slopes = np.linspace(-steepest, steepest, count)
    x, y = np.meshgrid(slopes, slopes, indexing="ij")
    directions = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    return np.asarray(directions / np.linalg.norm(directions, axis=-1, keepdims=True), np.float64)


def cast_shadows(
    robot_points: NDArray[np.float32],
    robot_mask: NDArray[np.bool_],
    scene_points: NDArray[np.float32],
    directions: ArrayLike,
) -> NDArray[np.bool_]:
    """Which scene points (h, w, 3) the robot shades in each frame for light from each direction: (K, T, h, w).

    ``robot_points`` (T, H, W, 3) and ``robot_mask`` (T, H, W) are the robot as one camera sees it, THICKNESS thick;
    what that does not see casts no shadow. Seen points should be no more than CELL apart. ``directions`` (K, 3) are
    unit vectors towards distant lights. All in the optical frame, metres. Scene points that are NaN are never shaded.
    Raises RenderingError for arrays that do not fit each other.
    """
    towards = np.asarray(directions, np.float64)
    fits = robot_points.shape == (*robot_mask.shape, 3) and robot_points.ndim == 4
    if not fits or scene_points.ndim != 3 or scene_points.shape[-1] != 3 or towards.ndim != 2 or towards.shape[1] != 3:
        raise RenderingError(
            "shadows need robot_points (T, H, W, 3), robot_mask (T, H, W), scene_points (h, w, 3) and directions "
            f"(K, 3), got {robot_points.shape}, {robot_mask.shape}, {scene_points.shape} and {towards.shape}"
        )
    frames = len(robot_mask)
    layers = np.arange(0.0, THICKNESS + CELL / 2, CELL)
    counts = len(layers) * robot_mask.reshape(frames, -1).sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(counts)])
    seen = robot_points[robot_mask].astype(np.float64)  # (n, 3)
    rays = seen / np.linalg.norm(seen, axis=-1, keepdims=True)
    robot = (seen[:, None] + layers[:, None] * rays[:, None]).reshape(-1, 3)
    scene = scene_points.reshape(-1, 3).astype(np.float64)
    shaded = np.zeros((len(towards), frames, len(scene)), np.bool_)
    for k, direction in enumerate(towards):
        axes = _axes(direction)
        _shade(robot @ axes.T, ends, scene @ axes.T, shaded[k])
    return shaded.reshape(len(towards), frames, *scene_points.shape[:2])


def _axes(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows: two axes across the direction, and the direction."""
    across = np.eye(3)[int(np.argmin(np.abs(direction)))]
    first = np.cross(direction, across)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(direction, first), direction])


@njit(cache=True, nogil=True)
def _shade(
    robot: NDArray[np.float64], ends: NDArray[np.int64], scene: NDArray[np.float64], shaded: NDArray[np.bool_]
) -> None:
    """Marks in ``shaded`` (T, m) the scene points (m, 3) that lie behind a frame's robot points along the last axis."""
    highest = np.empty((_CELLS, _CELLS))
    for t in range(len(ends) - 1):
        first, last = ends[t], ends[t + 1]
        if first == last:
            continue
        highest[:] = -np.inf
        left = robot[first:last, 0].mean() - CELL * _CELLS / 2
        top = robot[first:last, 1].mean() - CELL * _CELLS / 2
        for n in range(first, last):
            # The four cells whose centres are nearest: as many as a pixel's surface covers.
            i, j = int(np.floor((robot[n, 0] - left) / CELL - 0.5)), int(np.floor((robot[n, 1] - top) / CELL - 0.5))
            for a in range(max(i, 0), min(i + 2, _CELLS)):
                for b in range(max(j, 0), min(j + 2, _CELLS)):
                    highest[a, b] = max(highest[a, b], robot[n, 2])
        for m in range(len(scene)):
            i, j = np.floor((scene[m, 0] - left) / CELL), np.floor((scene[m, 1] - top) / CELL)
            if 0 <= i < _CELLS and 0 <= j < _CELLS:  # False for NaN
                shaded[t, m] = highest[int(i), int(j)] > scene[m, 2] + CLEARANCE
