"""Lens distortion in the normalised image plane (x/z, y/z), and its inverse, as OpenCV and CameraInfo define it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.errors import CameraError

Array = NDArray[np.float64]

# x/z of a ray 89.94 degrees off the axis: farther out, a plane can no longer hold what a lens images.
_LARGEST_RADIUS = 1e3
_RESIDUAL = 1e-10
_ITERATIONS = 30
_TABLE_SIZE = 4096
# Sizes of D per model; 12 adds the thin prism, 14 the sensor tilt, which must be zero.
_COEFFICIENT_COUNTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


@dataclass(frozen=True)
class Distortion:
    """A lens model on normalised points: the polynomial family of OpenCV, or its equidistant fisheye.

    ``coefficients`` are k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 for a polynomial (plumb_bob uses the first five,
    rational_polynomial the first eight) and k1 k2 k3 k4 for an equidistant lens. The model is one-to-one within
    ``valid_radius`` of the normalised plane; beyond it distorted pixels fold back, so such points count as not imaged.
    Source: OpenCV calib3d, "Detailed Description", and fisheye, "Detailed Description".
    """

    is_equidistant: bool
    coefficients: tuple[float, ...]

    POLYNOMIAL_SIZE: ClassVar[int] = 12
    EQUIDISTANT_SIZE: ClassVar[int] = 4

    @property
    def valid_radius(self) -> float:
        """The largest undistorted radius up to which the distorted radius grows with it."""
        if self.is_equidistant:
            k = np.asarray(self.coefficients)
            angle_squared = _smallest_positive_root(np.array([1.0, *(k * (3, 5, 7, 9))]))
            largest_angle = np.sqrt(angle_squared)
            return float(np.tan(largest_angle)) if largest_angle < np.arctan(_LARGEST_RADIUS) else _LARGEST_RADIUS
        k1, k2, _, _, k3, k4, k5, k6 = self.coefficients[:8]
        top, bottom = np.array([1.0, k1, k2, k3]), np.array([1.0, k4, k5, k6])
        # d/dr (r top/bottom) = (top bottom + 2 s (top' bottom - top bottom')) / bottom^2 with s = r^2
        turn = polynomial.polysub(
            polynomial.polymul(polynomial.polyder(top), bottom), polynomial.polymul(top, polynomial.polyder(bottom))
        )
        slope = polynomial.polyadd(polynomial.polymul(top, bottom), polynomial.polymulx(2.0 * turn))
        radius_squared = min(_smallest_positive_root(slope), _smallest_positive_root(bottom))
        return float(min(np.sqrt(radius_squared), _LARGEST_RADIUS))

    def distort(self, points: ArrayLike) -> Array:
        """Distorted points (..., 2) of undistorted ones (..., 2), NaN where the model is not valid."""
        xy = np.asarray(points, np.float64)
        value, jacobian = self._evaluate(xy)
        valid = (np.hypot(xy[..., 0], xy[..., 1]) < self.valid_radius) & (_determinant(jacobian) > 0.0)
        return np.where(valid[..., None], value, np.nan)

    def distort_with_jacobian(self, points: ArrayLike) -> tuple[Array, Array]:
        """What ``distort`` returns (..., 2), and its derivatives (..., 2, 2); NaN where the model is not valid."""
        value = self.distort(points)
        a, b, c, d = self._evaluate(np.asarray(points, np.float64))[1]
        jacobian = np.stack([np.stack([a, b], axis=-1), np.stack([c, d], axis=-1)], axis=-2)
        return value, np.where(np.isfinite(value)[..., None], jacobian, np.nan)

    def undistort(self, points: ArrayLike) -> Array:
        """Undistorted points (..., 2) of distorted ones (..., 2), NaN where no point within the model maps to them.

        Newton's method from the inverse of the radial part; each result is checked to map back within 1e-10.
        """
        target = np.asarray(points, np.float64)
        flat = target.reshape(-1, 2)
        xy = self._radial_inverse(flat)
        active = np.flatnonzero(np.isfinite(xy).all(axis=1))
        with np.errstate(all="ignore"):
            for _ in range(_ITERATIONS):
                value, jacobian = self._evaluate(xy[active])
                error = value - flat[active]
                step = _solve(jacobian, error)
                open_ = np.abs(error).max(axis=1, initial=0.0) > 0.01 * _RESIDUAL
                active, step = active[open_], step[open_]
                if not len(active):
                    break
                xy[active] -= step
            wrong = ~(np.abs(self.distort(xy) - flat).max(axis=1, initial=0.0) <= _RESIDUAL)
        xy[wrong] = np.nan
        return xy.reshape(target.shape)

    def _radial_inverse(self, distorted: Array) -> Array:
        radius = np.tan(np.linspace(0.0, np.arctan(self.valid_radius), _TABLE_SIZE))
        along_x = np.stack([radius, np.zeros_like(radius)], axis=-1)
        plain = self if self.is_equidistant else Distortion(False, self._radial_coefficients())
        table = plain._evaluate(along_x)[0][:, 0]
        distorted_radius = np.hypot(distorted[:, 0], distorted[:, 1])
        # Tangential terms move the outermost points a little beyond the radial part's range.
        reachable = distorted_radius <= 1.05 * table[-1]
        scale = np.interp(distorted_radius, table, radius) / np.maximum(distorted_radius, 1e-300)
        return np.where(reachable[:, None], distorted * np.where(distorted_radius > 0.0, scale, 1.0)[:, None], np.nan)

    def _radial_coefficients(self) -> tuple[float, ...]:
        k = self.coefficients
        return (k[0], k[1], 0.0, 0.0, *k[4:8], 0.0, 0.0, 0.0, 0.0)

    def _evaluate(self, xy: Array) -> tuple[Array, tuple[Array, Array, Array, Array]]:
        with np.errstate(all="ignore"):
            return self._equidistant(xy) if self.is_equidistant else self._polynomial(xy)

    def _polynomial(self, xy: Array) -> tuple[Array, tuple[Array, Array, Array, Array]]:
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = self.coefficients
        x, y = xy[..., 0], xy[..., 1]
        s = x * x + y * y
        top, bottom = 1.0 + s * (k1 + s * (k2 + s * k3)), 1.0 + s * (k4 + s * (k5 + s * k6))
        g = top / bottom
        dg = (k1 + s * (2.0 * k2 + s * 3.0 * k3) - g * (k4 + s * (2.0 * k5 + s * 3.0 * k6))) / bottom
        value = np.stack(
            [
                x * g + 2.0 * p1 * x * y + p2 * (s + 2.0 * x * x) + s * (s1 + s2 * s),
                y * g + p1 * (s + 2.0 * y * y) + 2.0 * p2 * x * y + s * (s3 + s4 * s),
            ],
            axis=-1,
        )
        prism_x, prism_y = 2.0 * (s1 + 2.0 * s2 * s), 2.0 * (s3 + 2.0 * s4 * s)
        cross = 2.0 * (x * y * dg + p1 * x + p2 * y)
        jacobian = (
            g + 2.0 * x * x * dg + 2.0 * p1 * y + 6.0 * p2 * x + x * prism_x,
            cross + y * prism_x,
            cross + x * prism_y,
            g + 2.0 * y * y * dg + 6.0 * p1 * y + 2.0 * p2 * x + y * prism_y,
        )
        return value, jacobian

    def _equidistant(self, xy: Array) -> tuple[Array, tuple[Array, Array, Array, Array]]:
        k1, k2, k3, k4 = self.coefficients
        x, y = xy[..., 0], xy[..., 1]
        r = np.hypot(x, y)
        angle = np.arctan(r)
        a = angle * angle
        bent = angle * (1.0 + a * (k1 + a * (k2 + a * (k3 + a * k4))))
        slope = (1.0 + a * (3.0 * k1 + a * (5.0 * k2 + a * (7.0 * k3 + a * 9.0 * k4)))) / (1.0 + r * r)
        near_axis = r < 1e-9
        g = np.where(near_axis, 1.0, bent / np.where(near_axis, 1.0, r))
        dg = np.where(near_axis, 0.0, (slope - g) / np.where(near_axis, 1.0, r * r))
        jacobian = (g + x * x * dg, x * y * dg, x * y * dg, g + y * y * dg)
        return xy * g[..., None], jacobian


def check_model(model: object, D: tuple[float, ...]) -> None:
    """Raises CameraError unless CameraInfo's model and coefficients fit each other; all zero fits every model."""
    if model == "" and not any(D):
        return
    if not isinstance(model, str) or model not in _COEFFICIENT_COUNTS:
        valid = ", ".join(_COEFFICIENT_COUNTS)
        raise CameraError(f"distortion_model must be one of {valid}, or empty without distortion, got {model!r}")
    counts = _COEFFICIENT_COUNTS[model]
    if len(D) not in counts and D:
        raise CameraError(f"{model} takes {' or '.join(map(str, counts))} coefficients D, got {len(D)}: {D}")
    if any(D[12:]):
        raise CameraError(f"a tilted sensor (D[12], D[13]) is not supported, both must be 0, got {D[12:]}")


