"""How far masks reach beyond a robot's contours, measured along short lines across them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares

from k4d_kinematics.calibration.projection import Correction
from k4d_kinematics.calibration.silhouettes import DistanceField
from k4d_kinematics.calibration.views import RobotContour
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import CalibrationError

Array = NDArray[np.float64]

# Lines reach this far to both sides, and a mask that differs over most of one says nothing of the contour.
_REACH_PX, _STEP_PX, _MOST_SHARE = 5.0, 0.5, 0.75
# Another part of the robot must be farther off than that: where masks are too large, it reaches into the line.
_CLEARANCE_PX = 1.5
# Alone, a line over pixels measures 0 or 1 px and never half of one, and the loss takes the one for an outlier.
# Averaged along the contour it measures what lies between.
_SMOOTHING_PX, _LEAST_WEIGHT = 1.0, 0.01
_SCALE_PX, _STEPS = 1.0, 5
_STEP_SIZES = (0.03, 0.03, 0.03, 0.05, 0.05, 0.05, 0.02)
# Side of the squares in which the errors of contour points count as one.
CLUSTER_PX = 12
# Masks of any segmenter are a little too large or too small all around: a last unknown, in pixels.
_GROWTH = 1
# Which part of the growth differs between thick and thin parts of the robot, as if it were farther or nearer: what
# bench/calibration.py measures on masks grown by 1 and 2 px and shrunk by 1 px.
_UNEVEN = 0.08


@dataclass(frozen=True, eq=False)
class FittedLines:
    """N contour points in all views: points_cam (N, 3), pixels and normals (N, 2), measured shifts_px (N,) outward."""

    correction: Correction
    camera: Camera
    points_cam: Array
    pixels: Array
    normals: Array
    shifts_px: Array
    clusters: NDArray[np.intp]  # (N,) which errors count as one
    views: NDArray[np.intp]  # (N,) which view each is of

    def evaluate(self, x: Array) -> tuple[Array, Array]:
        """Residuals (N,) in pixels and their derivatives, for a correction and, last, how much the masks have grown."""
        pixels, by_x = self.correction.project(self.camera, self.points_cam, x[:-_GROWTH])
        gone = np.isnan(pixels[:, 0])
        shifts = ((pixels - self.pixels) * self.normals).sum(axis=-1)
        slopes = np.einsum("ni,nij->nj", self.normals, by_x)
        slopes = np.concatenate([slopes, np.ones((len(slopes), _GROWTH))], axis=1)
        return np.where(gone, 0.0, shifts - self.shifts_px + x[-1]), np.where(gone[:, None], 0.0, slopes)

    def solve(self, size: int) -> Array:
        """The correction (6,) or (7,) that fits the measured shifts best and, last, how much the masks have grown."""
        start = np.append(np.zeros(size), np.median(self.shifts_px))
        found = least_squares(
            lambda x: self.evaluate(x)[0], start, jac=lambda x: self.evaluate(x)[1],
            loss="soft_l1", f_scale=_SCALE_PX, x_scale=(*_STEP_SIZES[:size], 1.0), max_nfev=_STEPS,
        )  # fmt: skip
        return np.asarray(found.x)

    def covariance(self, x: Array) -> tuple[Array, Array]:
        """Of the correction that ``x`` ends, by what the residuals spread and by how unevenly the masks have grown.

        The first is that of residuals whose neighbours err alike. Source: Arellano 1987, eq. 6. Neighbours share their
        errors, and so do farther parts of one view, as where something hides the robot. There are too few views to say
        how these spread along each direction, so they only say by how much all are larger. The second is the same in
        all views, so that no spread shows it: a part of the growth that is taken for a motion of the camera.
        """
        residuals, J = self.evaluate(x)
        weights = 1.0 / np.sqrt(1.0 + (residuals / _SCALE_PX) ** 2)
        scores = (weights * residuals)[:, None] * J
        curvature = (weights[:, None] ** 3 * J).T @ J  # weights**3: the second derivative of soft_l1
        inverse = np.linalg.pinv(curvature)
        by_cluster, by_view = _spread(scores, self.clusters), _spread(scores, self.views)
        larger = max(1.0, float(np.trace(np.linalg.pinv(by_cluster) @ by_view)) / len(by_view))
        spread = larger * (inverse @ by_cluster @ inverse)[:-_GROWTH, :-_GROWTH]
        by_growth = np.linalg.pinv(curvature[:-_GROWTH, :-_GROWTH]) @ curvature[:-_GROWTH, -1]  # per px
        moved = _UNEVEN * x[-1] * by_growth
        return np.asarray(spread), np.outer(moved, moved)


def measure_lines(
    fields: Sequence[DistanceField], contours: Sequence[RobotContour], correction: Correction, camera: Camera
) -> FittedLines:
    """The lines of all views along which mask and silhouette differ by less than their reach.

    What the mask covers more than the silhouette, summed along a line, is the shift of its outline: linear in the
    mask, so that jagged outlines do not bias it. A line that meets the silhouette's outline more than once, as across
    a finger, would sum shifts that cancel, and is left out. Raises CalibrationError with fewer than 100 such lines.
    """
    steps, farther = (
        np.arange(-reach, reach + _STEP_PX / 2, _STEP_PX) for reach in (_REACH_PX, _REACH_PX + _CLEARANCE_PX)
    )
    columns: list[tuple[Array, ...]] = []
    for index, (field, contour) in enumerate(zip(fields, contours, strict=True)):
        pixels = contour.pixels.astype(np.float64)
        along = pixels[:, None] + steps[:, None] * contour.normals[:, None]  # (N, S, 2)
        rows_columns = (along[..., 1], along[..., 0])
        more = _smoothed(field.mask.astype(np.float32) - contour.mask, field.known)
        shifts = _STEP_PX * ndimage.map_coordinates(more, rows_columns, order=1, mode="nearest").sum(axis=1)
        beyond = pixels[:, None] + farther[:, None] * contour.normals[:, None]
        own = ndimage.map_coordinates(
            contour.mask.view(np.int8), (beyond[..., 1], beyond[..., 0]), order=0, mode="nearest"
        )
        is_single = np.count_nonzero(np.diff(own, axis=1), axis=1) == 1
        known = field.is_known(along.reshape(-1, 2)).reshape(len(pixels), -1).all(axis=1)
        used = known & is_single & contour.normals.any(axis=1) & (np.abs(shifts) < _MOST_SHARE * _REACH_PX)
        keys = np.column_stack([np.full(len(pixels), index), *(contour.pixels // CLUSTER_PX).T])
        columns.append(
            tuple(part[used] for part in (contour.points_cam, pixels, contour.normals, shifts.astype(np.float64), keys))
        )
    points_cam, pixels, normals, shifts, keys = (np.concatenate(column) for column in zip(*columns, strict=True))
    if len(shifts) < 100:
        raise CalibrationError(f"only {len(shifts)} contour points lie near the masks' outlines, 100 are needed")
    clusters = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    return FittedLines(correction, camera, points_cam, pixels, normals, shifts, clusters, keys[:, 0])


def _smoothed(values: NDArray[np.float32], known: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """An image (H, W), each pixel a mean over those around it that are known; 0 where none is."""
    if known is None:
        return np.asarray(ndimage.gaussian_filter(values, _SMOOTHING_PX, mode="nearest"))
    weights = known.astype(np.float32)
    sums, weights = (ndimage.gaussian_filter(v, _SMOOTHING_PX, mode="nearest") for v in (values * weights, weights))
    return np.asarray(np.divide(sums, weights, out=np.zeros_like(sums), where=weights > _LEAST_WEIGHT))


def _spread(scores: Array, groups: NDArray[np.intp]) -> Array:
    """Sum (P, P) of outer products of the scores (N, P), added up within each group, unbiased for few groups."""
    sums = np.zeros((groups.max() + 1, scores.shape[1]))
    np.add.at(sums, groups, scores)
    count = len(np.unique(groups))
    return np.asarray(sums.T @ sums * (count / max(1, count - 1)))
