"""Procedural textures, so that scenes need no picture files."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pattern = Literal["plain", "checker", "stripes", "speckle", "wood"]

PATTERNS: tuple[Pattern, ...] = get_args(Pattern)


def draw_texture(
    pattern: Pattern, first: ArrayLike, second: ArrayLike, size: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """A texture (size, size, 3) that blends two colours (3,) in 0..1 as ``pattern`` says."""
    share = _blend(pattern, size, generator)[..., None]
    rgb = (1.0 - share) * np.asarray(first, np.float64) + share * np.asarray(second, np.float64)
    return np.rint(255.0 * np.clip(rgb, 0.0, 1.0)).astype(np.uint8)


def _blend(pattern: Pattern, size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """How much of the second colour (size, size) there is, 0..1."""
    v, u = np.mgrid[0:size, 0:size] / size
    count = int(generator.integers(2, 7))
    if pattern == "checker":
        return np.asarray((np.floor(u * 2 * count) + np.floor(v * 2 * count)) % 2)
    if pattern == "stripes":
        return np.asarray(np.floor((u + int(generator.integers(0, 2)) * v) * 2 * count) % 2)
    if pattern == "speckle":
        return _noise(size, 8 * count, generator)
    if pattern == "wood":
        return np.asarray(0.5 + 0.5 * np.sin(2.0 * np.pi * (2 * count * u + 2.0 * _noise(size, 4, generator))))
    return np.zeros((size, size))


def _noise(size: int, cells: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise (size, size) in 0..1: random values on a grid, interpolated, which repeats at the borders."""
    grid = np.pad(generator.random((cells, cells)), (0, 1), mode="wrap")
    position = np.arange(size) * cells / size
    low = position.astype(np.int64)
    t = position - low
    rows = grid[low] * (1 - t)[:, None] + grid[low + 1] * t[:, None]
    return np.asarray(rows[:, low] * (1 - t) + rows[:, low + 1] * t)
