"""The figures that variants of an ablation are compared by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from k4d_world_model.errors import CloudError
from k4d_world_model.evaluation.cloud_metrics import Cloud, cloud_distances
from k4d_world_model.evaluation.image_metrics import psnr, ssim
from k4d_world_model.evaluation.regions import regions
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.metric_recovery import robot_distance
from k4d_world_model.rollout import Rollout


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
}


def figures_of(rollout: Rollout, truth: Truth) -> dict[str, float | None]:
    """The FIGURES of a rollout, None for one of a region without a pixel; the first frame, which is given, is not told.

    psnr, ssim: of the pictures; ``_robot`` where the robot is, ``_changed`` where it is not and the truth differs from
    the first frame (``Regions.changed``). chamfer_l1_mm: exact, both directions' mean, frame by frame. xyz_error_mm:
    mean distance between predicted and true point of a pixel. robot_error_mm: median distance from the points of
    forward kinematics inside the robot's silhouette.
    """
    changed, robot = regions(truth).changed, truth.robot_mask[1:]
    predicted, true = rollout.rgb[1:], truth.rgb[1:]
    distances_mm = 1000.0 * np.linalg.norm(rollout.points[1:] - truth.points[1:], axis=-1)  # NaN where unknown
    robot_mask = np.isfinite(truth.robot_points[1:, ..., 2])
    values = {
        "psnr": psnr(predicted, true).number,
        "ssim": ssim(predicted, true).number,
        "psnr_robot": psnr(predicted, true, robot).number,
        "psnr_changed": psnr(predicted, true, changed).number,
        "chamfer_l1_mm": 1000.0 * _chamfer(rollout, truth),
        "xyz_error_mm": _mean(distances_mm),
        "xyz_error_changed_mm": _mean(distances_mm[changed]),
        "robot_error_mm": 1000.0 * robot_distance(rollout.points[1:], truth.robot_points[1:], robot_mask),
    }
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _chamfer(rollout: Rollout, truth: Truth) -> float:
    """Mean over the frames after the first of the Chamfer distance L1 in metres, NaN where no frame has one."""
    frames = []
    for predicted, true in zip(rollout.points[1:], truth.points[1:], strict=True):
        try:
            frames.append(cloud_distances(Cloud.of(predicted), Cloud.of(true)).chamfer_l1)
        except CloudError:
            continue
    return float(np.mean(frames)) if frames else math.nan


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan
