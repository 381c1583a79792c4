"""Metres of predicted points: an affine map per axis, fitted where the robot's true points are known."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from k4d_world_model.rollout import MetricFit

# Fewer pixels inside the robot's silhouette say nothing of a clip.
FEWEST_PIXELS = 100
# Metres between the 5th and 95th percentile below which the robot tells an axis' offset but not its scale.
SMALLEST_SPREAD = 0.02
# Metres: the median error up to which points count as metres already. A fit would carry the noise of the robot's points
# into the whole scene, where it grows with the distance from the robot.
ALREADY_METRIC = 0.005
# A fitted scale beyond these comes from points that do not follow the robot.
SCALE_RANGE = (0.1, 10.0)

ALL_FRAMES = slice(None)
# What predictions are fitted on; the odd frames stay for scores.
EVEN_FRAMES = slice(None, None, 2)

_MOST_START_PIXELS = 500
_MOST_PIXELS = 50_000
_ITERATIONS = 20
# Tukey's constant: 95 % efficiency on normal errors. 1.4826 makes the median deviation a standard deviation.
_TUKEY, _MAD = 4.685, 1.4826
# Metres; residuals below are rounding.
_FINEST = 1e-6

Points = NDArray[np.float32]
Vector = NDArray[np.float64]


def recover_metric(
    points: Points, robot_points: Points, robot_mask: NDArray[np.bool_], *, frames: slice = ALL_FRAMES
) -> MetricFit:
    """What turns predicted points (T, H, W, 3) into metres, from the robot's true points and mask in those pixels.

    Per axis ``true = scale * predicted + offset``. The line is fitted as predicted over true, since the true points
    have no error: a start by repeated medians, which half the pixels cannot mislead, then Tukey's biweight. Only
    ``frames`` count, and there only pixels whose neighbours are robot, too, and whose prediction is finite. At most
    50,000 of these are used, evenly spread.

    Points whose median error is up to ALREADY_METRIC are left as they are. With fewer than FEWEST_PIXELS of them scale
    is 1, offset 0 and residual NaN. An axis along which the robot spans
    less than SMALLEST_SPREAD, or whose fitted scale leaves SCALE_RANGE, keeps scale 1 and gets an offset alone. The
    fit's ``reason`` says so.
    """
    inside = _inside(robot_mask[frames]) & np.isfinite(points[frames]).all(axis=-1)
    predicted, true = (array[frames][inside].astype(np.float64) for array in (points, robot_points))  # (n, 3)
    count = len(true)
    if count < FEWEST_PIXELS:
        reason = f"the robot is hardly visible: {count} pixels inside its silhouette, {FEWEST_PIXELS} are needed"
        return MetricFit(np.ones(3), np.zeros(3), float("nan"), count, reason)
    distance = float(np.median(np.linalg.norm(predicted - true, axis=-1)))
    if distance <= ALREADY_METRIC:
        return MetricFit(np.ones(3), np.zeros(3), distance, count, "")
    spread = slice(None, None, -(-count // _MOST_PIXELS))
    predicted, true = predicted[spread], true[spread]
    lines = [_fit_axis(predicted[:, k], true[:, k], "xyz"[k]) for k in range(3)]
    scale, offset = (np.array([line[i] for line in lines]) for i in (0, 1))
    residual = float(np.median(np.linalg.norm(scale * predicted + offset - true, axis=-1)))
    return MetricFit(scale, offset, residual, count, "; ".join(line[2] for line in lines if line[2]))


def apply(fit: MetricFit, points: Points) -> Points:
    """Points (..., 3) in metres."""
    return (fit.scale * points + fit.offset).astype(np.float32)


def robot_distance(
    points: Points, robot_points: Points, robot_mask: NDArray[np.bool_], *, frames: slice = ALL_FRAMES
) -> float:
    """Median distance in metres between points (T, H, W, 3) and the robot's true ones inside its silhouette.

    NaN where no pixel of ``frames`` is finite in both.
    """
    inside = _inside(robot_mask[frames])
    distance = np.linalg.norm(points[frames][inside] - robot_points[frames][inside], axis=-1)
    distance = distance[np.isfinite(distance)]
    return float(np.median(distance)) if distance.size else float("nan")


def _inside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask (T, H, W) without the pixels at its silhouette; the picture's border is none."""
    eroded: NDArray[np.bool_] = ndimage.binary_erosion(mask, np.ones((1, 3, 3), np.bool_), border_value=1)
    return eroded


def _fit_axis(predicted: Vector, true: Vector, axis: str) -> tuple[float, float, str]:
    """(scale, offset, reason) of one axis."""
    low, high = np.percentile(true, [5, 95])
    offset_alone = float(np.median(true - predicted))
    if high - low < SMALLEST_SPREAD:
        reason = f"{axis}: the robot spans {high - low:.3f} m, a scale needs {SMALLEST_SPREAD} m: offset alone"
        return 1.0, offset_alone, reason
    slope, intercept = _line(true, predicted)
    smallest, largest = SCALE_RANGE
    if not 1 / largest <= slope <= 1 / smallest:
        reason = f"{axis}: predicted points change by {slope:.3g} m a metre of the robot, a scale needs "
        return 1.0, offset_alone, reason + f"{1 / largest:g} to {1 / smallest:g}: offset alone"
    return 1 / slope, -intercept / slope, ""


def _line(x: Vector, y: Vector) -> tuple[float, float]:
    """Slope and intercept of y over x."""
    slope, intercept = _repeated_medians(x, y)
    for _ in range(_ITERATIONS):
        error = y - (slope * x + intercept)
        deviation = max(_MAD * float(np.median(np.abs(error))), _FINEST)
        weight = np.clip(1 - (error / (_TUKEY * deviation)) ** 2, 0, None) ** 2
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        slope = float((weight * (x - mean_x) * (y - mean_y)).sum() / (weight * (x - mean_x) ** 2).sum())
        intercept = float(mean_y - slope * mean_x)
    return slope, intercept


def _repeated_medians(x: Vector, y: Vector) -> tuple[float, float]:
    """Siegel's line (Biometrika 69, 1982): the median over points of the median slope to all others."""
    some = slice(None, None, -(-len(x) // _MOST_START_PIXELS))
    x, y = x[some], y[some]
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = (y[:, None] - y) / (x[:, None] - x)
    slopes[x[:, None] == x] = np.nan
    slope = float(np.median(np.nanmedian(slopes, axis=1)))
    return slope, float(np.median(y - slope * x))
