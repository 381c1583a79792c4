"""Compiled kernels that turn the rasteriser's buffers into points, mask, links and colours, and empty the buffers."""

import numpy as np
from numba import njit

_FLAGS = {"contract", "nsz", "arcp"}
_ZERO, _ONE, _NAN = np.float32(0), np.float32(1), np.float32(np.nan)
# Unsigned like their index: what cannot be negative needs no check, which would keep loops scalar.
_1, _2, _3 = np.uint64(1), np.uint64(2), np.uint64(3)


@njit(cache=True, nogil=True)
def join_regions(work, old, out):  # type: ignore[no-untyped-def]
    """The box ``out`` (4,) around the pixels touched now and those of ``old``; ``old`` becomes the former.

    An untouched region has stop <= first.
    """
    new = work.region
    if old[2] <= old[0] or old[3] <= old[1]:
        out[:] = new
    elif new[2] <= new[0] or new[3] <= new[1]:
        out[:] = old
    else:
        out[0], out[1] = min(new[0], old[0]), min(new[1], old[1])
        out[2], out[3] = max(new[2], old[2]), max(new[3], old[3])
    if new[2] <= new[0] or new[3] <= new[1]:
        new[:] = 0
    old[:] = new


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def write_points(work, view, rays, box, points, mask):  # type: ignore[no-untyped-def]
    """Points (H, W, 3), NaN where there is nothing, and mask (H, W) within ``box``; empties the depth buffer there.

    ``rays`` are those of the lens, None for a pinhole.
    """
    n = max(0, box[2] - box[0])
    size = work.depths.shape[0]
    for v in range(box[1], box[3]):
        a = v * view.stride + box[0]
        inverse_depth = work.depths[a : a + n]
        row = points[v, box[0] : box[0] + n].reshape(3 * n)
        if rays is None:
            _write_row(inverse_depth, view.column_rays[0, box[0] : box[0] + n], view.row_rays[0, v], row)
        else:
            _write_bent_row(inverse_depth, rays[a : a + n], rays[size + a : size + a + n], row)
        row_mask = mask[v, box[0] : box[0] + n]
        for u in range(n):
            row_mask[u] = inverse_depth[u] > _ZERO
        inverse_depth[:] = _ZERO


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def _write_row(inverse_depth, x, y, row):  # type: ignore[no-untyped-def]
    for u in range(np.uint64(inverse_depth.shape[0])):
        w = inverse_depth[u]
        z = _ONE / w
        z = z if w > _ZERO else _NAN
        row[_3 * u], row[_3 * u + _1], row[_3 * u + _2] = x[u] * z, y * z, z


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def _write_bent_row(inverse_depth, x, y, row):  # type: ignore[no-untyped-def]
    for u in range(np.uint64(inverse_depth.shape[0])):
        w = inverse_depth[u]
        z = _ONE / w
        z = z if w > _ZERO else _NAN
        row[_3 * u], row[_3 * u + _1], row[_3 * u + _2] = x[u] * z, y[u] * z, z


@njit(cache=True, nogil=True)
def write_links(labels, view, box, triangle_link, link_ids):  # type: ignore[no-untyped-def]
    """Link indices (H, W), -1 where there is nothing, within ``box``."""
    for v in range(box[1], box[3]):
        for u in range(box[0], box[2]):
            label = labels[v * view.stride + u]
            link_ids[v, u] = triangle_link[label - 1] if label > 0 else np.int16(-1)


@njit(cache=True, nogil=True)
def clear_labels(labels, view, box):  # type: ignore[no-untyped-def]
    """Empties the label buffer within ``box``."""
    for v in range(box[1], box[3]):
        start = v * view.stride
        labels[start + box[0] : start + box[2]] = 0
