"""Things that stand out of a still scene, each small enough to be moved, and how large they are. Metres."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]

# How far apart points of neighbouring pixels of one thing may lie.
_NEIGHBOURS = 0.03
# Heights of things that a tool may move, how wide they may be, and the fewest pixels that tell one.
_LOWEST, _LARGEST, _FEWEST_PIXELS = 0.012, 0.25, 4
# What is farther than this above everything below it hangs, and is no thing to be moved.
_HANGS = 0.03


class SceneObject(NamedTuple):
    """One thing: the pixels (H, W) bool that show it, and an upright cylinder about it: centre (3,), radius, height."""

    pixels: Mask
    centre: Field
    radius: float
    height: float


def find_objects(points: Field, still: Field, stands_out: Mask, eye: Field) -> list[SceneObject]:
    """The things among the pixels (H, W) that stand out of the still scene, in a frame whose z axis points up.

    ``points`` and ``still`` (H, W, 3) are what is seen and what would be without them, ``eye`` (3,) is the camera. It
    sees only one side of a thing, which is taken to be as deep as it is wide.
    """
    found = []
    pieces, count = _pieces(points, stands_out)
    for k in range(1, count + 1):
        pixels = pieces == k
        if np.count_nonzero(pixels) >= _FEWEST_PIXELS:
            thing = _object(points, pixels, eye)
            is_small = _LOWEST <= thing.height <= _LARGEST and 2 * thing.radius <= _LARGEST
            if is_small and not _hangs(thing, still):
                found.append(thing)
    return found


def _pieces(points: Field, stands_out: Mask) -> tuple[NDArray[np.int32], int]:
    """Labels (H, W) from 1 on of connected pixels whose points are near each other, 0 elsewhere, and how many."""
    height, width = stands_out.shape
    linked = np.zeros((2 * height - 1, 2 * width - 1), np.bool_)  # pixels, and the links between them
    linked[::2, ::2] = stands_out
    for axis, links in ((0, linked[1::2, ::2]), (1, linked[::2, 1::2])):
        near = np.linalg.norm(np.diff(points, axis=axis), axis=-1) < _NEIGHBOURS
        ends = np.moveaxis(stands_out, axis, 0)
        links[:] = near & np.moveaxis(ends[1:] & ends[:-1], 0, axis)
    labels, count = ndimage.label(linked)
    return labels[::2, ::2], count


def _object(points: Field, pixels: Mask, eye: Field) -> SceneObject:
    seen = points[pixels]
    ahead = seen.mean(axis=0)[:2] - eye[:2]
    ahead = ahead / np.linalg.norm(ahead)
    across = np.array([-ahead[1], ahead[0]])
    side, depth = seen[:, :2] @ across, seen[:, :2] @ ahead
    radius = (np.ptp(side) + _pixel_width(points, pixels)) / 2
    low, high = float(seen[:, 2].min()), float(seen[:, 2].max())
    middle = (side.min() + side.max()) / 2 * across + (depth.min() + radius) * ahead
    return SceneObject(pixels, np.array([*middle, (low + high) / 2]), float(radius), high - low)


def _pixel_width(points: Field, pixels: Mask) -> float:
    """About how wide one pixel is on the thing: half a pixel shows on either side beyond the outermost centres."""
    beside = pixels[:, 1:] & pixels[:, :-1]
    steps = np.linalg.norm(np.diff(points, axis=1)[beside], axis=-1)
    return float(np.median(steps)) if len(steps) else 0.0


def _hangs(thing: SceneObject, still: Field) -> bool:
    """Whether nothing of the still scene is close below the thing."""
    with np.errstate(invalid="ignore"):
        below = still[np.linalg.norm(still[..., :2] - thing.centre[:2], axis=-1) < thing.radius + _NEIGHBOURS]
    heights = below[np.isfinite(below[:, 2]), 2]
    return bool(thing.centre[2] - thing.height / 2 > heights.max(initial=-np.inf) + _HANGS)
