"""The figures that variants of an ablation are compared by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.evaluation.cloud_metrics import Cloud, cloud_distances
from k4d_world_model.evaluation.image_metrics import psnr, ssim
from k4d_world_model.evaluation.regions import regions
from k4d_world_model.evaluation.rollout_metrics import XYZ_PEAK
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.metric_recovery import robot_distance
from k4d_world_model.rollout import Rollout

DEFINITIONS = 2
"""Raise it whenever a figure's definition changes."""


@dataclass(frozen=True)
class FigureInfo:
    """What a table calls a figure, its digits, and whether more of it is better."""

    title: str
    digits: int
    more_is_better: bool


FIGURES: Mapping[str, FigureInfo] = {
    "psnr": FigureInfo("PSNR (dB)", 2, more_is_better=True),
    "ssim": FigureInfo("SSIM", 3, more_is_better=True),
    "psnr_robot": FigureInfo("PSNR, robot (dB)", 2, more_is_better=True),
    "psnr_changed": FigureInfo("PSNR, changed (dB)", 2, more_is_better=True),
    "chamfer_l1_mm": FigureInfo("Chamfer L1 (mm)", 1, more_is_better=False),
    "xyz_error_mm": FigureInfo("XYZ error (mm)", 1, more_is_better=False),
    "xyz_error_changed_mm": FigureInfo("XYZ error, changed (mm)", 1, more_is_better=False),
    "robot_error_mm": FigureInfo("robot error (mm)", 1, more_is_better=False),
    "missing_share": FigureInfo("missing points (share)", 4, more_is_better=False),
}


def figures_of(rollout: Rollout, truth: Truth) -> dict[str, float | None]:
    """The FIGURES of a rollout, None for one of a region without a pixel; the first frame, which is given, is not told.

    psnr, ssim: of the pictures; ``_robot`` where the robot is, ``_changed`` where it is not and the truth differs from
    the first frame (``Regions.changed``); None, too, where they are equal, whose ratio is infinite. chamfer_l1_mm:
    exact, both directions' mean, frame by frame. xyz_error_mm: mean distance between predicted and true point of a
    pixel. robot_error_mm: median distance from the points of forward kinematics inside the robot's silhouette.
    missing_share: how many of the points that the truth has the rollout lacks, in [0, 1].

    In all figures of points one that the truth has and the rollout lacks counts as off by XYZ_PEAK in every coordinate,
    and pixels or frames of which the truth has no point count for nothing. So whether a figure of points is None
    depends on the truth alone. Raises CloudError for points that are neither finite nor missing.
    """
    changed, robot = regions(truth).changed, truth.robot_mask[1:]
    predicted, true = rollout.rgb[1:], truth.rgb[1:]
    points, missing = _penalised(rollout.points[1:], truth.points[1:])
    robot_points, _ = _penalised(rollout.points[1:], truth.robot_points[1:])
    distances_mm = 1000.0 * np.linalg.norm(points - truth.points[1:], axis=-1)  # NaN where the truth is unknown
    robot_mask = np.isfinite(truth.robot_points[1:, ..., 2])
    values = {
        "psnr": psnr(predicted, true).number,
        "ssim": ssim(predicted, true).number,
        "psnr_robot": psnr(predicted, true, robot).number,
        "psnr_changed": psnr(predicted, true, changed).number,
        "chamfer_l1_mm": 1000.0 * _chamfer(points, truth.points[1:]),
        "xyz_error_mm": _mean(distances_mm),
        "xyz_error_changed_mm": _mean(distances_mm[changed]),
        "robot_error_mm": 1000.0 * robot_distance(robot_points, truth.robot_points[1:], robot_mask),
        "missing_share": _mean(np.where(np.isfinite(truth.points[1:, ..., 2]), missing, np.nan)),
    }
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _penalised(
    points: NDArray[np.float32], truth: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The points with those that are missing put XYZ_PEAK beside the true ones, and which these are (T, H, W)."""
    missing = np.isfinite(truth[..., 2]) & ~np.isfinite(points).all(axis=-1)
    return np.where(missing[..., None], truth + np.float32(XYZ_PEAK), points), missing


def _chamfer(points: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Mean over the frames whose truth has points of the Chamfer distance L1 in metres, NaN where none has."""
    frames = [
        cloud_distances(Cloud.of(predicted), Cloud.of(true)).chamfer_l1
        for predicted, true in zip(points, truth, strict=True)
        if np.isfinite(true[..., 2]).any()
    ]
    return float(np.mean(frames)) if frames else math.nan


def _mean(values: NDArray[np.floating]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan
