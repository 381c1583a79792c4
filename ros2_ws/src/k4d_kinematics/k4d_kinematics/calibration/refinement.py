"""Levenberg-Marquardt on the distance of a robot's contours from the masks in which it is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from k4d_kinematics.calibration.projection import Correction, corrected_camera
from k4d_kinematics.calibration.silhouette_lines import FittedLines, measure_lines
from k4d_kinematics.calibration.silhouettes import INSET_PX, DistanceField
from k4d_kinematics.calibration.views import CalibrationView, RobotContour, expected_contours
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import CalibrationError
from k4d_kinematics.rendering import Renderer
from k4d_kinematics.robot_surface import RobotSurface

Array = NDArray[np.float64]

# Contour points of a view that are used; more do not say more, since neighbours share their errors.
MOST_POINTS = 500
# Residuals within this many pixels count as squares, beyond as lengths; and those beyond _GATE times their scale not.
_LEAST_SCALE_PX, _GATE, _LEAST_GATE_PX = 1.0, 3.0, 4.0
# The outline of the mask must run about as the robot's does, or it is another one's: least cosine of their normals.
_LEAST_COSINE = 0.5
# Renderings from which contours are brought near, and the spread of their distances that is near.
_MOST_APPROACHES, _NEAR_PX = 12, 1.0
_MOST_RENDERINGS, _FULL_STEPS, _STEPS = 20, 8, 4
# Steps (m, rad, log) of a size at which a contour moves by about as much, and the part of them that is no step.
_STEP_SIZES = (0.03, 0.03, 0.03, 0.05, 0.05, 0.05, 0.02)
_SETTLED = 0.015


@dataclass(frozen=True, eq=False)
class State:
    """Where a refinement stands: the camera, its pose, and the robot's contours seen from there."""

    T_cam_parent: Array
    camera: Camera
    contours: list[RobotContour]

    @property
    def center(self) -> Array:
        """The middle (3,) of all contour points, in the optical frame. Raises CalibrationError without any."""
        points = np.concatenate([contour.points_cam for contour in self.contours])
        if not len(points):
            raise CalibrationError("the robot is in none of the pictures at the camera's pose")
        return np.asarray(points.mean(axis=0))


@dataclass(frozen=True, eq=False)
class ContourFit:
    """The end of a refinement: its state, and the covariances of the correction that remains (6, 6) or (7, 7).

    ``covariance`` is by the spread of residuals, ``growth_covariance`` what masks that are ``growth_px`` pixels too
    large add to it.
    """

    state: State
    covariance: Array
    growth_covariance: Array
    growth_px: float
    renderings: int


class ContourProblem:
    """Masks of a robot in several views, and how far its contours are from theirs."""

    def __init__(self, surface: RobotSurface, views: Sequence[CalibrationView], camera: Camera) -> None:
        """Raises CalibrationError unless all masks have the size of the camera's pictures."""
        self._surface, self.views = surface, tuple(views)
        size = (camera.image_height, camera.image_width)
        for view in views:
            if view.mask.shape != size:
                raise CalibrationError(f"masks must have the camera's size {size}, {view.name} has {view.mask.shape}")
        self._fields = [DistanceField(view.mask, view.known) for view in views]

    def state(self, T_cam_parent: Array, camera: Camera) -> State:
        """The contours as ``camera`` sees them from ``T_cam_parent``."""
        renderer = Renderer(self._surface, camera)
        return State(T_cam_parent, camera, expected_contours(renderer, self.views, T_cam_parent, MOST_POINTS))

    def residuals(self, state: State) -> list[Array]:
        """For each view: signed distances in pixels of its known contour points (N,), positive outside the mask."""
        residuals = []
        for field, contour in zip(self._fields, state.contours, strict=True):
            pixels = contour.pixels.astype(np.float64)
            residuals.append(field.sample(pixels)[0][field.is_known(pixels)] + INSET_PX)
        return residuals

    def refine(self, T_cam_parent: Array, camera: Camera, *, focal: bool) -> ContourFit:
        """The camera's pose, and with ``focal`` its focal length, at which the contours lie on those of the masks.

        Distance fields bring the contours near from afar; what the masks cover more or less along lines across the
        contours, which noise of the masks does not bias, then says where exactly. Raises CalibrationError when the
        robot leaves all pictures or the pose does not settle.
        """
        size, state = 7 if focal else 6, self.state(T_cam_parent, camera)
        for _ in range(_MOST_APPROACHES):
            approach = _Approach(state, self._fields, size)
            state = self._moved(state, approach.correction, approach.solve())
            if approach.spread < _NEAR_PX:
                break
        x = np.full(size, np.inf)
        for renderings in range(1, _MOST_RENDERINGS + 1):
            lines = self._lines(state)
            # Two renderings may send each other to and fro by what one pixel is; half of a step lies between them.
            x = lines.solve(size)[:size] * (1.0 if renderings <= _FULL_STEPS else 0.5)
            state = self._moved(state, lines.correction, x)
            if (np.abs(x) / _STEP_SIZES[:size]).max() < _SETTLED:
                return self._ended(state, size, renderings)
        raise CalibrationError(
            f"the camera's pose has not settled after {_MOST_RENDERINGS} renderings; the last step was "
            f"{1e3 * np.linalg.norm(x[:3]):.1f} mm and {np.degrees(np.linalg.norm(x[3:6])):.2f} deg"
        )

    def _ended(self, state: State, size: int, renderings: int) -> ContourFit:
        lines = self._lines(state)
        x = lines.solve(size)
        spread, by_growth = lines.covariance(x)
        # A smaller step counted as none: it ends anywhere within that size, which is what clean masks come to.
        unsettled = np.diag((_SETTLED * np.array(_STEP_SIZES[:size])) ** 2 / 12.0)
        return ContourFit(state, spread + unsettled, by_growth, float(x[-1]), renderings)

    def _lines(self, state: State) -> FittedLines:
        return measure_lines(self._fields, state.contours, Correction(state.center), state.camera)

    def _moved(self, state: State, correction: Correction, x: Array) -> State:
        camera = corrected_camera(state.camera, x[6]) if len(x) > 6 else state.camera
        return self.state(correction.transform(x) @ state.T_cam_parent, camera)


