"""How far a robot's predicted outline is from the edges of a live picture: calibration as one number, without masks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from k4d_kinematics.calibration.views import silhouette_contour
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import CalibrationError

Mask = NDArray[np.bool_]

_MOST_POINTS = 600
_STEP_PX = 0.5
_SMOOTHING_PX = 1.0
# Grey levels a pixel from which on a change of brightness is an edge.
_LEAST_EDGE = 4.0
# Points that a figure needs, and how many of them make it no more trustworthy.
_LEAST_POINTS, _ENOUGH_POINTS = 30, 200


@dataclass(frozen=True)
class EdgeFigure:
    """The distance between predicted outline and picture.

    distance_px: median distance to the strongest edge across the outline; NaN where too few points have one.
    shift_px: its signed median, positive where the picture's robot reaches farther out.
    distance: the same in metres at the robot's median depth.
    confidence: 0 to 1: the part of the outline with an edge, less where it is short.
    points: outline points with an edge.
    """

    distance_px: float
    shift_px: float
    distance: float
    confidence: float
    points: int


def edge_figure(
    rgb: NDArray[np.uint8], points_cam: NDArray[np.float32], camera: Camera, *, reach_px: float = 20.0
) -> EdgeFigure:
    """The figure of a picture (H, W, 3) and the robot's pointmap (H, W, 3), NaN where there is no robot.

    Edges are looked for within ``reach_px`` pixels across the outline; errors beyond it lower the confidence. Raises
    CalibrationError when the two are not of one size or the reach is not positive.
    """
    if rgb.shape != points_cam.shape or not 0.0 < reach_px < np.inf:
        raise CalibrationError(
            f"picture and pointmap must be (H, W, 3) alike, and reach_px positive, got {rgb.shape}, {points_cam.shape} "
            f"and {reach_px}"
        )
    mask = np.isfinite(points_cam[..., 2])
    contour = silhouette_contour(mask, points_cam, _MOST_POINTS)
    if not len(contour.pixels):
        return EdgeFigure(np.nan, np.nan, np.nan, 0.0, 0)
    steps = np.arange(-reach_px, reach_px + _STEP_PX / 2, _STEP_PX)
    # The edge of the robot lies half a pixel outside of its last pixel's centre.
    along = contour.pixels[:, None] + (steps[:, None] + 0.5) * contour.normals[:, None]  # (N, S, 2)
    strength = _strength_along(rgb, along)  # (N, S), 0 outside the picture
    strongest = strength.argmax(axis=1)
    has_edge = strength.max(axis=1) >= _LEAST_EDGE
    count = int(has_edge.sum())
    confidence = count / len(contour.pixels) * min(1.0, len(contour.pixels) / _ENOUGH_POINTS)
    if count < _LEAST_POINTS:
        return EdgeFigure(np.nan, np.nan, np.nan, 0.0, count)
    shifts = steps[strongest[has_edge]]
    distance_px = float(np.median(np.abs(shifts)))
    depth = float(np.median(contour.points_cam[:, 2]))
    metres = distance_px * depth / float(camera.matrix[[0, 1], [0, 1]].mean())
    return EdgeFigure(distance_px, float(np.median(shifts)), metres, confidence, count)


def _strength_along(rgb: NDArray[np.uint8], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change of brightness (N, S), the strongest of the three colours', along lines of pixels (N, S, 2)."""
    at = (along[..., 1], along[..., 0])
    best = np.zeros(along.shape[:2])
    for channel in range(3):
        smooth = ndimage.gaussian_filter(rgb[..., channel].astype(np.float32), _SMOOTHING_PX)
        lines = ndimage.map_coordinates(smooth, at, order=1, mode="nearest")
        best = np.maximum(best, np.abs(np.gradient(lines, _STEP_PX, axis=1)))
    return best
