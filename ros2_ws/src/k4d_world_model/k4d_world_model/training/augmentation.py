"""Variations of clips that are as true as the clips themselves."""

import math

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from k4d_world_model.training.clip import TrainingClip
from k4d_world_model.training.config import AugmentationSettings


def augmented(clip: TrainingClip, settings: AugmentationSettings, generator: np.random.Generator) -> TrainingClip:
    """The clip or, as ``generator`` draws, one of its variations."""
    flip, channels = generator.random() < 0.5, generator.permutation(3)
    if settings.flip and flip:
        clip = mirrored(clip)
    if settings.permute_colours:
        clip = recoloured(clip, (int(channels[0]), int(channels[1]), int(channels[2])))
    return clip


def mirrored(clip: TrainingClip) -> TrainingClip:
    """The clip as seen in a mirror that swaps left and right: points and rays with it."""
    inputs = clip.inputs
    robot = _mirrored_points(inputs.robot_points, inputs.robot_mask)
    everywhere = torch.ones(inputs.rays.shape[1:], dtype=torch.bool)
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    names = ("first_points", "background_points", "behind_points", "rays")
    everywhere_known = {name: _mirrored_points(getattr(inputs, name), everywhere) for name in names}
    changed = inputs._replace(
        first_rgb=inputs.first_rgb.flip(-1),
        robot_rgb=inputs.robot_rgb.flip(-1),
        robot_points=robot,
        robot_mask=inputs.robot_mask.flip(-1),
        background_rgb=inputs.background_rgb.flip(-1),
        behind_rgb=inputs.behind_rgb.flip(-1),
        offset=inputs.offset * mirror,
        shadows=_mirrored_shadows(inputs.shadows),
        surfaces=inputs.surfaces.flip(-1),
        mover_pixels=inputs.mover_pixels.flip(-1),
        mover_path=inputs.mover_path * mirror,
        **everywhere_known,
    )
    points = _mirrored_points(clip.points, clip.valid)
    return clip._replace(inputs=changed, rgb=clip.rgb.flip(-1), points=points, valid=clip.valid.flip(-1))


def recoloured(clip: TrainingClip, channels: tuple[int, int, int]) -> TrainingClip:
    """The clip with the colour channels of all its pictures in the order ``channels``."""
    order = list(channels)
    names = ("first_rgb", "robot_rgb", "background_rgb", "behind_rgb")
    pictures = {name: getattr(clip.inputs, name)[order] for name in names}
    return clip._replace(inputs=clip.inputs._replace(**pictures), rgb=clip.rgb[order])


def _mirrored_shadows(shadows: Tensor) -> Tensor:
    """Shadows (K, T, h, w) mirrored: those of light from the robot's left become those of light from its right."""
    grid = math.isqrt(len(shadows))
    return rearrange(rearrange(shadows, "(x y) ... -> x y ...", x=grid, y=grid).flip(1, -1), "x y ... -> (x y) ...")


def _mirrored_points(points: Tensor, valid: Tensor) -> Tensor:
    """Points (3, ..., W) mirrored, left alone where not ``valid`` (..., W)."""
    flipped = points.flip(-1)
    flipped[0] = torch.where(valid.flip(-1), -flipped[0], flipped[0])
    return flipped
