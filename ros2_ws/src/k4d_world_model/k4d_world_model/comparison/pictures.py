"""Comparisons as pictures: predicted and executed frames side by side, and where they differ."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.pictures import Picture, side_by_side
from k4d_world_model.comparison.comparison import Comparison

# Black over violet, red and orange to pale yellow, in equal steps of what is shown.
HEAT = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
MISSING_COLOUR = (128, 128, 128)
# What the brightest colour stands for is at least this: levels of 255, metres.
_LEAST_LEVELS, _LEAST_DISTANCE = 16.0, 0.005
_SHOWN_PERCENT = 99.0


@dataclass(frozen=True)
class Scales:
    """What the brightest colour of an error picture stands for; whatever is larger has that colour, too."""

    levels: float
    distance: float


def scales(comparison: Comparison) -> Scales:
    """The 99th percentiles of all frames' errors: levels of 255, metres."""
    return Scales(
        _top(comparison.colour_differences, _LEAST_LEVELS), _top(comparison.distances, _LEAST_DISTANCE)
    )  # fmt: skip


def frame_rows(comparison: Comparison) -> list[Picture]:
    """For each of the K frames with a partner one row: predicted | executed | colour error | distance of points.

    Errors are ``heat`` on the comparison's own scales; what is not known is grey.
    """
    top = scales(comparison)
    paired = comparison.pairing.paired
    colours = heat(comparison.colour_differences, top.levels)
    distances = heat(comparison.distances, top.distance)
    return [
        side_by_side([comparison.rollout.rgb[k], comparison.executed.rgb[row], colours[row], distances[row]])
        for row, k in enumerate(paired.tolist())
    ]


def mean_error(errors: NDArray[np.float64]) -> NDArray[np.float32]:
    """The mean (H, W) over frames (K, H, W) of what is known, NaN where no frame knows anything."""
    known = np.isfinite(errors)
    total = np.where(known, errors, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def heat(errors: NDArray[np.floating], top: float) -> Picture:
    """Errors (..., H, W) as colours (..., H, W, 3): 0 is black, ``top`` and more pale yellow, NaN grey."""
    place = np.clip(np.nan_to_num(errors / top), 0.0, 1.0) * (len(HEAT) - 1)
    steps = np.arange(len(HEAT))
    channels = [np.interp(place, steps, np.array(HEAT)[:, channel]) for channel in range(3)]
    picture = np.stack(channels, axis=-1).round().astype(np.uint8)
    picture[~np.isfinite(errors)] = MISSING_COLOUR
    return picture


def worst_frames(comparison: Comparison, count: int = 3) -> tuple[list[int], str]:
    """Up to ``count`` rows of ``frame_rows``, the worst first, and by what they were chosen.

    By the 95th percentile of the points' distance where it is known, otherwise by PSNR.
    """
    figures = [comparison.figures[k] for k in comparison.pairing.paired.tolist()]
    badness = [figure.distance_p95_mm.number for figure in figures]
    what = "largest 95th percentile of the distance"
    if not any(map(math.isfinite, badness)):
        badness, what = [-figure.psnr_db.number for figure in figures], "lowest PSNR"
    order = sorted(range(len(figures)), key=lambda row: -badness[row] if not math.isnan(badness[row]) else math.inf)
    return order[:count], what


def _top(errors: NDArray[np.float64], least: float) -> float:
    known = errors[np.isfinite(errors)]
    return max(float(np.percentile(known, _SHOWN_PERCENT)), least) if known.size else least
