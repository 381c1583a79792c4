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


@dataclass(frozen=True, eq=False)
class ComparisonPictures:
    """All that is shown of a comparison, drawn once.

    rows: for each of the K frames with a partner predicted | executed | colour error | distance of points.
    worst: up to three of them, the worst first, and ``chosen_by`` what they were chosen by.
    scales: of all errors here. colour_map, distance_map: the mean errors (H, W, 3) over the frames; mean_distance the
    latter in metres (H, W), NaN where unknown. Errors are drawn by ``heat``; what is not known is grey.
    """

    rows: list[Picture]
    worst: list[int]
    chosen_by: str
    scales: Scales
    colour_map: Picture
    distance_map: Picture
    mean_distance: NDArray[np.float32]

    @property
    def worst_rows(self) -> Picture:
        """The worst rows, one below the other."""
        return np.concatenate([self.rows[row] for row in self.worst])


def comparison_pictures(comparison: Comparison) -> ComparisonPictures:
    """The pictures of a comparison, on scales that end at the 99th percentiles of all frames' errors."""
    levels, distances = comparison.colour_differences, comparison.distances
    top = Scales(_top(levels, _LEAST_LEVELS), _top(distances, _LEAST_DISTANCE))
    colour_errors, distance_errors = heat(levels, top.levels), heat(distances, top.distance)
    rows = [
        side_by_side(
            [comparison.rollout.rgb[k], comparison.executed.rgb[row], colour_errors[row], distance_errors[row]]
        )
        for row, k in enumerate(comparison.pairing.paired.tolist())
    ]
    mean_distance = mean_error(distances)
    return ComparisonPictures(
        rows, *worst_frames(comparison), top, heat(mean_error(levels), top.levels), heat(mean_distance, top.distance),
        mean_distance,
    )  # fmt: skip


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
    """Up to ``count`` rows of ``ComparisonPictures``, the worst first, and by what they were chosen.

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
