"""Which pixels of the truth a figure is about. None of them depends on a prediction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.evaluation.truth import Truth

# Beyond what a pixel counts as changed: levels of 255 in any channel, metres between its points.
COLOUR_STEP = 8
MOVED_BY = 0.01


@dataclass(frozen=True, eq=False)
class Regions:
    """Pixels (T - 1, H, W) bool of the frames after the first.

    changed: no robot now, and of another colour (by more than COLOUR_STEP) or place (by more than MOVED_BY) than in the
        first frame. What the robot hid then and uncovers now is among them.
    objects: no robot now nor in the first frame, and of another place: where a moved object is, and where it was.
    still: no robot now nor in the first frame, and of the same place.
    environment: no robot now, and with a known point.

    Where the truth lacks a point in either frame, its place says nothing.
    """

    changed: NDArray[np.bool_]
    objects: NDArray[np.bool_]
    still: NDArray[np.bool_]
    environment: NDArray[np.bool_]


def regions(truth: Truth) -> Regions:
    """The regions of a truth of T frames."""
    recoloured = (np.abs(truth.rgb[1:].astype(np.int16) - truth.rgb[0]) > COLOUR_STEP).any(axis=-1)
    displacement = np.linalg.norm(truth.points[1:] - truth.points[0], axis=-1)  # NaN where unknown
    moved = displacement > MOVED_BY
    elsewhere = ~truth.robot_mask[1:]
    never_robot = elsewhere & ~truth.robot_mask[0]
    return Regions(
        changed=elsewhere & (recoloured | moved),
        objects=never_robot & moved,
        still=never_robot & (displacement <= MOVED_BY),
        environment=elsewhere & np.isfinite(truth.points[1:, ..., 2]),
    )
