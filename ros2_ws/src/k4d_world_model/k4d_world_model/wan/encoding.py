"""From inputs to what the transformer reads at every step of a rollout: all of it is computed once."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Generator, Tensor

from k4d_world_model.wan.architecture import MASK_CHANNELS, NUMBERS, Architecture
from k4d_world_model.wan.codec import Codec
from k4d_world_model.wan.hints import Hints
from k4d_world_model.wan.inputs import Inputs
from k4d_world_model.wan.prior import frozen_world, still_world
from k4d_world_model.wan.robot_shade import lighting_of
from k4d_world_model.wan.surface_fill import surfaces_of

# Tokens (b, 257, image_dim) of pictures (b, 3, H, W) in [-1, 1].
ImageEncoder = Callable[[Tensor], Tensor]


class Encoded(NamedTuple):
    """A batch of conditionings in the transformer's terms; c latent channels, t x h x w latent cells a half.

    channels: (b, 4 + c, t, h, 2 w) mask and condition latents, the robot not yet injected.
    robot: (b, 4 + c, t, h, halves * w) its mask and latents; (b, T, action_size, 1, 1) for actions and text.
    image_embeddings: (b, 257, image_dim), None without an image encoder.
    prior: (b, c, t, h, 2 w) latents that the head starts from, None where it starts from nothing.
    hints: what tells where light comes from, which surfaces go on behind the robot and what it moves, as far as the
        model is told.
    """

    channels: Tensor
    robot: Tensor
    image_embeddings: Tensor | None
    prior: Tensor | None
    inputs: Inputs
    hints: Hints | None = None


def encode(
    inputs: Inputs,
    architecture: Architecture,
    codec: Codec,
    image_encoder: ImageEncoder | None = None,
    generator: Generator | None = None,
) -> Encoded:
    """The encoded conditioning. ``generator`` draws latents as in training; without it the most likely ones are taken.

    Raises ArchitectureError when the inputs do not divide into the codec's cells.
    """
    prior = None
    if architecture.prior != "first_frame":
        start = frozen_world(inputs) if architecture.prior == "frozen_world" else still_world(inputs)
        condition = prior = encode_pair(*start, architecture, codec, generator)
    else:
        condition = codec.encode(
            first_frame_then_grey(inputs.first_rgb, inputs.first_points, inputs.robot_mask.shape[1]), generator
        )
    channels = torch.cat([first_frame_mask(condition), condition], dim=1)
    robot = encode_robot(inputs, architecture, codec, generator)
    hints = Hints(
        lighting_of(inputs) if architecture.light_grid else None,
        surfaces_of(inputs) if architecture.continues_surfaces else None,
        inputs.mover_evidence if architecture.moves_objects else None,
    )
    return Encoded(channels, robot, image_encoder(inputs.first_rgb) if image_encoder else None, prior, inputs, hints)


def encode_pair(
    rgb: Tensor, points: Tensor, architecture: Architecture, codec: Codec, generator: Generator | None = None
) -> Tensor:
    """Latents (b, c, t, h, 2 w) of pictures and points (b, 3, T, H, W), the pointmap's half normalised."""
    return paired(codec.encode(rgb, generator), codec.encode(points, generator), architecture)


def paired(rgb: Tensor, points: Tensor, architecture: Architecture) -> Tensor:
    """Latents (b, c, t, h, 2 w) of a codec's latents (b, c, t, h, w) of pictures and points."""
    points = (points - architecture.pointmap_latent_mean) / architecture.pointmap_latent_std
    return torch.cat([rgb, points], dim=-1)


