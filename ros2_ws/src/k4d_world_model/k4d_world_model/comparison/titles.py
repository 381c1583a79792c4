"""What people call the figures of a comparison, in the order of tables and charts."""

import math
from dataclasses import dataclass

from k4d_world_model.comparison.comparison import Comparison
from k4d_world_model.evaluation.figure import Figure, figure_of


@dataclass(frozen=True)
class Title:
    """A figure's name in the data, what a reader calls it, its unit, its digits, and whether more of it is better."""

    name: str
    text: str
    unit: str
    digits: int
    more_is_better: bool


FRAME_TITLES = (
    Title("psnr_db", "RGB PSNR, whole picture", "dB", 2, True),
    Title("psnr_changed_db", "RGB PSNR, changed region", "dB", 2, True),
    Title("ssim", "RGB SSIM, whole picture", "", 3, True),
    Title("distance_median_mm", "distance of points, median", "mm", 2, False),
    Title("distance_p95_mm", "distance of points, 95th percentile", "mm", 1, False),
    Title("chamfer_mm", "Chamfer distance of the clouds", "mm", 2, False),
    Title("missing_share", "share of points that the prediction lacks", "", 4, False),
    Title("robot_iou", "robot's silhouette, planned and moved, IoU", "", 3, True),
    Title("robot_gap_p95_mm", "robot's points, planned and moved, 95th percentile", "mm", 1, False),
    Title("robot_error_mm", "predicted points from the robot as it moved, median", "mm", 2, False),
    Title("joint_deviation", "joint farthest from the plan", "rad or m", 4, False),
)

OVERALL_TITLES = (
    Title("psnr", "RGB PSNR, whole picture", "dB", 2, True),
    Title("psnr_changed", "RGB PSNR, changed region", "dB", 2, True),
    Title("psnr_objects", "RGB PSNR, moved objects", "dB", 2, True),
    Title("xyz_psnr", "XYZ PSNR, whole picture", "dB", 2, True),
    Title("xyz_psnr_changed", "XYZ PSNR, changed region", "dB", 2, True),
    Title("moved_iou", "moved region, intersection over union", "", 3, True),
    Title("environment_error_mm", "environment, median error", "mm", 2, False),
    Title("environment_error_p95_mm", "environment, 95th percentile of the error", "mm", 1, False),
    Title("robot_error_mm", "robot points after the metric fit, median error", "mm", 2, False),
)
_OF_PICTURES = ("psnr", "psnr_changed", "psnr_objects")


def shown(figure: Figure, digits: int) -> str:
    """The figure in words: its number, "identical" for an infinite PSNR, or the reason why there is none."""
    if figure.value is None:
        return figure.reason
    return f"{figure.value:.{digits}f}" if math.isfinite(figure.value) else "identical"


def overall_figures(comparison: Comparison) -> dict[str, Figure]:
    """The figures of all frames with a partner together, by the names of OVERALL_TITLES: pooled as in k4d-evaluate."""
    has_depth = any(figures.missing_share.value is not None for figures in comparison.figures)
    found = {}
    for title in OVERALL_TITLES:
        reason = "no such pixel" if has_depth or title.name in _OF_PICTURES else "no depth"
        found[title.name] = figure_of(float(getattr(comparison.overall, title.name)), reason)
    return found


def middle_and_worst(comparison: Comparison, title: Title) -> tuple[Figure, Figure, int]:
    """The median and the worst over the frames that have this figure, and how many these are."""
    every = [getattr(figures, title.name) for figures in comparison.figures]
    numbers = sorted(figure.value for figure in every if figure.value is not None)
    if not numbers:
        partners = [getattr(comparison.figures[k], title.name) for k in comparison.pairing.paired.tolist()]
        return partners[-1], partners[-1], 0
    # The lower of two in the middle: halfway between an infinite and a finite one lies nothing.
    middle = Figure(numbers[(len(numbers) - 1) // 2])
    return middle, Figure(numbers[0] if title.more_is_better else numbers[-1]), len(numbers)
