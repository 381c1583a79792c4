"""The figures that need nothing but arrays: of pixels, of pictures' structure, of clouds."""

import math

import numpy as np

from k4d_world_model.evaluation.cloud_figures import cloud_figures, temporal_cloud_figures
from k4d_world_model.evaluation.figure import Figure, NamedFigure, figure_of, no_figure
from k4d_world_model.evaluation.image_metrics import NO_PIXEL, mean_ssim, ssim_maps, temporal_psnr
from k4d_world_model.evaluation.prediction import RGB_ONLY, Prediction
from k4d_world_model.evaluation.regions import regions
from k4d_world_model.evaluation.rollout_metrics import RolloutMetrics
from k4d_world_model.evaluation.truth import Truth

PICTURE_FIGURES = ("psnr", "psnr_changed", "psnr_objects", "psnr_robot", "psnr_environment")
POINT_FIGURES = (
    "xyz_psnr", "xyz_psnr_changed", "xyz_psnr_objects", "moved_iou", "robot_error_mm", "environment_error_mm",
    "environment_error_p95_mm", "missing_points",
)  # fmt: skip
FIGURES = PICTURE_FIGURES + POINT_FIGURES


def figures_of(metrics: RolloutMetrics) -> list[NamedFigure]:
    """The figures of a rollout's pixels, or of several rollouts' pooled, by name."""
    has_points = metrics.missing_points is not None
    return [NamedFigure(name, figure_of(getattr(metrics, name), NO_PIXEL)) for name in PICTURE_FIGURES] + [
        NamedFigure(name, figure_of(getattr(metrics, name), NO_PIXEL) if has_points else no_figure(RGB_ONLY))
        for name in POINT_FIGURES
    ]


def figure_values(metrics: RolloutMetrics) -> dict[str, float | None]:
    """The figures of a rollout's pixels by name for JSON, None where there is none or no finite one."""
    return {named.name: finite_or_none(named.figure.number) for named in figures_of(metrics)}


def finite_or_none(value: float) -> float | None:
    """The value, None where JSON has no number for it."""
    return value if math.isfinite(value) else None


def structural_figures(prediction: Prediction, truth: Truth, *, cloud_sample: int | None = None) -> list[NamedFigure]:
    """SSIM of the frames after the first, steadiness between frames, and the clouds' figures."""
    where, robot = regions(truth), truth.robot_mask[1:]
    masks = {"": None, "_changed": where.changed, "_robot": robot, "_environment": ~robot}
    similarity = ssim_maps(prediction.rgb[1:], truth.rgb[1:])
    figures = [NamedFigure(f"ssim{suffix}", mean_ssim(similarity, mask)) for suffix, mask in masks.items()]
    figures.append(NamedFigure("psnr_temp", temporal_psnr(prediction.rgb)))
    if prediction.points is None:
        return figures
    dropped = int(np.isnan(prediction.points[1:, ..., 2]).sum())
    figures.append(NamedFigure("dropped_points", Figure(dropped)))
    return figures + cloud_figures(prediction.points, truth, where, sample=cloud_sample)


def truths_own_figures(truth: Truth, *, cloud_sample: int | None = None) -> list[NamedFigure]:
    """How steady the truth itself is between frames: what the ``_temp`` figures of predictions are to be like."""
    return [
        NamedFigure("psnr_temp", temporal_psnr(truth.rgb)),
        *temporal_cloud_figures(truth.points, sample=cloud_sample),
    ]