def encode_robot(
    inputs: Inputs, architecture: Architecture, codec: Codec, generator: Generator | None = None
) -> Tensor:
    """Mask and latents (b, 4 + c, t, h, halves * w) of the robot, as much of it as the condition tells."""
    condition = architecture.condition
    if condition in NUMBERS:
        return inputs.actions[..., None, None]
    rgb, points = inputs.robot_rgb, inputs.robot_points
    if condition == "robot_depth":
        points = repeat(points[:, 2:], "b 1 t h w -> b 3 t h w")
    if condition == "robot_silhouette":
        rgb = repeat(2.0 * inputs.robot_mask - 1.0, "b t h w -> b 3 t h w")
    pair = encode_pair(rgb, points, architecture, codec, generator)
    mask = torch.ones_like(inputs.robot_mask) if condition == "pictures" else inputs.robot_mask
    return robot_channels(latent_mask(mask, codec), pair, architecture)


def robot_channels(mask: Tensor, pair: Tensor, architecture: Architecture) -> Tensor:
    """Mask and latents (b, 4 + c, t, h, halves * w), as much of them as the condition tells.

    ``mask`` (b, t, h, w) is the robot's on the grid of the latents, ``pair`` (b, c, t, h, 2 w) its latents.
    """
    tells_rgb = architecture.condition in ("robot_rgb_and_pointmap", "robot_rgb", "robot_silhouette", "pictures")
    tells_points = architecture.condition in ("robot_rgb_and_pointmap", "robot_pointmap", "robot_depth")
    left, right = pair.chunk(2, dim=-1)
    mask = repeat(mask, "b t h w -> b k t h w", k=MASK_CHANNELS).to(pair.dtype)
    if not architecture.tells_robot_mask:
        mask = torch.zeros_like(mask)
    if tells_rgb != tells_points:
        robot = torch.cat([mask, left if tells_rgb else right], dim=1)
        return torch.cat([robot, robot], dim=-1) if architecture.robot_in_both_halves else robot
    return torch.cat([torch.cat([mask, mask], dim=-1), pair if tells_rgb else torch.zeros_like(pair)], dim=1)


def latent_mask(robot_mask: Tensor, codec: Codec) -> Tensor:
    """The mask (b, T, H, W) on the grid of the latents (b, t, h, w), as published.

    The top left pixel of each cell; frame 0 alone, then the union over each cell's frames.
    """
    size = codec.size
    cells = robot_mask[:, :, :: size.spatial, :: size.spatial]
    later = rearrange(cells[:, 1:], "b (t k) h w -> b t k h w", k=size.temporal).any(dim=2)
    return torch.cat([cells[:, :1], later], dim=1)


def soften(robot: Tensor, share: float, generator: Generator) -> Tensor:
    """The robot's mask and latents with ``share`` of the mask's cells that are 1 set to 0.5, all channels alike.

    Cells are drawn over the whole batch without replacement; both halves of a pair get the same ones.
    """
    mask = robot[:, 0]  # (b, t, h, halves * w)
    halves = 2 if robot.shape[-1] % 2 == 0 and torch.equal(*mask.chunk(2, dim=-1)) else 1
    first = mask[..., : mask.shape[-1] // halves].clone()
    occupied = (first == 1).nonzero()
    order = torch.randperm(len(occupied), generator=generator)[: int(share * len(occupied))]
    first[tuple(occupied[order.to(occupied.device)].T)] = 0.5
    softened = robot.clone()
    softened[:, :MASK_CHANNELS] = torch.cat([first] * halves, dim=-1)[:, None]
    return softened


def first_frame_then_grey(first_rgb: Tensor, first_points: Tensor, frames: int) -> Tensor:
    """One video (b, 3, T, H, 2 W): the first frame (b, 3, H, W) and the points beside it, then mid grey."""
    first = torch.cat([first_rgb, first_points], dim=-1)[:, :, None]
    return torch.cat([first, torch.zeros_like(first).expand(-1, -1, frames - 1, -1, -1)], dim=2)


def first_frame_mask(condition: Tensor) -> Tensor:
    """(b, 4, t, h, 2 w): 1 on the known picture of the first latent frame, 0.5 on what stands beside it, else 0."""
    batch, _, frames, height, width = condition.shape
    mask = condition.new_zeros(batch, MASK_CHANNELS, frames, height, width)
    mask[:, :, 0, :, : width // 2] = 1.0
    mask[:, :, 0, :, width // 2 :] = 0.5
    return mask
