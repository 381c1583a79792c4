"""How far each predicted frame is from what was seen at its moment."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.comparison.robot_views import RobotViews
from k4d_world_model.evaluation.cloud_metrics import Cloud, cloud_distances
from k4d_world_model.evaluation.figure import Figure, figure_of, no_figure
from k4d_world_model.evaluation.image_metrics import SSIM_BORDER_PX, psnr, ssim

NO_DEPTH, NO_COMMON_POINT, NO_CHANGE = "no depth", "no point is known in both", "nothing has changed"
NO_ROBOT_SEEN, NO_JOINTS = "the robot is not in the picture", "no joints"
_SMALLEST_PX = 2 * SSIM_BORDER_PX + 1


@dataclass(frozen=True)
class FrameFigures:
    """One predicted frame against its executed partner; a figure without a value says why.

    psnr_db, ssim: of the whole picture. psnr_changed_db: of the pixels without robot whose colour or place is another
        than in the first frame that has a partner.
    distance_median_mm, distance_p95_mm: between the points of one pixel, of all pixels whose point is known in both.
    missing_share: of the pixels whose executed point is known, the share whose predicted one is not; 0 to 1.
    chamfer_mm: half the sum of both clouds' mean distances to the other's nearest point, over the whole picture.
    robot_iou: of the robot's silhouettes as planned and as moved; 0 to 1.
    robot_gap_p95_mm: 95th percentile of the distance between planned and moved robot in one pixel, where both show it.
    robot_error_mm: median distance of the predicted points from the robot as it moved, where that is.
    joint_deviation: of the joint farthest from the plan, how far; rad or m.
    """

    psnr_db: Figure
    ssim: Figure
    psnr_changed_db: Figure
    distance_median_mm: Figure
    distance_p95_mm: Figure
    missing_share: Figure
    chamfer_mm: Figure
    robot_iou: Figure
    robot_gap_p95_mm: Figure
    robot_error_mm: Figure
    joint_deviation: Figure


FIGURES = tuple(item.name for item in fields(FrameFigures))


def without_partner(reason: str) -> FrameFigures:
    """What there is to say of a frame that nothing was executed for."""
    return FrameFigures(*[no_figure(reason)] * len(FIGURES))


def frame_figures(
    rgb: NDArray[np.uint8],
    points: NDArray[np.float32],
    executed_rgb: NDArray[np.uint8],
    executed_points: NDArray[np.float32],
    changed: NDArray[np.bool_],
    robot: RobotViews,
    k: int,
    joint_deviation: float,
) -> FrameFigures:
    """The figures of one frame: pictures (H, W, 3) uint8, points (H, W, 3) in metres with NaN where they are unknown.

    ``changed`` (H, W) are the pixels that have changed; frame ``k`` of ``robot`` is this one. ``joint_deviation`` is
    NaN where joints are not known.
    """
    distances = pixel_distances(points, executed_points)
    known = np.isfinite(distances)
    seen = np.isfinite(executed_points[..., 2])
    reason = NO_COMMON_POINT if seen.any() else NO_DEPTH
    region = psnr(rgb, executed_rgb, changed)
    return FrameFigures(
        psnr_db=psnr(rgb, executed_rgb),
        ssim=_ssim(rgb, executed_rgb),
        psnr_changed_db=no_figure(NO_CHANGE) if region.value is None else region,
        distance_median_mm=figure_of(_percentile_mm(distances, 50), reason),
        distance_p95_mm=figure_of(_percentile_mm(distances, 95), reason),
        missing_share=figure_of(1.0 - known.sum() / seen.sum() if seen.any() else np.nan, NO_DEPTH),
        chamfer_mm=_chamfer_mm(points, executed_points) if known.any() else no_figure(reason),
        **_robot_figures(points, robot, k),
        joint_deviation=figure_of(joint_deviation, NO_JOINTS),
    )


def pixel_distances(points: NDArray[np.float32], executed_points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Metres (...) between the points (..., 3) of one pixel, NaN where either is unknown."""
    return np.asarray(np.linalg.norm(points.astype(np.float64) - executed_points, axis=-1))


def _ssim(rgb: NDArray[np.uint8], executed_rgb: NDArray[np.uint8]) -> Figure:
    if min(rgb.shape[:2]) < _SMALLEST_PX:
        return no_figure(f"the picture is smaller than {_SMALLEST_PX} px")
    return ssim(rgb[None], executed_rgb[None])


def _chamfer_mm(points: NDArray[np.float32], executed_points: NDArray[np.float32]) -> Figure:
    return Figure(1000.0 * cloud_distances(Cloud.of(points), Cloud.of(executed_points)).chamfer_l1)


def _robot_figures(points: NDArray[np.float32], robot: RobotViews, k: int) -> dict[str, Figure]:
    planned, done = robot.planned_mask[k], robot.executed_mask[k]
    either = int((planned | done).sum())
    reason = robot.reason or NO_ROBOT_SEEN
    gaps = pixel_distances(robot.planned_points[k], robot.executed_points[k])
    errors = pixel_distances(points, robot.executed_points[k])
    return {
        "robot_iou": figure_of(float((planned & done).sum() / either) if either else np.nan, reason),
        "robot_gap_p95_mm": figure_of(_percentile_mm(gaps, 95), reason),
        "robot_error_mm": figure_of(_percentile_mm(errors, 50), reason),
    }


def _percentile_mm(distances: NDArray[np.float64], percent: float) -> float:
    known = distances[np.isfinite(distances)]
    return float(1000.0 * np.percentile(known, percent)) if known.size else np.nan
