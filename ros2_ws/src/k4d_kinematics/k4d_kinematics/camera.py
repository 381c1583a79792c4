"""A calibrated camera with the meaning of sensor_msgs/CameraInfo. Pixel centres lie at integer (u, v)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.distortion import Distortion, check_model
from k4d_kinematics.errors import CameraError

Array = NDArray[np.float64]

_LARGEST_SIDE = 32768
_MOST_PIXELS = 64_000_000
_LARGEST_COEFFICIENT = 1e6


@dataclass(frozen=True)
class RegionOfInterest:
    """The part of the full-resolution sensor that an image shows, in unbinned pixels; size 0 x 0 means all of it."""

    x_offset: int = 0
    y_offset: int = 0
    height: int = 0
    width: int = 0
    do_rectify: bool = False

    def __post_init__(self) -> None:
        for name in ("x_offset", "y_offset", "height", "width"):
            object.__setattr__(self, name, _count(getattr(self, name), f"roi.{name}", smallest=0))


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of one camera as CameraInfo states them; wrong ones raise CameraError.

    height, width: size of the full-resolution calibration in pixels.
    K: (3, 3) intrinsics of the raw image; fx = 0 means uncalibrated and is refused, as skew is.
    D, distortion_model: "plumb_bob" with 4 or 5 numbers, "rational_polynomial" with 8 (12 with thin prism, 14 with
        zero tilt), "equidistant" with 4. No or only zero coefficients mean no distortion for every model, as in
        image_geometry; the model may then be "".
    R, P: (3, 3) and (3, 4) of the rectified image, used by ``rectified`` only; all zero where not calibrated.
    binning_x, binning_y, roi: how the delivered image was cut from the sensor; 0 and 1 both mean no binning.
    frame_id: name of the camera's optical frame.

    The delivered image has ``image_height`` x ``image_width`` pixels and intrinsics ``matrix``, by image_geometry's
    rule: cx, cy lose the region's offset, then fx, fy, cx, cy are divided by the binning; sizes by integer division.
    """

    height: int
    width: int
    K: Array
    D: tuple[float, ...] = ()
    distortion_model: str = ""
    R: Array = field(default_factory=lambda: np.eye(3))
    P: Array = field(default_factory=lambda: np.zeros((3, 4)))
    binning_x: int = 0
    binning_y: int = 0
    roi: RegionOfInterest = field(default_factory=RegionOfInterest)
    frame_id: str = ""

    def __post_init__(self) -> None:
        for name, smallest in (("height", 1), ("width", 1), ("binning_x", 0), ("binning_y", 0)):
            object.__setattr__(self, name, _count(getattr(self, name), name, smallest))
        for name, shape in (("K", (3, 3)), ("R", (3, 3)), ("P", (3, 4))):
            object.__setattr__(self, name, _matrix(getattr(self, name), name, shape))
        object.__setattr__(self, "D", _coefficients(self.D))
        if not isinstance(self.frame_id, str):
            raise CameraError(f"frame_id must be text, got {self.frame_id!r}")
        if not isinstance(self.roi, RegionOfInterest):
            raise CameraError(f"roi must be a RegionOfInterest, got {self.roi!r}")
        _check_intrinsics(self.K)
        _check_rotation(self.R)
        check_model(self.distortion_model, self.D)
        self._check_region()

    @classmethod
    def pinhole(
        cls, height: int, width: int, fx: float, fy: float, cx: float, cy: float, *, frame_id: str = ""
    ) -> "Camera":
        """An undistorted camera: image size and intrinsics in pixels, rectified image equal to the raw one."""
        K = _matrix([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]], "K", (3, 3))
        return cls(height, width, K, P=np.hstack([K, np.zeros((3, 1))]), frame_id=frame_id)

    @property
    def image_height(self) -> int:
        """Rows of the delivered image."""
        return (self.roi.height or self.height) // (self.binning_y or 1)

    @property
    def image_width(self) -> int:
        """Columns of the delivered image."""
        return (self.roi.width or self.width) // (self.binning_x or 1)

    @property
    def matrix(self) -> Array:
        """Intrinsics (3, 3) of the delivered image: K after region of interest and binning."""
        shift = np.array([[1.0, 0.0, -self.roi.x_offset], [0.0, 1.0, -self.roi.y_offset], [0.0, 0.0, 1.0]])
        scale = np.diag([1.0 / (self.binning_x or 1), 1.0 / (self.binning_y or 1), 1.0])
        return np.asarray(scale @ shift @ self.K)

    @property
    def is_distorted(self) -> bool:
        """Whether the raw image differs from a pinhole's."""
        return any(self.D)

    @cached_property
    def distortion(self) -> Distortion | None:
        """The lens model on normalised points, None for a pinhole."""
        if not self.is_distorted:
            return None
        if self.distortion_model == "equidistant":
            return Distortion(True, self.D)
        return Distortion(False, (*self.D, *[0.0] * Distortion.POLYNOMIAL_SIZE)[: Distortion.POLYNOMIAL_SIZE])

    def rays(self) -> Array:
        """Undistorted (x/z, y/z) at every pixel centre (H, W, 2), NaN where the lens reaches no ray; read-only."""
        return self._rays

    @cached_property
    def _rays(self) -> Array:
        u, v = np.meshgrid(np.arange(self.image_width), np.arange(self.image_height))
        rays = self._directions(np.stack([u, v], axis=-1).astype(np.float64))
        rays.flags.writeable = False
        return rays

    def project(self, points_cam: ArrayLike) -> Array:
        """Pixels (u, v) (..., 2) of points (..., 3) in the optical frame, inside the image or not.

        NaN where a point is not in front of the camera or outside the range in which the lens model is one-to-one.
        """
        points = _last_axis(points_cam, 3, "points_cam")
        with np.errstate(all="ignore"):
            xy = points[..., :2] / np.where(points[..., 2:] > 0.0, points[..., 2:], np.nan)
        xy = xy if self.distortion is None else self.distortion.distort(xy)
        M = self.matrix
        return np.asarray(xy * (M[0, 0], M[1, 1]) + M[:2, 2])

    def unproject(self, pixels: ArrayLike, depth: ArrayLike) -> Array:
        """Points (..., 3) in the optical frame of pixels (u, v) (..., 2) at z-depths (...) in metres.

        NaN where the lens model reaches no ray.
        """
        rays = self._directions(_last_axis(pixels, 2, "pixels"))
        z = np.broadcast_to(np.asarray(depth, np.float64), rays.shape[:-1])
        return np.concatenate([rays * z[..., None], z[..., None]], axis=-1)

    def rectified(self) -> "Camera":
        """The camera of the rectified image (image_rect): a pinhole with the intrinsics P[:3, :3].

        Its optical frame is turned: points_rect = R @ points_cam. The fourth column of P, a stereo pair's baseline,
        is kept but plays no part, since points are meant in this camera's own frame. Region and binning stay.
        Raises CameraError where P or R is not calibrated (all zero).
        """
        if not self.P.any() or not self.R.any():
            raise CameraError("a rectified camera needs a calibrated P and R, got all zeros")
        return Camera(
            self.height, self.width, self.P[:, :3], P=self.P, binning_x=self.binning_x, binning_y=self.binning_y,
            roi=self.roi, frame_id=self.frame_id,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Camera) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @cached_property
    def _content(self) -> tuple[Any, ...]:
        sizes = (self.height, self.width, self.binning_x, self.binning_y, self.roi)
        matrices = tuple(tuple(M.ravel().tolist()) for M in (self.K, self.R, self.P))
        return (*sizes, *matrices, self.D, self.distortion_model, self.frame_id)

    def _directions(self, pixels: Array) -> Array:
        M = self.matrix
        xy = (pixels - M[:2, 2]) / (M[0, 0], M[1, 1])
        return xy if self.distortion is None else self.distortion.undistort(xy)

    def _check_region(self) -> None:
        roi = self.roi
        if (roi.height == 0) != (roi.width == 0) or (roi.height == 0 and (roi.x_offset or roi.y_offset)):
            raise CameraError(f"a region of interest has both sizes, or is all zero for the full image, got {roi}")
        if roi.x_offset + roi.width > self.width or roi.y_offset + roi.height > self.height:
            raise CameraError(
                f"the region of interest must lie in {self.height} rows x {self.width} columns, got {roi}"
            )
        if self.image_height < 1 or self.image_width < 1:
            raise CameraError(
                f"binning {self.binning_x} x {self.binning_y} leaves no pixel of {roi.height or self.height} rows x "
                f"{roi.width or self.width} columns"
            )
        if self.image_height * self.image_width > _MOST_PIXELS:
            size = f"{self.image_height} rows x {self.image_width} columns"
            raise CameraError(f"an image may have at most {_MOST_PIXELS} pixels, got {size}")