def _smallest_positive_root(ascending: Array) -> float:
    """The smallest root in 0.._LARGEST_RADIUS^2 of a polynomial, infinity where there is none."""
    scaled = ascending * float(_LARGEST_RADIUS) ** (2 * np.arange(len(ascending)))  # of a variable in 0..1
    relevant = np.flatnonzero(np.abs(scaled) > 1e-15 * np.abs(scaled).max())
    roots = polynomial.polyroots(scaled[: relevant[-1] + 1])
    positive = roots.real[(np.abs(roots.imag) < 1e-9 * np.abs(roots.real)) & (roots.real > 0.0) & (roots.real <= 1.0)]
    return float(positive.min(initial=np.inf)) * _LARGEST_RADIUS**2


def _determinant(jacobian: tuple[Array, Array, Array, Array]) -> Array:
    a, b, c, d = jacobian
    return np.asarray(a * d - b * c)


def _solve(jacobian: tuple[Array, Array, Array, Array], error: Array) -> Array:
    a, b, c, d = jacobian
    inverse_determinant = 1.0 / _determinant(jacobian)
    ex, ey = error[..., 0], error[..., 1]
    return np.stack([(d * ex - b * ey) * inverse_determinant, (a * ey - c * ex) * inverse_determinant], axis=-1)
