"""Compiled kernels that find the pixels of a block of triangles seen through a distorting lens."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from k4d_kinematics.camera import Camera
from k4d_kinematics.distortion import Distortion
from k4d_kinematics.triangle_setup import (
    DROPPED,
    EXACT,
    FIRST_U,
    FIRST_V,
    KIND,
    LAST_U,
    LAST_V,
    ORIGIN_X,
    ORIGIN_Y,
    PLAIN,
    SEAM_PX,
    U0,
    U1,
    U2,
    V0,
    V1,
    V2,
    W0,
    W1,
    W2,
    X0,
    X1,
    X2,
    Y0,
    Y1,
    Y2,
    largest,
    smallest,
)

# The lens bends the edges of a larger triangle by more than this, so its pixels are searched exactly.
LARGEST_BEND_PX = np.float32(16)
# Added to boxes for the float32 evaluation of the lens model.
_MARGIN_PX = np.float32(0.02)
# How far beyond the image the bound on the lens's curvature holds, as a fraction of the image's largest ray.
_REACH = 1.3
_CURVATURE_SAFETY = 1.5

_FLAGS = {"contract", "nsz", "arcp"}
_ZERO, _ONE = np.float32(0), np.float32(1)
_QUARTER_TURN = np.float32(np.pi / 2)
# arctan(x) / x on 0..1 within 2e-8, Abramowitz and Stegun 4.4.49.
_ARCTAN = np.array(
    [1, -0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393, -0.0752896400, 0.0429096138, -0.0161657367,
     0.0028662257], np.float32,
)  # fmt: skip


class Lens(NamedTuple):
    """A lens model for the kernels: ``distortion.Distortion`` followed by the image's intrinsics, all float32."""

    is_equidistant: bool
    polynomial: NDArray[np.float32]  # (12,), zeros for an equidistant lens
    equidistant: NDArray[np.float32]  # (4,), zeros for a polynomial lens
    intrinsics: NDArray[np.float32]  # (4,) fx, fy, cx, cy of the image
    ray_box: NDArray[np.float32]  # (4,) smallest and largest x/z, then y/z, of the image
    radius: np.float32  # within which the model is one-to-one and ``curvature`` holds
    curvature: np.float32  # largest second derivative of pixels by x/z and y/z, in pixels
    rays: NDArray[np.float32]  # x/z of every pixel, then y/z, each laid out like a flat pixel buffer; NaN without a ray


def prepare_lens(camera: Camera, distortion: Distortion, stride: int, size: int) -> Lens:
    """The kernels' form of a camera's lens for flat pixel buffers of ``size`` numbers in rows of ``stride``.

    ``camera`` has at least one pixel with a ray.
    """
    M, rays = camera.matrix, camera.rays()
    height, width = rays.shape[:2]
    planes = np.full((2, size), np.nan, np.float32)
    planes[:, : height * stride].reshape(2, height, stride)[:, :, :width] = np.moveaxis(rays, -1, 0)
    image_radius = float(np.nanmax(np.hypot(rays[..., 0], rays[..., 1])))
    radius = min(distortion.valid_radius, _REACH * image_radius)
    coefficients = np.array(distortion.coefficients, np.float32)
    return Lens(
        is_equidistant=distortion.is_equidistant,
        polynomial=np.zeros(12, np.float32) if distortion.is_equidistant else coefficients,
        equidistant=coefficients if distortion.is_equidistant else np.zeros(4, np.float32),
        intrinsics=np.array([M[0, 0], M[1, 1], M[0, 2], M[1, 2]], np.float32),
        ray_box=np.array([reduce(rays[..., axis]) for axis in (0, 1) for reduce in (np.nanmin, np.nanmax)], np.float32),
        radius=np.float32(radius),
        curvature=np.float32(_CURVATURE_SAFETY * max(M[0, 0], M[1, 1]) * _largest_curvature(distortion, radius)),
        rays=planes.reshape(-1),
    )


