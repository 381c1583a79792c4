"""Where a robot moves what stands in its way: things follow what grips them, yield to what pushes them, and fall."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from k4d_kinematics.errors import RenderingError
from k4d_kinematics.tool_path import ToolPath

Field = NDArray[np.float64]

# Metres. A fingertip: half its width, how far its middle lies beyond its inner side, how far it reaches past the tool.
FINGER_RADIUS, FINGER_MIDDLE, FINGER_REACH = 0.011, 0.008, 0.010
# How far from the tool the robot's seen points push; nearer, the fingers do, which are known better.
HAND = 0.05
# How much wider than a thing, to either side of it, fingers that close may be when they hold it.
LOOSE = 0.012
# Longest way of the tool that is looked at as one step, and how far a thing falls in one.
_STEP, _FALL = 0.004, 0.01
# By how much fingers move in a frame that close, and that let go.
_CLOSES, _OPENS = 0.001, 0.004
# How often a thing yields to the deepest point in a frame, and from which depth on.
_YIELDS, _TOUCH = 5, 0.002


class Carried(NamedTuple):
    """How N things move: offsets (N, T, 3) in the base frame, and where they are held (N, T) bool."""

    offsets: Field
    held: NDArray[np.bool_]


def carried(tool: ToolPath, robot_points: list[Field], centres: Field, radii: Field, heights: Field) -> Carried:
    """What becomes of N upright cylinders of ``radii`` and ``heights`` (N,) about ``centres`` (N, 3), each by itself.

    All in the base frame, whose z axis points up, in metres. Fingers that close about a thing take it along until they
    open; fingertips and the robot's seen points (n, 3) of each of the T frames push what stands in their way aside;
    what nobody holds sinks to the height at which it stood. Nothing tips over, slides on or hits another thing. Raises
    RenderingError where numbers of frames or things differ.
    """
    count, frames = len(centres), len(tool.opening)
    fits = centres.shape == (count, 3) and radii.shape == heights.shape == (count,)
    if len(robot_points) != frames or not fits:
        raise RenderingError(
            f"contact needs robot_points of {frames} frames and centres (N, 3), radii (N,), heights (N,), got "
            f"{len(robot_points)} frames, {centres.shape}, {radii.shape} and {heights.shape}"
        )
    tips = np.ascontiguousarray(tool.T_base_tool[:, :3, 3])
    bodies = [
        points[np.linalg.norm(points - tip, axis=-1) > HAND] for points, tip in zip(robot_points, tips, strict=True)
    ]
    ends = np.cumsum([0, *(len(body) for body in bodies)])
    offsets, held = np.zeros((count, frames, 3)), np.zeros((count, frames), np.bool_)
    body = np.concatenate([np.zeros((0, 3)), *bodies])
    axes = np.ascontiguousarray(tool.T_base_tool[:, :3, :3])
    for i in range(count):
        shape = float(radii[i]), float(heights[i])
        _carry(tips, axes, tool.opening, body, ends, centres[i], *shape, offsets[i], held[i])
    return Carried(offsets, held)


@njit(cache=True, nogil=True)
def _carry(
    tips: Field,
    axes: Field,
    opening: Field,
    body: Field,
    ends: NDArray[np.int64],
    centre: Field,
    radius: float,
    height: float,
    offsets: Field,
    held: NDArray[np.bool_],
) -> None:
    """Fills ``offsets`` (T, 3) and ``held`` (T,) of one thing."""
    c, grip = centre.copy(), np.zeros(3)
    holds = False
    for t in range(1, len(tips)):
        way, change = tips[t] - tips[t - 1], opening[t] - opening[t - 1]
        steps = max(1, int(np.ceil(np.sqrt((way**2).sum()) / _STEP)))
        holds = holds and change <= _OPENS
        for k in range(1, steps + 1):
            share = k / steps
            p, gap = tips[t - 1] + share * way, opening[t - 1] + share * change
            R = axes[t] if share > 0.5 else axes[t - 1]
            if holds:
                c = p + R @ grip
                continue
            grip = R.T @ (c - p)
            around = abs(grip[0]) < radius and abs(grip[1]) < gap / 2 + LOOSE / 2 and abs(grip[2]) < height / 2 + LOOSE
            if around and change < -_CLOSES and gap < 2 * radius + LOOSE:
                holds = True
                continue
            c[2] = max(centre[2], c[2] - _FALL)
            for side in (-1.0, 1.0):
                tip = p + R @ np.array([0.0, side * (gap / 2 + FINGER_MIDDLE), FINGER_REACH])
                if tip[2] < c[2] + height / 2 - _TOUCH:
                    _yield_to(c, tip, radius + FINGER_RADIUS, 2 * _STEP)
        if not holds:
            _yield_to_body(c, body[ends[t] : ends[t + 1]], radius, c[2] + height / 2)
        offsets[t] = c - centre
        held[t] = holds


@njit(cache=True, nogil=True)
def _yield_to(c: Field, p: Field, reach: float, furthest: float) -> None:
    """Moves c away from p, level, until they are ``reach`` apart, by at most ``furthest``."""
    x, y = c[0] - p[0], c[1] - p[1]
    apart = np.sqrt(x * x + y * y)
    if 1e-6 < apart < reach:
        by = min(reach - apart, furthest) / apart
        c[0] += x * by
        c[1] += y * by


@njit(cache=True, nogil=True)
def _yield_to_body(c: Field, body: Field, radius: float, top: float) -> None:
    """Moves c away from the points (n, 3) below ``top`` that reach deepest into its circle."""
    for _ in range(_YIELDS):
        nearest, least = -1, radius - _TOUCH
        for k in range(len(body)):
            apart = np.sqrt((c[0] - body[k, 0]) ** 2 + (c[1] - body[k, 1]) ** 2)
            if body[k, 2] <= top and apart < least:
                nearest, least = k, apart
        if nearest < 0:
            return
        _yield_to(c, body[nearest], radius, radius)
