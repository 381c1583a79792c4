"""The z-buffer rasteriser: one frame on one thread, the GIL released.

Blocks of triangles are projected, boxed and set up by vectorised loops; only the few that may cover a pixel centre are
rasterised one by one. The buffers hold inverse depths, which are linear in the image, 0 where there is nothing.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from k4d_kinematics.exact_triangles import rasterize_exactly
from k4d_kinematics.lens_setup import find_distorted_pixels
from k4d_kinematics.pixel_lanes import LANES, update_lanes
from k4d_kinematics.triangle_setup import (
    BLOCK,
    E0,
    E1,
    E1_X,
    E1_Y,
    E2,
    E2_X,
    E2_Y,
    EXACT,
    FIRST_U,
    FIRST_V,
    KIND,
    LAST_U,
    LAST_V,
    ORIGIN_X,
    ORIGIN_Y,
    PLAIN,
    ROWS,
    W_MAX,
    W_MIN,
    W_X,
    W_Y,
    X0,
    X1,
    X2,
    W,
    find_edges,
    find_pixels,
    project_corner,
)
from k4d_kinematics.view import View, buffer_size

_FLAGS = {"contract", "nsz", "arcp"}


class Workspace(NamedTuple):
    """What one thread needs to render; buffers are all zero between frames."""

    block: NDArray[np.float32]
    chosen: NDArray[np.int64]  # (2, BLOCK + 1) members of a block that are plain, that are exact
    depths: NDArray[np.float32]  # inverse depths, flat
    T_cam_part: NDArray[np.float64]  # (M, 3, 4)
    projections: NDArray[np.float32]  # (M, 3, 4) from part coordinates to the edge plane
    culls: NDArray[np.bool_]  # (M,)
    region: NDArray[np.int64]  # (4,) touched pixels: first u, first v, stop u, stop v


def allocate_workspace(view: View, part_count: int) -> Workspace:
    """An empty workspace for a view and a surface of ``part_count`` parts."""
    return Workspace(
        block=np.zeros(ROWS * BLOCK, np.float32),
        chosen=np.zeros((2, BLOCK + 1), np.int64),
        depths=np.zeros(buffer_size(view), np.float32),
        T_cam_part=np.zeros((part_count, 3, 4)),
        projections=np.zeros((part_count, 3, 4), np.float32),
        culls=np.zeros(part_count, np.bool_),
        region=np.zeros(4, np.int64),
    )


@njit(cache=True, nogil=True)
def place_parts(parts, T_cam_link, view, work):  # type: ignore[no-untyped-def]
    """Poses, projections and culling of the parts; the first link whose pose is not rigid, or -1.

    Closed parts show only their outside unless the near plane may cut them open: the sphere around its visible part
    then touches the part's box.
    """
    for m in range(parts.link.shape[0]):
        T = T_cam_link[parts.link[m]]
        if not _is_rigid(T):
            return parts.link[m]
        work.T_cam_part[m] = T[:3]
        for r in range(3):
            for c in range(4):
                total = 0.0
                for k in range(3):
                    total += view.plane_matrix[r, k] * T[k, c]
                work.projections[m, r, c] = total
        gap = 0.0
        for k in range(3):
            center = 0.0
            for r in range(3):
                center += T[r, k] * (view.near_center[r] - T[r, 3])
            outside = max(parts.low[m, k] - center, center - parts.high[m, k], 0.0)
            gap += outside * outside
        work.culls[m] = parts.closed[m] and gap > view.near_radius * view.near_radius
    return -1


@njit(cache=True, nogil=True)
def _is_rigid(T):  # type: ignore[no-untyped-def]
    error = abs(T[3, 0]) + abs(T[3, 1]) + abs(T[3, 2]) + abs(T[3, 3] - 1.0)
    for i in range(3):
        for j in range(i, 3):
            dot = T[0, i] * T[0, j] + T[1, i] * T[1, j] + T[2, i] * T[2, j]
            error = max(error, abs(dot - (1.0 if i == j else 0.0)))
    det = (
        T[0, 0] * (T[1, 1] * T[2, 2] - T[1, 2] * T[2, 1])
        - T[0, 1] * (T[1, 0] * T[2, 2] - T[1, 2] * T[2, 0])
        + T[0, 2] * (T[1, 0] * T[2, 1] - T[1, 1] * T[2, 0])
    )
    # Written so that NaN fails.
    return error <= 1e-3 and det > 0.0 and abs(T[0, 3]) + abs(T[1, 3]) + abs(T[2, 3]) < np.inf


@njit(cache=True, nogil=True)
def rasterize(parts, view, lens, work, labels):  # type: ignore[no-untyped-def]
    """Renders all parts, placed by ``place_parts``, into empty buffers and notes the touched region.

    ``lens`` is None for a pinhole; ``labels``, the flat int32 buffer for 1 + triangle number, is None where not needed.
    Both are arguments of their own so that the compiler leaves out what they switch off.
    """
    region = work.region
    region[0], region[1], region[2], region[3] = view.width, view.height, 0, 0
    for m in range(parts.link.shape[0]):
        for start in range(parts.start[m], parts.start[m + 1], BLOCK):
            count = min(BLOCK, parts.start[m + 1] - start)
            _set_up(parts.corners, start, start + count, work.projections[m], work.culls[m], view, lens, work.block)
            plain, exact = _choose(work.block, count, work.chosen)
            if lens is None:
                _rasterize_plain(work, labels, view, None, start, plain)
                _rasterize_exact(work, labels, view, None, parts, m, start, exact)
            else:
                _rasterize_plain(work, labels, view, lens.rays, start, plain)
                _rasterize_exact(work, labels, view, lens.rays, parts, m, start, exact)


@njit(cache=True, nogil=True)
def _set_up(corners, a, b, P, cull, view, lens, block):  # type: ignore[no-untyped-def]
    # Slices of single rows, since only those are known to be contiguous.
    project_corner(corners[0, a:b], corners[1, a:b], corners[2, a:b], P, block, X0)
    project_corner(corners[3, a:b], corners[4, a:b], corners[5, a:b], P, block, X1)
    project_corner(corners[6, a:b], corners[7, a:b], corners[8, a:b], P, block, X2)
    count = b - a
    inverse_near = np.float32(1.0 / view.near)
    if lens is None:
        find_pixels(block, count, view.width, view.height, inverse_near)
    else:
        find_distorted_pixels(block, count, view.width, view.height, inverse_near, lens)
    find_edges(block, count, cull, view.pixel, lens is None)


@njit(cache=True, nogil=True)
def _choose(block, count, chosen):  # type: ignore[no-untyped-def]
    """How many triangles of a block are plain and exact, listed in ``chosen``; without branches to mispredict."""
    plain, exact = 0, 0
    for t in range(count):
        kind = block[KIND + np.uint64(t)]
        chosen[0, plain] = t
        chosen[1, exact] = t
        plain += 1 if kind == PLAIN else 0
        exact += 1 if kind == EXACT else 0
    return plain, exact


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def _rasterize_plain(work, labels, view, rays, start, count):  # type: ignore[no-untyped-def]
    S, depths, region = work.block, work.depths, work.region
    low_u, low_v, stop_u, stop_v = region[0], region[1], region[2], region[3]
    for k in range(count):
        t = np.uint64(work.chosen[0, k])
        first_u, last_u = np.int64(S[FIRST_U + t]), np.int64(S[LAST_U + t])
        first_v, last_v = np.int64(S[FIRST_V + t]), np.int64(S[LAST_V + t])
        x_slopes = (-S[E1_X + t] - S[E2_X + t], S[E1_X + t], S[E2_X + t], S[W_X + t])
        y_slopes = (-S[E1_Y + t] - S[E2_Y + t], S[E1_Y + t], S[E2_Y + t], S[W_Y + t])
        e0, e1, e2, w = S[E0 + t], S[E1 + t], S[E2 + t], S[W + t]
        origin, limits = (S[ORIGIN_X + t], S[ORIGIN_Y + t]), (S[W_MIN + t], S[W_MAX + t])
        label = np.int32(start + 1 + work.chosen[0, k])
        for v in range(first_v, last_v + 1):
            for u in range(first_u, last_u + 1, LANES):
                values = (e0, e1, e2, w)
                if rays is None:
                    dx, dy = np.float32(u - first_u), np.float32(v - first_v)
                    values = (
                        e0 + x_slopes[0] * dx + y_slopes[0] * dy,
                        e1 + x_slopes[1] * dx + y_slopes[1] * dy,
                        e2 + x_slopes[2] * dx + y_slopes[2] * dy,
                        w + x_slopes[3] * dx + y_slopes[3] * dy,
                    )
                offset = v * view.stride + u
                update_lanes(  # type: ignore[call-arg]
                    depths,
                    labels,
                    rays,
                    offset,
                    label,
                    values,
                    x_slopes,
                    y_slopes,
                    limits,
                    origin,
                    np.float32(last_u - u),
                )
        low_u, low_v = min(low_u, first_u), min(low_v, first_v)
        stop_u, stop_v = max(stop_u, last_u + 1), max(stop_v, last_v + 1)
    region[0], region[1], region[2], region[3] = low_u, low_v, stop_u, stop_v


@njit(cache=True, nogil=True)
def _rasterize_exact(work, labels, view, rays, parts, part, start, count):  # type: ignore[no-untyped-def]
    for k in range(count):
        t = start + work.chosen[1, k]
        rasterize_exactly(
            parts.corners[:, t], work.T_cam_part[part], work.culls[part], view, rays, work.depths, labels,
            np.int32(t + 1), work.region,
        )  # fmt: skip