def _largest_curvature(distortion: Distortion, radius: float) -> float:
    """The largest second difference quotient of the lens model within ``radius``, over points and directions."""
    # Evenly spaced in angle, since lenses that see far aside bend most within the first radians.
    distances = np.tan(np.linspace(0.0, np.arctan(radius), 200))[:-1, None, None, None]
    step = 1e-3 * np.minimum(radius, 1.0 + distances)
    angles = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    centers = distances * circle[:, None]  # (199, 48, 1, 2)
    offsets = step * circle[: len(circle) // 2]
    bend = distortion.distort(centers + offsets) + distortion.distort(centers - offsets)
    return float(np.nanmax(np.abs(bend - 2.0 * distortion.distort(centers)) / step**2))


@njit(cache=True, inline="always")
def _bend(x, y, is_equidistant, k, a):  # type: ignore[no-untyped-def]
    """Distorted coordinates of undistorted ones by the formulas of ``Distortion``, in float32."""
    s = x * x + y * y
    if is_equidistant:
        r = np.sqrt(s)
        t = r if r < _ONE else _ONE / r
        q = t * t
        angle = _ARCTAN[8]
        angle = angle * q + _ARCTAN[7]
        angle = angle * q + _ARCTAN[6]
        angle = angle * q + _ARCTAN[5]
        angle = angle * q + _ARCTAN[4]
        angle = angle * q + _ARCTAN[3]
        angle = angle * q + _ARCTAN[2]
        angle = angle * q + _ARCTAN[1]
        angle = (angle * q + _ONE) * t
        angle = angle if r < _ONE else _QUARTER_TURN - angle
        q = angle * angle
        bent = angle * (_ONE + q * (a[0] + q * (a[1] + q * (a[2] + q * a[3]))))
        g = bent / r if r > _ZERO else _ONE
        return x * g, y * g
    g = (_ONE + s * (k[0] + s * (k[1] + s * k[4]))) / (_ONE + s * (k[5] + s * (k[6] + s * k[7])))
    xy = x * y
    return (
        x * g + k[2] * (xy + xy) + k[3] * (s + x * x + x * x) + s * (k[8] + k[9] * s),
        y * g + k[2] * (s + y * y + y * y) + k[3] * (xy + xy) + s * (k[10] + k[11] * s),
    )


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def _distort_corner(S, count, lens, x_row, y_row, u_row, v_row):  # type: ignore[no-untyped-def]
    fx, fy, cx, cy = lens.intrinsics[0], lens.intrinsics[1], lens.intrinsics[2], lens.intrinsics[3]
    for t in range(np.uint64(count)):
        x, y = _bend(S[x_row + t], S[y_row + t], lens.is_equidistant, lens.polynomial, lens.equidistant)
        S[u_row + t], S[v_row + t] = fx * x + cx, fy * y + cy


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def find_distorted_pixels(S, count, width, height, inverse_near, lens):  # type: ignore[no-untyped-def]
    """Pixel boxes and kinds of triangles whose edges the lens bends: boxes of the corners, widened by the bend.

    An edge of length h deviates from its chord by at most curvature * h^2 / 8.
    """
    _distort_corner(S, count, lens, X0, Y0, U0, V0)
    _distort_corner(S, count, lens, X1, Y1, U1, V1)
    _distort_corner(S, count, lens, X2, Y2, U2, V2)
    last_u, last_v = np.float32(width - 1), np.float32(height - 1)
    x_first, x_last, y_first, y_last = lens.ray_box[0], lens.ray_box[1], lens.ray_box[2], lens.ray_box[3]
    for t in range(np.uint64(count)):
        x0, x1, x2 = S[X0 + t], S[X1 + t], S[X2 + t]
        y0, y1, y2 = S[Y0 + t], S[Y1 + t], S[Y2 + t]
        low_x, high_x = smallest(x0, x1, x2), largest(x0, x1, x2)
        low_y, high_y = smallest(y0, y1, y2), largest(y0, y1, y2)
        radius = largest(x0 * x0 + y0 * y0, x1 * x1 + y1 * y1, x2 * x2 + y2 * y2)
        wide, tall = high_x - low_x, high_y - low_y
        bend = lens.curvature * (wide * wide + tall * tall) * np.float32(0.125)
        hard = (radius > lens.radius * lens.radius) | (bend > LARGEST_BEND_PX)
        margin = bend + _MARGIN_PX + SEAM_PX
        u0, u1, u2 = S[U0 + t], S[U1 + t], S[U2 + t]
        v0, v1, v2 = S[V0 + t], S[V1 + t], S[V2 + t]
        first_u, end_u = np.ceil(smallest(u0, u1, u2) - margin), np.floor(largest(u0, u1, u2) + margin)
        first_v, end_v = np.ceil(smallest(v0, v1, v2) - margin), np.floor(largest(v0, v1, v2) + margin)
        first_u = first_u if first_u > _ZERO else _ZERO
        first_v = first_v if first_v > _ZERO else _ZERO
        end_u = end_u if end_u < last_u else last_u
        end_v = end_v if end_v < last_v else last_v
        S[FIRST_U + t], S[LAST_U + t] = first_u, end_u
        S[FIRST_V + t], S[LAST_V + t] = first_v, end_v
        S[ORIGIN_X + t], S[ORIGIN_Y + t] = x0, y0
        w0, w1, w2 = S[W0 + t], S[W1 + t], S[W2 + t]
        ahead0 = (w0 > _ZERO) & (w0 <= inverse_near)
        ahead1 = (w1 > _ZERO) & (w1 <= inverse_near)
        ahead2 = (w2 > _ZERO) & (w2 <= inverse_near)
        ahead = ahead0 & ahead1 & ahead2
        crosses = (ahead0 | ahead1 | ahead2) & ~ahead
        meets = ahead & (low_x <= x_last) & (high_x >= x_first) & (low_y <= y_last) & (high_y >= y_first)
        boxed = (first_u <= end_u) & (first_v <= end_v)
        S[KIND + t] = EXACT if crosses | (meets & hard) else (PLAIN if meets & boxed else DROPPED)
