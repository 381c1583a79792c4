"""Where a camera is, from masks of a robot in known postures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.calibration.pose_sets import PoseSetLimits, usable_views
from k4d_kinematics.calibration.projection import place_covariance
from k4d_kinematics.calibration.refinement import ContourProblem
from k4d_kinematics.calibration.views import CalibrationView
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import IllConditionedError
from k4d_kinematics.robot_surface import RobotSurface

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationSettings:
    """What is calibrated, and when it is refused.

    focal: whether the focal length is found too.
    limits: what the set of views must have.
    most_position_std, most_rotation_std: largest standard deviation of the result along any axis, metres and radians.
    """

    focal: bool = False
    limits: PoseSetLimits = field(default_factory=PoseSetLimits)
    most_position_std: float = 0.01
    most_rotation_std: float = float(np.radians(0.5))


@dataclass(frozen=True)
class ViewResidual:
    """How far the robot's contour is from the mask of one view, in pixels: median and root mean square of distances."""

    name: str
    median_before_px: float
    median_after_px: float
    rms_before_px: float
    rms_after_px: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """A camera's place and how sure it is.

    T_cam_parent: (4, 4), the frame that the camera is fixed to in the optical frame.
    camera: the camera, with its new focal length where that was asked for.
    covariance: (6, 6) of the camera's position (m) and turn (rad) along the parent frame's axes.
    focal_std: relative standard deviation of the focal length, None where it was not asked for.
    growth_px: by how many pixels the masks reach beyond the robot all around, negative where they are too small.
    residuals: one per view that was used.
    """

    T_cam_parent: Array
    camera: Camera
    covariance: Array
    focal_std: float | None
    growth_px: float
    residuals: tuple[ViewResidual, ...]

    @property
    def position_std(self) -> float:
        """Largest standard deviation of the camera's position along any axis, metres."""
        return _largest_std(self.covariance[:3, :3])

    @property
    def rotation_std(self) -> float:
        """Largest standard deviation of the camera's turn about any axis, radians."""
        return _largest_std(self.covariance[3:, 3:])


def calibrate(
    surface: RobotSurface,
    camera: Camera,
    views: Sequence[CalibrationView],
    T_cam_parent: Array,
    settings: CalibrationSettings | None = None,
) -> Calibration:
    """The camera's place, refined from a guess ``T_cam_parent`` (4, 4) some centimetres and degrees away.

    Raises PoseSetError when there are too few usable or different views, IllConditionedError when they or the masks
    leave a direction open, and CalibrationError when masks are of another size or nothing fits.
    """
    settings = settings or CalibrationSettings()
    start = se3.check_transform(T_cam_parent, "T_cam_parent")
    problem = ContourProblem(surface, usable_views(views, settings.limits), camera)
    before = problem.residuals(problem.state(start, camera))
    fit = problem.refine(start, camera, focal=settings.focal)
    after = problem.residuals(fit.state)
    residuals = tuple(
        ViewResidual(view.name, _median(old), _median(new), _rms(old), _rms(new))
        for view, old, new in zip(problem.views, before, after, strict=True)
    )
    whole = fit.covariance + fit.growth_covariance
    focal_std = float(np.sqrt(whole[6, 6])) if settings.focal else None
    by_poses, covariance = (
        place_covariance(part[:6, :6], fit.state.center, fit.state.T_cam_parent) for part in (fit.covariance, whole)
    )
    found = Calibration(fit.state.T_cam_parent, fit.state.camera, covariance, focal_std, fit.growth_px, residuals)
    if not _is_sure(covariance, settings):
        raise IllConditionedError(
            f"the camera's place is uncertain by {1e3 * found.position_std:.1f} mm and "
            f"{np.degrees(found.rotation_std):.2f} deg; the limits are {1e3 * settings.most_position_std:.1f} mm and "
            f"{np.degrees(settings.most_rotation_std):.2f} deg: {_remedy(found.growth_px, by_poses, settings)}"
        )
    return found


def _largest_std(covariance: Array) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(covariance).max()))


def _is_sure(covariance: Array, settings: CalibrationSettings) -> bool:
    position, rotation = _largest_std(covariance[:3, :3]), _largest_std(covariance[3:, 3:])
    return position <= settings.most_position_std and rotation <= settings.most_rotation_std


def _remedy(growth_px: float, by_poses: Array, settings: CalibrationSettings) -> str:
    """What is wrong: the poses, or where these would do by themselves the masks."""
    if not _is_sure(by_poses, settings):
        return "more poses that differ more are needed"
    reach = f"{abs(growth_px):.1f} px {'beyond' if growth_px > 0.0 else 'short of'} the robot"
    return f"the masks end {reach} all around, ones that end where the robot ends are needed"


def _median(distances: Array) -> float:
    return float(np.median(np.abs(distances))) if len(distances) else float("nan")


def _rms(distances: Array) -> float:
    return float(np.sqrt(np.mean(distances**2))) if len(distances) else float("nan")
