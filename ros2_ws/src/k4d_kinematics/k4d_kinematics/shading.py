"""Colours of rendered robots: the surface's own colours and textures, optionally lit by a light at the camera."""

import numpy as np
from numba import njit

# The share of a headlight that reaches a face seen edge-on; a face seen head-on keeps its colour.
AMBIENT = 0.35


@njit(cache=True, nogil=True, error_model="numpy")
def shade_pixels(work, labels, view, rays, parts, colors, headlight, box, rgb):  # type: ignore[no-untyped-def]
    """sRGB (H, W, 3) of the triangles in the label buffer within ``box``, black where there is none.

    Corner colours and texture coordinates are interpolated on the triangle in space, hence perspective-correct.
    """
    for v in range(box[1], box[3]):
        for u in range(box[0], box[2]):
            at = v * view.stride + u
            t = labels[at] - 1
            if t < 0:
                rgb[v, u, 0] = rgb[v, u, 1] = rgb[v, u, 2] = 0
                continue
            z = 1.0 / np.float64(work.depths[at])
            if rays is None:
                x, y = z * view.column_rays[0, u], z * view.row_rays[0, v]
            else:
                x, y = z * rays[at], z * rays[work.depths.shape[0] + at]
            a, b, cosine = _weigh_corners(parts.corners, t, work.T_cam_part[colors.triangle_part[t]], x, y, z)
            light = AMBIENT + (1.0 - AMBIENT) * cosine if headlight else 1.0
            for channel in range(3):
                if colors.triangle_texture[t] < 0:
                    value = _interpolate(colors.corner_rgb, t, channel, a, b)
                else:
                    value = _sample(colors, t, channel, a, b)
                rgb[v, u, channel] = np.uint8(min(255.0, max(0.0, light * value + 0.5)))


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh_corners(corners, t, T, x, y, z):  # type: ignore[no-untyped-def]
    """Weights in 0..1 of corners 1 and 2 of triangle ``t`` at a point on it given in the camera frame.

    Also the cosine between the triangle's normal and the ray from the camera.
    """
    px, py, pz = x - T[0, 3], y - T[1, 3], z - T[2, 3]
    x0, y0, z0 = corners[0, t], corners[1, t], corners[2, t]
    ax, ay, az = corners[3, t] - x0, corners[4, t] - y0, corners[5, t] - z0
    bx, by, bz = corners[6, t] - x0, corners[7, t] - y0, corners[8, t] - z0
    hx = T[0, 0] * px + T[1, 0] * py + T[2, 0] * pz - x0
    hy = T[0, 1] * px + T[1, 1] * py + T[2, 1] * pz - y0
    hz = T[0, 2] * px + T[1, 2] * py + T[2, 2] * pz - z0
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    square = np.float64(nx) * nx + np.float64(ny) * ny + np.float64(nz) * nz
    w1 = (nx * (hy * bz - hz * by) + ny * (hz * bx - hx * bz) + nz * (hx * by - hy * bx)) / square
    w2 = (nx * (ay * hz - az * hy) + ny * (az * hx - ax * hz) + nz * (ax * hy - ay * hx)) / square
    w1 = min(1.0, max(0.0, w1))
    rx = T[0, 0] * x + T[1, 0] * y + T[2, 0] * z
    ry = T[0, 1] * x + T[1, 1] * y + T[2, 1] * z
    rz = T[0, 2] * x + T[1, 2] * y + T[2, 2] * z
    cosine = abs(nx * rx + ny * ry + nz * rz) / np.sqrt(square * (x * x + y * y + z * z))
    return w1, min(1.0 - w1, max(0.0, w2)), cosine


@njit(cache=True, nogil=True)
def _interpolate(values, t, k, a, b):  # type: ignore[no-untyped-def]
    """Entry ``k`` of the corner values (N, 3, K) of triangle ``t`` at weights ``a``, ``b`` of corners 1 and 2."""
    return (1.0 - a - b) * values[t, 0, k] + a * values[t, 1, k] + b * values[t, 2, k]


@njit(cache=True, nogil=True)
def _sample(colors, t, channel, a, b):  # type: ignore[no-untyped-def]
    """Bilinear texture value; (0, 0) is the texture's bottom left, it repeats outside 0..1."""
    start, height, width = colors.texture_shapes[colors.triangle_texture[t]]
    x = _interpolate(colors.corner_uv, t, 0, a, b) * width - 0.5
    y = (1.0 - _interpolate(colors.corner_uv, t, 1, a, b)) * height - 0.5
    column, row = np.int64(np.floor(x)), np.int64(np.floor(y))
    fx, fy = x - column, y - row
    left, right = column % width, (column + 1) % width
    upper, lower = start + (row % height) * width, start + ((row + 1) % height) * width
    texels = colors.texels
    top = (1.0 - fx) * texels[upper + left, channel] + fx * texels[upper + right, channel]
    bottom = (1.0 - fx) * texels[lower + left, channel] + fx * texels[lower + right, channel]
    return (1.0 - fy) * top + fy * bottom
