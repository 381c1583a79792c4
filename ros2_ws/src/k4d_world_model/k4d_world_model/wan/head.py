"""What the transformer's output says the noise-free latents are."""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from k4d_world_model.wan.architecture import Architecture, CodecSize
from k4d_world_model.wan.blending import blend_channels, blended
from k4d_world_model.wan.codec import Codec, PixelCodec
from k4d_world_model.wan.encoding import Encoded, encode_pair
from k4d_world_model.wan.inputs import Inputs
from k4d_world_model.wan.object_motion import left_places, moved_layers, over_scene
from k4d_world_model.wan.prior import over_background, robot_in_front
from k4d_world_model.wan.robot_shade import SHADE_PX

# Pixels a side of the motion head's cells: light is smooth, what was hidden is not.
COARSE_PX = SHADE_PX
# Coarse fields of each half: three of light, or a shift of depths and two that nothing reads.
_FIELDS = 3
# Makes a normalised depth of an output: kinematics know the robot's to a fraction of a millimetre.
_SHIFT = 0.2
# Logarithm of the strongest change of light.
STRONGEST = 1.2


def head_channels(architecture: Architecture) -> int:
    """Channels of the transformer's output, per latent cell of one half."""
    codec = architecture.codec
    if architecture.head == "blend":
        return blend_channels(codec)
    if architecture.head != "motion":
        return codec.latent_channels
    return 3 * codec.spatial**2 + _FIELDS * _field(codec)


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
    if architecture.head == "blend":
        return blended(encoded.prior, encoded.robot, output)
    assert isinstance(codec, PixelCodec)
    rgb, points = moved_pictures(output, encoded.inputs, codec.size)
    return encode_pair(rgb, points, architecture, codec)


class Motion(NamedTuple):
    """What the motion head changes, on frames 1 to T - 1.

    fill_rgb (b, 3, 1, H, W), fill_depth (b, 1, 1, H, W): added to what was filled behind the robot and what moves.
    light_rgb: (b, 3, T - 1, H, W) logarithm of what all colours from black up are multiplied by: shadows come and go.
    shade: (b, 1, T - 1, H, W) the same for everything but the robot, of its own shadows; 0 where these are not told.
    shift_depth: (b, 1, T - 1, H, W) added to the robot's depths; what stands still is known.
    belief: (b, N, T - 1) in (0, 1): how far each of the inputs' N movers does what contact tells.
    """

    fill_rgb: Tensor
    fill_depth: Tensor
    light_rgb: Tensor
    shade: Tensor
    shift_depth: Tensor
    belief: Tensor


def moved_pictures(output: Tensor, inputs: Inputs, size: CodecSize) -> tuple[Tensor, Tensor]:
    """Pictures and points (b, 3, T, H, W): background filled, things moved, robot over it, light changed.

    Points stay on their pixels' rays. Frame 0 is the known first frame. The robot's own points start at the prior's and
    are predicted like all others.
    """
    motion = read_motion(output, inputs, size)
    rgb, depth = _still_scene(inputs, motion)
    if motion.belief.shape[1]:
        rgb, depth = _with_movers(rgb, depth, inputs, motion)
    rgb = (rgb + 1.0) * torch.exp(motion.shade) - 1.0
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


def read_motion(output: Tensor, inputs: Inputs, size: CodecSize) -> Motion:
    """The motion in an output (b, channels, t, h, 2 w) of the transformer.

    Behind the head's own channels are the robot's shade, where the inputs tell shadows, and the belief in each mover.
    """
    s, fine, field = size.spatial, 3 * size.spatial**2, _field(size)
    movers, fields = inputs.mover_path.shape[1], _FIELDS + bool(inputs.shadows.shape[1])
    left, right = output.float().chunk(2, dim=-1)
    fills = [rearrange(half[:, :fine, :1], "b (c i j) t h w -> b c t (h i) (w j)", i=s, j=s) for half in (left, right)]
    picture = _enlarged(left[:, fine : fine + fields * field, 1:], size)
    geometry = _enlarged(right[:, fine : fine + field, 1:], size)
    belief = left[:, fine + fields * field :, 1:, 0, 0]
    return Motion(
        fill_rgb=fills[0],
        fill_depth=fills[1][:, :1],
        light_rgb=STRONGEST * torch.tanh(picture[:, :_FIELDS]),
        shade=picture[:, _FIELDS:] if fields > _FIELDS else torch.zeros_like(picture[:, :1]),
        shift_depth=_SHIFT * geometry,
        belief=rearrange(belief, "b (n k) t -> b n (t k)", n=movers, k=size.temporal) if movers else belief[:, :0],
    )


def _still_scene(inputs: Inputs, motion: Motion) -> tuple[Tensor, Tensor]:
    """Picture (b, 3, 1, H, W) and depth (b, 1, 1, H, W) of the first frame with the robot taken out."""
    hole = inputs.hole[:, :, None] > 0
    behind = inputs.behind_rgb[:, :, None] + motion.fill_rgb
    depth = inputs.behind_points[:, 2:, None] + motion.fill_depth
    first = inputs.first_points[:, 2:, None]
    return torch.where(hole, behind, inputs.first_rgb[:, :, None]), torch.where(hole, depth, first)


def _with_movers(rgb: Tensor, depth: Tensor, inputs: Inputs, motion: Motion) -> tuple[Tensor, Tensor]:
    """Pictures (b, 3, T - 1, H, W) and depths (b, 1, T - 1, H, W) in which things have left their places for others."""
    layers = moved_layers(inputs)
    empty = left_places(layers, motion.belief) * inputs.uncovered[:, :, None]
    rgb = torch.lerp(rgb, inputs.behind_rgb[:, :, None] + motion.fill_rgb, empty)
    depth = torch.lerp(depth, inputs.behind_points[:, 2:, None] + motion.fill_depth, empty)
    return over_scene(rgb, depth, layers, motion.belief, inputs)


def _field(size: CodecSize) -> int:
    """Channels that hold one coarse field."""
    return size.temporal * (size.spatial // COARSE_PX) ** 2


def _enlarged(channels: Tensor, size: CodecSize) -> Tensor:
    """The coarse fields (b, c, T - 1, H, W) in channels (b, c * field, t, h, w), enlarged bilinearly."""
    b, side = len(channels), size.spatial // COARSE_PX
    cells = rearrange(channels, "b (c k i j) t h w -> (b t k) c (h i) (w j)", k=size.temporal, i=side, j=side)
    frames = functional.interpolate(cells, scale_factor=COARSE_PX, mode="bilinear", align_corners=False)
    return rearrange(frames, "(b t) c h w -> b c t h w", b=b)
