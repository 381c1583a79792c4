"""The head "blend": a scene that departs from the prior, and over it a layer made of what is told of the robot."""

import torch
from einops import rearrange
from torch import Tensor

from k4d_world_model.wan.architecture import MASK_CHANNELS, CodecSize

# Colours or coordinates of a pixel.
_C = 3
# Numbers of a cell: the map of the prior's values, that of the robot's to layer and share, and the layer's own values.
_MAPS = (_C * _C, (_C + 1) * _C, _C)
# What the sigmoid of the share starts from: most of an untrained prediction is its prior.
_START = -1.0


def blend_channels(size: CodecSize) -> int:
    """Channels of the transformer's output, per cell of one half."""
    return (_C + 1) * size.latent_channels // _C + sum(_MAPS)


def blended(prior: Tensor, robot: Tensor, output: Tensor) -> Tensor:
    """Latents (b, 3 n, t, h, 2 w) for cells of n pixels in space and time: a layer over a scene.

    ``robot`` are its mask and latents (b, 4 + 3 n, t, h, 2 w); of another shape where no pixel is told any. ``output``
    (b, 4 n + 24, t, h, 2 w) holds a change and a share of every pixel and, for each cell, linear maps. The scene is the
    prior, its map and the change. The layer is a map of what is told in the pixel and the cell's own values; it covers
    the scene by the sigmoid of the share and of one more map of what is told. So a cell may say "where a robot is told,
    there is that point, in this colour", and pixels do it.
    """
    pixels = output.shape[1] - sum(_MAPS)
    given = rearrange(output[:, :pixels], "b (g n) ... -> b g n ...", g=_C + 1)
    of_prior, of_robot, own = torch.split(output[:, pixels:], list(_MAPS), dim=1)
    scene = prior + rearrange(given[:, :_C] + _mapped(of_prior, prior), "b c n ... -> b (c n) ...")
    told = torch.zeros_like(given)
    if robot.shape[2:] == prior.shape[2:]:
        told = _mapped(of_robot, robot[:, MASK_CHANNELS:])
    layer = (told[:, :_C] + own[:, :, None]).expand(-1, -1, given.shape[2], -1, -1, -1)
    share = torch.sigmoid(_START + given[:, _C:] + told[:, _C:]).expand(-1, _C, -1, -1, -1, -1)
    layer, share = (rearrange(part, "b c n ... -> b (c n) ...") for part in (layer, share))
    return torch.lerp(scene, layer, share)


def _mapped(map_: Tensor, latents: Tensor) -> Tensor:
    """(b, g, n, t, h, w): linear maps (b, 3 g, t, h, w) of every pixel's values in latents (b, 3 n, t, h, w)."""
    factors = rearrange(map_, "b (g c) ... -> c b g 1 ...", c=_C)
    values = rearrange(latents, "b (c n) ... -> c b 1 n ...", c=_C)
    mapped: Tensor = factors[0] * values[0] + factors[1] * values[1] + factors[2] * values[2]
    return mapped