class _Approach:
    """The contour points of one rendering that are used, gathered over all views."""

    def __init__(self, state: State, fields: Sequence[DistanceField], size: int) -> None:
        self.camera, self.size = state.camera, size
        self.correction = Correction(state.center)
        self.parts: list[tuple[DistanceField, Array]] = []
        chosen = [
            (field, contour, *self._usable(field, contour))
            for field, contour in zip(fields, state.contours, strict=True)
        ]
        everything = np.abs(np.concatenate([distance for *_, distance in chosen]))
        if len(everything) < 10 * size:
            raise CalibrationError(
                f"only {len(everything)} contour points fit the masks' outlines, {10 * size} are needed"
            )
        self.spread = 1.4826 * float(np.median(everything))
        self.scale = max(self.spread, _LEAST_SCALE_PX)
        gate = max(_GATE * self.spread, _LEAST_GATE_PX)
        for field, contour, usable, distance in chosen:
            kept = np.flatnonzero(usable)[np.abs(distance) <= gate]
            self.parts.append((field, contour.points_cam[kept]))

    def _usable(self, field: DistanceField, contour: RobotContour) -> tuple[NDArray[np.bool_], Array]:
        pixels = contour.pixels.astype(np.float64)
        distance, gradient = field.sample(pixels)
        length = np.linalg.norm(gradient, axis=-1)
        along = (gradient * contour.normals).sum(axis=-1) >= _LEAST_COSINE * np.maximum(length, 0.1)
        usable = along & field.is_known(pixels)
        return usable, distance[usable] + INSET_PX

    def evaluate(self, x: Array) -> tuple[Array, Array]:
        """Residuals (N,) in pixels and their derivatives (N, 6 or 7); 0 for a point that has left the camera's view."""
        values, slopes = [], []
        for field, points in self.parts:
            pixels, by_x = self.correction.project(self.camera, points, x)
            gone = np.isnan(pixels[:, 0])
            distance, gradient = field.sample(np.where(gone[:, None], 0.0, pixels))
            values.append(np.where(gone, 0.0, distance + INSET_PX))
            slopes.append(np.where(gone[:, None], 0.0, np.einsum("ni,nij->nj", gradient, by_x)))
        return np.concatenate(values), np.concatenate(slopes)

    def solve(self) -> Array:
        found = least_squares(
            lambda x: self.evaluate(x)[0],
            np.zeros(self.size),
            jac=lambda x: self.evaluate(x)[1],
            loss="soft_l1",
            f_scale=self.scale,
            x_scale=_STEP_SIZES[: self.size],
            max_nfev=_STEPS,
        )
        return np.asarray(found.x)
