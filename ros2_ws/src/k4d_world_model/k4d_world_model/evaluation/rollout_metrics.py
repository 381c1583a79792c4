"""How far one rollout is from what really happened."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.errors import WorldModelError
from k4d_world_model.evaluation.image_metrics import RGB_PEAK
from k4d_world_model.evaluation.prediction import Prediction
from k4d_world_model.evaluation.regions import MOVED_BY, Regions, regions
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.metric_recovery import EVEN_FRAMES, apply, recover_metric
from k4d_world_model.rollout import Rollout

# One metre whatever the scene: differences between two models do not depend on it.
XYZ_PEAK = 1.0


@dataclass(frozen=True)
class SquaredError:
    """A sum of squared errors over ``count`` values; sums of several rollouts may be added."""

    total: float
    count: int

    def __add__(self, other: "SquaredError") -> "SquaredError":
        return SquaredError(self.total + other.total, self.count + other.count)

    def psnr(self, peak: float) -> float:
        """Peak signal-to-noise ratio in dB; infinite without an error, NaN without a value."""
        if self.count == 0:
            return math.nan
        return math.inf if self.total == 0 else 10.0 * math.log10(peak**2 * self.count / self.total)


@dataclass(frozen=True)
class Overlap:
    """How many pixels two regions share, of how many in either; those of several rollouts may be added."""

    shared: int
    either: int

    def __add__(self, other: "Overlap") -> "Overlap":
        return Overlap(self.shared + other.shared, self.either + other.either)

    @property
    def iou(self) -> float:
        """Intersection over union, NaN where both are empty."""
        return self.shared / self.either if self.either else math.nan


_NOTHING = SquaredError(0.0, 0)


@dataclass(frozen=True)
class RolloutMetrics:
    """One rollout against the truth; the first frame, which is given, does not count.

    rgb, xyz: squared errors of all pixels' levels and coordinates (metres); ``_changed`` and ``_objects`` those of the
        truth's regions, ``_robot`` and ``_environment`` those where the true robot is and where it is not. A point
        that the truth has and the prediction lacks counts as off by XYZ_PEAK in every coordinate; where the truth has
        none, nothing is compared.
    moved: pixels whose point moves by more than MOVED_BY in truth and in prediction, where there is robot neither now
        nor in the first frame.
    robot_error_mm: median distance of predicted robot pixels from forward kinematics' points in the odd frames, after
        the affine fit that the even frames give. NaN where no odd frame shows the robot.
    environment_error_mm, environment_error_p95_mm: median and 95th percentile of the distance where there is no robot.
    missing_points: how many points the prediction lacks of those that the truth has.
    A prediction without points (RGB only) has none of the figures about them: no value counts, errors are NaN and
    ``missing_points`` is None.
    """

    rgb: SquaredError
    rgb_changed: SquaredError
    rgb_objects: SquaredError
    rgb_robot: SquaredError
    rgb_environment: SquaredError
    xyz: SquaredError
    xyz_changed: SquaredError
    xyz_objects: SquaredError
    moved: Overlap
    robot_error_mm: float
    environment_error_mm: float
    environment_error_p95_mm: float
    missing_points: int | None

    @property
    def psnr(self) -> float:
        """Of RGB over all pixels, in dB with a peak of 255."""
        return self.rgb.psnr(RGB_PEAK)

    @property
    def psnr_changed(self) -> float:
        """Of RGB over the changed region."""
        return self.rgb_changed.psnr(RGB_PEAK)

    @property
    def psnr_objects(self) -> float:
        """Of RGB where objects moved."""
        return self.rgb_objects.psnr(RGB_PEAK)

    @property
    def psnr_robot(self) -> float:
        """Of RGB where the true robot is."""
        return self.rgb_robot.psnr(RGB_PEAK)

    @property
    def psnr_environment(self) -> float:
        """Of RGB where the true robot is not."""
        return self.rgb_environment.psnr(RGB_PEAK)

    @property
    def xyz_psnr(self) -> float:
        """Of coordinates over all pixels, in dB with a peak of one metre."""
        return self.xyz.psnr(XYZ_PEAK)

    @property
    def xyz_psnr_changed(self) -> float:
        """Of coordinates over the changed region."""
        return self.xyz_changed.psnr(XYZ_PEAK)

    @property
    def xyz_psnr_objects(self) -> float:
        """Of coordinates where objects moved."""
        return self.xyz_objects.psnr(XYZ_PEAK)

    @property
    def moved_iou(self) -> float:
        """Intersection over union of the regions that move in truth and in prediction, NaN where neither does."""
        return self.moved.iou


def compare(predicted: Rollout | Prediction, truth: Truth) -> RolloutMetrics:
    """The figures of T >= 2 predicted frames.

    Raises WorldModelError when ``truth`` is not of the same T, H, W, and PredictionError as ``Prediction`` does.
    """
    if isinstance(predicted, Rollout):
        predicted = Prediction.of_rollout(predicted)
    if predicted.rgb.shape != truth.rgb.shape or len(truth.rgb) < 2:
        raise WorldModelError(
            f"rollout and truth must be of one shape (T >= 2, H, W, 3), got {predicted.rgb.shape} and {truth.rgb.shape}"
        )
    where = regions(truth)
    colour_errors = (predicted.rgb[1:].astype(np.float64) - truth.rgb[1:]) ** 2
    robot = truth.robot_mask[1:]
    pictures = RolloutMetrics(
        rgb=_squared_error(colour_errors, np.ones_like(robot)),
        rgb_changed=_squared_error(colour_errors, where.changed),
        rgb_objects=_squared_error(colour_errors, where.objects),
        rgb_robot=_squared_error(colour_errors, robot),
        rgb_environment=_squared_error(colour_errors, ~robot),
        xyz=_NOTHING,
        xyz_changed=_NOTHING,
        xyz_objects=_NOTHING,
        moved=Overlap(0, 0),
        robot_error_mm=math.nan,
        environment_error_mm=math.nan,
        environment_error_p95_mm=math.nan,
        missing_points=None,
    )
    return pictures if predicted.points is None else _with_points(pictures, predicted.points, truth, where)


def _with_points(
    pictures: RolloutMetrics, predicted: NDArray[np.float32], truth: Truth, where: Regions
) -> RolloutMetrics:
    points, missing = _penalised(predicted, truth.points)
    errors = (points[1:].astype(np.float64) - truth.points[1:]) ** 2  # NaN where the truth has no point
    known = np.isfinite(truth.points[1:, ..., 2])
    distances_mm = 1000.0 * np.sqrt(errors[where.environment].sum(axis=-1))  # (n,)
    median_mm, p95_mm = np.percentile(distances_mm, [50, 95]) if len(distances_mm) else (math.nan, math.nan)
    return replace(
        pictures,
        xyz=_squared_error(errors, known),
        xyz_changed=_squared_error(errors, where.changed & known),
        xyz_objects=_squared_error(errors, where.objects),
        moved=_overlap(predicted, truth, where),
        robot_error_mm=_robot_error_mm(predicted, truth),
        environment_error_mm=float(median_mm),
        environment_error_p95_mm=float(p95_mm),
        missing_points=int(missing[1:].sum()),
    )


def _penalised(
    points: NDArray[np.float32], truth: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The points with those that are missing put XYZ_PEAK beside the true ones, and which these are (T, H, W)."""
    missing = np.isfinite(truth[..., 2]) & ~np.isfinite(points[..., 2])
    return np.where(missing[..., None], truth + np.float32(XYZ_PEAK), points), missing


def _squared_error(errors: NDArray[np.float64], where: NDArray[np.bool_]) -> SquaredError:
    chosen = errors[where]  # (n, 3)
    return SquaredError(float(chosen.sum()), chosen.size)


def _overlap(points: NDArray[np.float32], truth: Truth, where: Regions) -> Overlap:
    with np.errstate(invalid="ignore"):
        moves = np.linalg.norm(points[1:] - truth.points[0], axis=-1) > MOVED_BY
    shared = int((where.objects & moves).sum())
    return Overlap(shared, int(where.objects.sum() + (where.still & moves).sum()))


def _robot_error_mm(points: NDArray[np.float32], truth: Truth) -> float:
    mask = np.isfinite(truth.robot_points[..., 2])
    fit = recover_metric(points, truth.robot_points, mask, frames=EVEN_FRAMES)
    fitted, _ = _penalised(apply(fit, points), truth.robot_points)
    odd = mask[1::2]
    if not odd.any():
        return math.nan
    distances = np.linalg.norm(fitted[1::2][odd] - truth.robot_points[1::2][odd], axis=-1)
    return float(1000.0 * np.median(distances))
