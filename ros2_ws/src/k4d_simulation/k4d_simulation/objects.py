"""Objects that may stand on the table: their shapes, sizes, colours and patterns. Metres."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from k4d_simulation.textures import PATTERNS, Pattern

Shape = Literal["box", "cylinder", "sphere", "capsule", "ellipsoid"]
Rgb = tuple[float, float, float]

SHAPES: tuple[Shape, ...] = ("box", "cylinder", "sphere", "capsule", "ellipsoid")

COLOURS: dict[str, Rgb] = {
    "red": (0.82, 0.16, 0.13),
    "blue": (0.13, 0.38, 0.78),
    "green": (0.16, 0.6, 0.27),
    "yellow": (0.93, 0.76, 0.15),
    "purple": (0.52, 0.27, 0.68),
    "orange": (0.93, 0.49, 0.14),
    "pink": (0.92, 0.5, 0.66),
    "turquoise": (0.15, 0.68, 0.68),
    "grey": (0.42, 0.42, 0.45),
    "white": (0.93, 0.92, 0.88),
}


@dataclass(frozen=True)
class TableObject:
    """An object of ``shape``, its centre above ``xy`` on the table, turned by ``yaw`` about the vertical.

    ``half_extents`` (3,) are those of its box along its own axes, z up. A capsule lies along its x axis.
    """

    shape: Shape
    half_extents: tuple[float, float, float]
    xy: tuple[float, float]
    yaw: float
    colour: str
    pattern: Pattern

    @property
    def height(self) -> float:
        """Its height above the table."""
        return 2.0 * self.half_extents[2]

    @property
    def radius(self) -> float:
        """Its footprint's radius, seen from above."""
        x, y, _ = self.half_extents
        return float(np.hypot(x, y)) if self.shape == "box" else max(x, y)


def draw_half_extents(
    shape: Shape, radius: float, height: float, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Half extents of a shape with a footprint of at most ``radius``, no higher than ``height``."""
    ratio = float(generator.uniform(0.6, 1.0))
    if shape == "box":
        angle = np.arctan2(ratio, 1.0)
        return radius * float(np.cos(angle)), radius * float(np.sin(angle)), height / 2.0
    if shape == "cylinder":
        return radius, radius, height / 2.0
    if shape == "sphere":
        r = min(radius, height / 2.0)
        return r, r, r
    if shape == "capsule":
        r = min(0.6 * radius, height / 2.0)
        return radius, r, r
    return radius, ratio * radius, height / 2.0


def draw_pattern(generator: np.random.Generator) -> Pattern:
    """One of the patterns."""
    return PATTERNS[generator.integers(len(PATTERNS))]
