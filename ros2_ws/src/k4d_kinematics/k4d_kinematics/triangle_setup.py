"""Compiled kernels that prepare a block of triangles for rasterisation, several triangles per instruction.

A block lives in one flat float32 array of ROWS rows with BLOCK numbers each, so that the compiler sees rows that do not
overlap and vectorises the loops. Edges are linear in the *edge plane*: pixels (u, v) for a pinhole, undistorted
(x/z, y/z) for a camera with lens distortion, which bends straight edges in the image.
"""

import numpy as np
from numba import njit

BLOCK = 256

# Unsigned row starts: an index that cannot be negative needs no check, which would keep loops scalar.
(
    X0, Y0, W0, X1, Y1, W1, X2, Y2, W2,  # corners in the edge plane and their inverse depths
    U0, V0, U1, V1, U2, V2,  # corners in pixels, where the lens distorts
    FIRST_U, LAST_U, FIRST_V, LAST_V,  # the pixels that the triangle may cover
    ORIGIN_X, ORIGIN_Y,  # where the next rows hold
    E0, E1, E1_X, E1_Y, E2, E2_X, E2_Y,  # edge functions, >= 0 inside; the slopes of E0 are -(E1 + E2)'s
    W, W_X, W_Y, W_MIN, W_MAX,  # inverse depth and its range
    KIND,
) = (np.uint64(row * BLOCK) for row in range(34))  # fmt: skip
ROWS = 34

DROPPED, PLAIN, EXACT = np.float32(0), np.float32(1), np.float32(2)

# Half the width, in pixels, of the seam that neighbouring triangles share so that rounding leaves no pinholes.
SEAM_PX = np.float32(1e-4)
# Triangles of a smaller area, in square pixels, are thinner than the seam and numerically void.
SMALLEST_AREA_PX = np.float32(1e-6)
# Beyond this extent float32 edge functions lose the seam's accuracy.
LARGEST_EXTENT_PX = np.float32(4096)

_FLAGS = {"contract", "nsz", "arcp"}
_ZERO, _ONE = np.float32(0), np.float32(1)
_BLOCK = np.uint64(BLOCK)


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def project_corner(x_link, y_link, z_link, P, S, row):  # type: ignore[no-untyped-def]
    """Edge-plane coordinates and inverse depth of a corner of each triangle into three rows from ``row``; P (3, 4)."""
    a, b, c, d = P[0, 0], P[0, 1], P[0, 2], P[0, 3]
    e, f, g, h = P[1, 0], P[1, 1], P[1, 2], P[1, 3]
    i, j, k, m = P[2, 0], P[2, 1], P[2, 2], P[2, 3]
    row_y, row_w = row + _BLOCK, row + _BLOCK + _BLOCK
    for t in range(np.uint64(x_link.shape[0])):
        x, y, z = x_link[t], y_link[t], z_link[t]
        w = _ONE / (i * x + j * y + k * z + m)
        S[row + t] = (a * x + b * y + c * z + d) * w
        S[row_y + t] = (e * x + f * y + g * z + h) * w
        S[row_w + t] = w


@njit(cache=True, inline="always")
def smallest(a, b, c):  # type: ignore[no-untyped-def]
    """The smallest of three, as selections that vectorise."""
    ab = a if a < b else b
    return ab if ab < c else c


