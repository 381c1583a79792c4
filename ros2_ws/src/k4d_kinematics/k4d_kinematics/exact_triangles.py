"""Triangles that cross the near plane, are huge or strongly bent by the lens: float64, per pixel, without projection.

A pixel's ray d = (x, y, 1) meets the triangle p0, p1, p2 where d . (p1 x p2), d . (p2 x p0) and d . (p0 x p1) have the
sign of det = p0 . (p1 x p2), at inverse depth (their sum) / det. Corners may lie behind the camera (2D homogeneous
rasterisation, Olano and Greer 1997). Clipping at the near plane decides which pixels are searched, and the same plane
cuts each pixel's depth.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def rasterize_exactly(corners, T, cull, view, rays, depths, labels, label, region):  # type: ignore[no-untyped-def]
    """Renders one triangle with corners (9,) in the link frame, placed by ``T`` (3, 4), float64.

    ``rays`` is None for a pinhole, where the spans of rays in each column and row of the view are single rays.
    """
    p = _place(corners, T)
    n = _edge_normals(p)  # (3, 3)
    det = p[0, 0] * n[0, 0] + p[0, 1] * n[0, 1] + p[0, 2] * n[0, 2]
    if det == 0.0 or (cull and det > 0.0):
        return
    low_x, high_x, low_y, high_y = _clipped_box(p, view.near)
    first_u, stop_u = _overlap(view.column_rays, low_x, high_x)
    first_v, stop_v = _overlap(view.row_rays, low_y, high_y)
    if first_u >= stop_u or first_v >= stop_v:
        return
    _widen(region, first_u, first_v, stop_u, stop_v)
    sign = 1.0 if det > 0.0 else -1.0
    for v in range(first_v, stop_v):
        for u in range(first_u, stop_u):
            at = v * view.stride + u
            if rays is None:
                x, y = np.float64(view.column_rays[0, u]), np.float64(view.row_rays[0, v])
            else:
                x, y = np.float64(rays[at]), np.float64(rays[depths.shape[0] + at])
            s0 = sign * (x * n[0, 0] + y * n[0, 1] + n[0, 2])
            s1 = sign * (x * n[1, 0] + y * n[1, 1] + n[1, 2])
            s2 = sign * (x * n[2, 0] + y * n[2, 1] + n[2, 2])
            if s0 >= 0.0 and s1 >= 0.0 and s2 >= 0.0:
                inverse_depth = np.float32((s0 + s1 + s2) / (sign * det))
                if depths[at] < inverse_depth and inverse_depth * view.near <= 1.0:
                    depths[at] = inverse_depth
                    if labels is not None:
                        labels[at] = label


@njit(cache=True, nogil=True)
def _place(corners, T):  # type: ignore[no-untyped-def]
    p = np.empty((3, 3))
    for k in range(3):
        x, y, z = np.float64(corners[3 * k]), np.float64(corners[3 * k + 1]), np.float64(corners[3 * k + 2])
        for r in range(3):
            p[k, r] = T[r, 0] * x + T[r, 1] * y + T[r, 2] * z + T[r, 3]
    return p


@njit(cache=True, nogil=True)
def _edge_normals(p):  # type: ignore[no-untyped-def]
    """Cross products (3, 3) of corners 1 and 2, 2 and 0, 0 and 1.

    Two triangles on one edge get exactly opposite normals, so no pixel falls between them.
    """
    n = np.empty((3, 3))
    for k in range(3):
        a, b = p[(k + 1) % 3], p[(k + 2) % 3]
        n[k, 0] = a[1] * b[2] - a[2] * b[1]
        n[k, 1] = a[2] * b[0] - a[0] * b[2]
        n[k, 2] = a[0] * b[1] - a[1] * b[0]
    return n


@njit(cache=True, nogil=True)
def _clipped_box(p, near):  # type: ignore[no-untyped-def]
    """Smallest and largest x/z and y/z of the part of a triangle beyond the near plane; empty as inf, -inf."""
    low_x, high_x, low_y, high_y = np.inf, -np.inf, np.inf, -np.inf
    for k in range(3):
        a, b = p[k], p[(k + 1) % 3]
        for end in range(2):
            if end == 0 and a[2] >= near:
                x, y = a[0] / a[2], a[1] / a[2]
            elif end == 1 and (a[2] >= near) != (b[2] >= near):
                f = (near - a[2]) / (b[2] - a[2])
                x, y = (a[0] + f * (b[0] - a[0])) / near, (a[1] + f * (b[1] - a[1])) / near
            else:
                continue
            low_x, high_x, low_y, high_y = min(low_x, x), max(high_x, x), min(low_y, y), max(high_y, y)
    return low_x, high_x, low_y, high_y


@njit(cache=True, nogil=True)
def _overlap(spans, low, high):  # type: ignore[no-untyped-def]
    """First and stop of the entries of ``spans`` (2, n) that overlap low..high, allowing for float32 rounding."""
    slack = 1e-6 * (1.0 + max(abs(low), abs(high)))
    first, stop = spans.shape[1], 0
    for k in range(spans.shape[1]):
        if spans[1, k] >= low - slack and spans[0, k] <= high + slack:
            first = min(first, k)
            stop = k + 1
    return first, stop


@njit(cache=True, nogil=True)
def _widen(region, first_u, first_v, stop_u, stop_v):  # type: ignore[no-untyped-def]
    region[0], region[1] = min(region[0], first_u), min(region[1], first_v)
    region[2], region[3] = max(region[2], stop_u), max(region[3], stop_v)
