"""Robot pointmaps as they would be with a wrong calibration or a poor reconstruction."""

import math
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import AblationError

Scalar = TypeVar("Scalar", bound=np.generic)
# Rows and columns (H, W).
Sources: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class PointmapNoise:
    """What is done to the robot's pointmaps, in this order; zeros do nothing.

    shift_px: by how far the clip's pointmaps move over the picture, along each axis, forth or back by chance.
    turn_deg: by how much they turn about its middle, one way or the other by chance.
    removed_share: part of the robot's pixels of each frame that is lost.
    jitter: standard deviation in metres of what is added to every coordinate of every point.

    Raises AblationError on values out of range.
    """

    shift_px: int = 0
    turn_deg: float = 0.0
    removed_share: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.shift_px < 0 or not 0 <= self.turn_deg < 180 or not 0 <= self.removed_share < 1 or self.jitter < 0:
            raise AblationError(
                "noise needs shift_px and jitter of at least 0, turn_deg in [0, 180), removed_share in [0, 1), "
                f"got {self}"
            )


def disturbed(conditioning: Conditioning, noise: PointmapNoise, *, seed: int) -> Conditioning:
    """The conditioning with its robot's pointmaps, mask and pictures disturbed; the points keep what they say."""
    generator = np.random.default_rng(seed)
    signs = generator.choice([-1, 1], 3)
    points, mask, rgb = conditioning.robot_points, conditioning.robot_mask, conditioning.robot_rgb
    if noise.shift_px or noise.turn_deg:
        height, width = mask.shape[1:]
        turn = math.radians(noise.turn_deg) * signs[2]
        sources = _sources(height, width, noise.shift_px * signs[0], noise.shift_px * signs[1], turn)
        mask = _picked(mask[..., None], sources, False)[..., 0]
        points = _picked(points, sources, np.nan)
        rgb = None if rgb is None else _picked(rgb, sources, 0)
    if noise.removed_share:
        mask = mask & ~_some(mask, noise.removed_share, generator)
    if noise.jitter:
        points = points + generator.normal(0.0, noise.jitter, points.shape).astype(np.float32)
    points = np.where(mask[..., None], points, np.float32(np.nan))
    rgb = None if rgb is None else np.where(mask[..., None], rgb, np.uint8(0))
    return replace(conditioning, robot_points=points, robot_mask=mask, robot_rgb=rgb)


def _sources(height: int, width: int, down: float, right: float, turn: float) -> Sources:
    """Rows and columns (H, W) that each pixel's content comes from, those beyond the border outside of it."""
    v, u = np.meshgrid(np.arange(height) - down, np.arange(width) - right, indexing="ij")
    middle_v, middle_u = (height - 1) / 2, (width - 1) / 2
    v, u = v - middle_v, u - middle_u
    rows = np.cos(turn) * v - np.sin(turn) * u + middle_v
    columns = np.sin(turn) * v + np.cos(turn) * u + middle_u
    return np.rint(rows).astype(np.intp), np.rint(columns).astype(np.intp)


def _picked(values: NDArray[Scalar], sources: Sources, empty: float) -> NDArray[Scalar]:
    """The values (T, H, W, c) of these rows and columns, ``empty`` where these lie outside."""
    rows, columns = sources
    height, width = values.shape[1:3]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    picked = values[:, rows.clip(0, height - 1), columns.clip(0, width - 1)]
    picked[:, ~inside] = empty
    return picked


def _some(mask: NDArray[np.bool_], share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """``share`` of each frame's pixels of a mask (T, H, W), rounded down, without replacement."""
    chosen = np.zeros_like(mask)
    for t, frame in enumerate(mask):
        occupied = np.flatnonzero(frame)
        chosen[t].flat[generator.choice(occupied, int(share * len(occupied)), replace=False)] = True
    return chosen
