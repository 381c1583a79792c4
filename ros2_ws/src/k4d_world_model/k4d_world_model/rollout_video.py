"""A rollout as a video for people: what was asked for, what was predicted, what happened."""

import numpy as np
from einops import repeat
from numpy.typing import NDArray

from k4d_kinematics.pictures import coordinates_as_colours, side_by_side
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.rollout_frames import Frames

_SMALLEST_HEIGHT_PX = 288


def comparison_pictures(
    predicted: Frames, conditioning: Conditioning | None = None, recorded: Frames | None = None
) -> list[NDArray[np.uint8]]:
    """For each frame one row of pictures: robot | predicted RGB | predicted XYZ | recorded RGB | recorded XYZ.

    Columns of what is not given are left out. XYZ are coordinates as colours, on one scale for both columns. Small
    frames are enlarged by a whole factor.
    """
    columns = [] if conditioning is None else [_robot_pictures(conditioning)]
    colours = _shared_colours([predicted] if recorded is None else [predicted, recorded])
    columns += [predicted.rgb, colours[0]]
    if recorded is not None:
        columns += [recorded.rgb, *(colours[1:] if recorded.valid.any() else ())]
    factor = -(-_SMALLEST_HEIGHT_PX // predicted.rgb.shape[1])
    return [
        repeat(side_by_side(pictures), "h w c -> (h f) (w g) c", f=factor, g=factor)
        for pictures in zip(*columns, strict=True)
    ]


def _robot_pictures(conditioning: Conditioning) -> NDArray[np.uint8]:
    if conditioning.robot_rgb is not None:
        return conditioning.robot_rgb
    return coordinates_as_colours(conditioning.robot_points, conditioning.robot_mask)


def _shared_colours(futures: list[Frames]) -> NDArray[np.uint8]:
    """(N, T, H, W, 3) colours of the points of N futures between their common extrema."""
    points, valid = np.stack([frames.points for frames in futures]), np.stack([frames.valid for frames in futures])
    return coordinates_as_colours(points, valid)