def _count(value: object, name: str, smallest: int) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or not smallest <= int(value) <= _LARGEST_SIDE:
        raise CameraError(f"{name} must be a whole number from {smallest} to {_LARGEST_SIDE}, got {value!r}")
    return int(value)


def _matrix(values: object, name: str, shape: tuple[int, int]) -> Array:
    try:
        M = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CameraError(f"{name} must be {shape[0]} x {shape[1]} numbers, got {values!r}") from error
    if M.size == shape[0] * shape[1] and M.ndim == 1:
        M = M.reshape(shape)
    if M.shape != shape or not np.isfinite(M).all():
        raise CameraError(f"{name} must be {shape[0]} x {shape[1]} finite numbers, got {values!r}")
    M.flags.writeable = False
    return M


def _coefficients(values: Iterable[float]) -> tuple[float, ...]:
    try:
        D = tuple(float(d) for d in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise CameraError(f"D must be a list of numbers, got {values!r}") from error
    if not (np.abs(D) <= _LARGEST_COEFFICIENT).all():
        raise CameraError(f"D must be finite and at most {_LARGEST_COEFFICIENT:g} in size, got {D}")
    return D


def _check_intrinsics(K: Array) -> None:
    if K[0, 0] == 0.0:
        raise CameraError("the camera is uncalibrated: K[0] is 0; it needs fx, fy > 0")
    if K[0, 0] < 0.0 or K[1, 1] <= 0.0 or K[0, 1] or K[1, 0] or (K[2] != (0.0, 0.0, 1.0)).any():
        raise CameraError(f"K must be [fx 0 cx; 0 fy cy; 0 0 1] with fx, fy > 0, got {K.tolist()}")


def _check_rotation(R: Array) -> None:
    if R.any() and (np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0.0):
        raise CameraError(f"R must be a rotation, or all zero where not calibrated, got {R.tolist()}")


def _last_axis(values: ArrayLike, size: int, name: str) -> Array:
    array = np.asarray(values, np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise CameraError(f"{name} must have shape (..., {size}), got {array.shape}")
    return array