@njit(cache=True, inline="always")
def largest(a, b, c):  # type: ignore[no-untyped-def]
    """The largest of three, as selections that vectorise."""
    ab = a if a > b else b
    return ab if ab > c else c


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def find_pixels(S, count, width, height, inverse_near):  # type: ignore[no-untyped-def]
    """Pixel boxes and kinds of pinhole triangles: edges are straight in pixels, boxes follow from the corners."""
    last_u, last_v = np.float32(width - 1), np.float32(height - 1)
    for t in range(np.uint64(count)):
        u0, u1, u2 = S[X0 + t], S[X1 + t], S[X2 + t]
        v0, v1, v2 = S[Y0 + t], S[Y1 + t], S[Y2 + t]
        low_u, high_u = smallest(u0, u1, u2) - SEAM_PX, largest(u0, u1, u2) + SEAM_PX
        low_v, high_v = smallest(v0, v1, v2) - SEAM_PX, largest(v0, v1, v2) + SEAM_PX
        huge = (high_u - low_u > LARGEST_EXTENT_PX) | (high_v - low_v > LARGEST_EXTENT_PX)
        first_u, end_u = np.ceil(low_u), np.floor(high_u)
        first_v, end_v = np.ceil(low_v), np.floor(high_v)
        first_u = first_u if first_u > _ZERO else _ZERO
        first_v = first_v if first_v > _ZERO else _ZERO
        end_u = end_u if end_u < last_u else last_u
        end_v = end_v if end_v < last_v else last_v
        S[FIRST_U + t], S[LAST_U + t] = first_u, end_u
        S[FIRST_V + t], S[LAST_V + t] = first_v, end_v
        S[ORIGIN_X + t], S[ORIGIN_Y + t] = first_u, first_v
        w0, w1, w2 = S[W0 + t], S[W1 + t], S[W2 + t]
        ahead0 = (w0 > _ZERO) & (w0 <= inverse_near)
        ahead1 = (w1 > _ZERO) & (w1 <= inverse_near)
        ahead2 = (w2 > _ZERO) & (w2 <= inverse_near)
        ahead = ahead0 & ahead1 & ahead2
        crosses = (ahead0 | ahead1 | ahead2) & ~ahead
        seen = ahead & (first_u <= end_u) & (first_v <= end_v)
        S[KIND + t] = EXACT if crosses | (seen & huge) else (PLAIN if seen else DROPPED)


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def find_edges(S, count, cull, pixel, origin_is_pixel):  # type: ignore[no-untyped-def]
    """Edge functions and inverse depth at each triangle's origin; drops what faces away (``cull``) or covers nothing.

    ``pixel`` is a pixel's size in the edge plane. With ``origin_is_pixel`` a triangle whose box is the origin alone is
    tested there and then.
    """
    seam, smallest_area = SEAM_PX * pixel, SMALLEST_AREA_PX * pixel * pixel
    for t in range(np.uint64(count)):
        x0, y0, w0 = S[X0 + t], S[Y0 + t], S[W0 + t]
        x1, y1, x2, y2 = S[X1 + t] - x0, S[Y1 + t] - y0, S[X2 + t] - x0, S[Y2 + t] - y0
        w1, w2 = S[W1 + t], S[W2 + t]
        area = x1 * y2 - x2 * y1  # negative where the outside is seen, since v points down
        inverse_area = _ONE / area
        e1_x, e1_y, e2_x, e2_y = y2 * inverse_area, -x2 * inverse_area, -y1 * inverse_area, x1 * inverse_area
        dx, dy = S[ORIGIN_X + t] - x0, S[ORIGIN_Y + t] - y0
        e1, e2 = e1_x * dx + e1_y * dy, e2_x * dx + e2_y * dy
        S[W + t] = w0 + e1 * (w1 - w0) + e2 * (w2 - w0)
        S[W_X + t] = e1_x * (w1 - w0) + e2_x * (w2 - w0)
        S[W_Y + t] = e1_y * (w1 - w0) + e2_y * (w2 - w0)
        S[W_MIN + t], S[W_MAX + t] = smallest(w0, w1, w2), largest(w0, w1, w2)
        e0 = _ONE - e1 - e2 + seam * (abs(e1_x + e2_x) + abs(e1_y + e2_y))
        e1 += seam * (abs(e1_x) + abs(e1_y))
        e2 += seam * (abs(e2_x) + abs(e2_y))
        S[E0 + t], S[E1 + t], S[E2 + t] = e0, e1, e2
        S[E1_X + t], S[E1_Y + t], S[E2_X + t], S[E2_Y + t] = e1_x, e1_y, e2_x, e2_y
        single = (S[FIRST_U + t] == S[LAST_U + t]) & (S[FIRST_V + t] == S[LAST_V + t]) & origin_is_pixel
        covers = ((e0 >= _ZERO) & (e1 >= _ZERO) & (e2 >= _ZERO)) | ~single
        facing = (-area if cull else abs(area)) > smallest_area
        kind = S[KIND + t]
        S[KIND + t] = kind if (kind == EXACT) | (facing & covers) else DROPPED
