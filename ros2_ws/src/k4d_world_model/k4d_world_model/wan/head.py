"""What the transformer's output says the noise-free latents are."""

from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional

from k4d_world_model.wan.architecture import Architecture, CodecSize
from k4d_world_model.wan.codec import Codec, PixelCodec
from k4d_world_model.wan.encoding import Encoded, encode_pair
from k4d_world_model.wan.inputs import Inputs
from k4d_world_model.wan.prior import over_background, robot_in_front
from k4d_world_model.wan.robot_shade import SHADE_PX

# Pixels a side of the motion head's cells: what moves and lights is smooth, what was hidden is not.
COARSE_PX = SHADE_PX
# Furthest that a pixel's content may come from, as a part of half the picture.
FURTHEST = 0.35
# Logarithm of the strongest change of light.
STRONGEST = 1.2


def head_channels(architecture: Architecture) -> int:
    """Channels of the transformer's output, per latent cell of one half."""
    codec = architecture.codec
    if architecture.head != "motion":
        return codec.latent_channels
    return 3 * codec.spatial**2 + 4 * codec.temporal * (codec.spatial // COARSE_PX) ** 2


def clean_latents(
    output: Tensor, noisy: Tensor, sigma: Tensor, encoded: Encoded, architecture: Architecture, codec: Codec
) -> Tensor:
    """The noise-free latents (b, c, t, h, 2 w) that an output (b, channels, t, h, 2 w) stands for.

    ``noisy`` (b, c, t, h, 2 w) and ``sigma`` (b,) are what the transformer was shown.
    """
    if architecture.head == "velocity":
        return noisy - sigma.view(-1, 1, 1, 1, 1) * output
    assert encoded.prior is not None
    if architecture.head == "residual":
        return encoded.prior + output
    assert isinstance(codec, PixelCodec)
    rgb, points = moved_pictures(output, encoded.inputs, codec.size)
    return encode_pair(rgb, points, architecture, codec)


class Motion(NamedTuple):
    """What the motion head changes, on frames 1 to T - 1.

    fill_rgb (b, 3, 1, H, W), fill_depth (b, 1, 1, H, W): added to what was filled behind the robot.
    light_rgb: (b, 3, T - 1, H, W) logarithm of what all colours from black up are multiplied by: shadows come and go.
    shade: (b, 1, T - 1, H, W) the same for everything but the robot, of its own shadows; 0 where these are not told.
    shift_depth: (b, 1, T - 1, H, W) added to the depths of what moves, the robot's too; what stands still is known.
    flow: (b, 2, T - 1, H, W) where a pixel's content comes from, as a part of half the picture.
    gate: (b, 1, T - 1, H, W) in (0, 1): how much of the moved content is shown.
    """

    fill_rgb: Tensor
    fill_depth: Tensor
    light_rgb: Tensor
    shade: Tensor
    shift_depth: Tensor
    flow: Tensor
    gate: Tensor


def moved_pictures(output: Tensor, inputs: Inputs, size: CodecSize) -> tuple[Tensor, Tensor]:
    """Pictures and points (b, 3, T, H, W): background filled, objects moved, robot over it, light changed.

    Points stay on their pixels' rays. Frame 0 is the known first frame. The robot's own points start at the prior's and
    are predicted like all others.
    """
    motion = read_motion(output, size)
    hole = inputs.hole[:, :, None]
    still = inputs.background_rgb[:, :, None] + hole * motion.fill_rgb
    depth = inputs.background_points[:, 2:, None] + hole * motion.fill_depth
    moved = _moved(torch.cat([still, depth], dim=1)[:, :, 0], motion.flow)  # (b, 4, T - 1, H, W)
    rgb = torch.lerp(still.expand_as(moved[:, :3]), moved[:, :3], motion.gate)
    rgb = (rgb + 1.0) * torch.exp(motion.shade) - 1.0
    depth = torch.lerp(depth.expand_as(moved[:, 3:]), moved[:, 3:] + motion.shift_depth, motion.gate)
    later = inputs._replace(
        robot_rgb=inputs.robot_rgb[:, :, 1:],
        robot_points=inputs.robot_points[:, :, 1:],
        robot_mask=inputs.robot_mask[:, 1:],
    )
    scene = inputs.on_rays(depth)
    rgb, points = over_background(later, rgb, scene)
    points = inputs.on_rays(points[:, 2:] + robot_in_front(later, scene) * motion.shift_depth)
    first = (inputs.first_rgb[:, :, None], inputs.first_points[:, :, None])
    lit = (rgb + 1.0) * torch.exp(motion.light_rgb) - 1.0
    return torch.cat([first[0], lit], dim=2), torch.cat([first[1], points], dim=2)


def read_motion(output: Tensor, size: CodecSize) -> Motion:
    """The motion in an output (b, channels, t, h, 2 w) of the transformer, with the robot's shade behind its own."""
    fine = 3 * size.spatial**2
    left, right = output.float().chunk(2, dim=-1)
    s, coarse = size.spatial, size.spatial // COARSE_PX
    fills = [rearrange(half[:, :fine, :1], "b (c i j) t h w -> b c t (h i) (w j)", i=s, j=s) for half in (left, right)]
    picture, geometry = (
        rearrange(half[:, fine:, 1:], "b (c k i j) t h w -> b c (t k) (h i) (w j)", k=size.temporal, i=coarse, j=coarse)
        for half in (left, right)
    )
    picture, geometry = (_enlarged(cells) for cells in (picture, geometry))
    return Motion(
        fill_rgb=fills[0],
        fill_depth=fills[1][:, :1],
        light_rgb=STRONGEST * torch.tanh(picture[:, :3]),
        shade=picture[:, 4:5] if picture.shape[1] > 4 else torch.zeros_like(picture[:, :1]),
        shift_depth=geometry[:, :1],
        flow=FURTHEST * torch.tanh(geometry[:, 1:3]),
        gate=torch.sigmoid(picture[:, 3:4] + geometry[:, 3:4] - 3.0) ** 2,
    )


def _enlarged(cells: Tensor) -> Tensor:
    """Cells (b, c, t, h, w) at COARSE_PX times the size, bilinearly."""
    b = len(cells)
    frames = rearrange(cells, "b c t h w -> (b t) c h w")
    frames = functional.interpolate(frames, scale_factor=COARSE_PX, mode="bilinear", align_corners=False)
    return rearrange(frames, "(b t) c h w -> b c t h w", b=b)


def _moved(still: Tensor, flow: Tensor) -> Tensor:
    """The still (b, c, H, W) as seen through a flow (b, 2, t, H, W): (b, c, t, H, W)."""
    batch, _, frames, height, width = flow.shape
    identity = torch.eye(2, 3, dtype=still.dtype, device=still.device).expand(batch * frames, 2, 3)
    grid = functional.affine_grid(identity, [batch * frames, 1, height, width], align_corners=False)
    grid = grid + rearrange(flow, "b xy t h w -> (b t) h w xy")
    many = repeat(still, "b c h w -> (b t) c h w", t=frames)
    moved = functional.grid_sample(many, grid, padding_mode="border", align_corners=False)
    return rearrange(moved, "(b t) c h w -> b c t h w", t=frames)
