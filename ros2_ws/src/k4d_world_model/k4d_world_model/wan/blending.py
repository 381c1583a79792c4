"""The head "blend": changes of the prior's pixels, made of these and of what is told of the robot there."""

import torch
from einops import rearrange
from torch import Tensor

from k4d_world_model.wan.architecture import MASK_CHANNELS, CodecSize

# Colours or coordinates of a pixel; with its share, what a pixel's values give linearly.
_COLOURS, _GIVEN = 3, 4
# Maps of a cell: of the prior's values and of the robot's.
_MAPS = 2


def blend_channels(size: CodecSize) -> int:
    """Channels of the transformer's output, per cell of one half."""
    return _GIVEN * size.latent_channels // _COLOURS + _MAPS * _GIVEN * _COLOURS


def blended(prior: Tensor, robot: Tensor, output: Tensor) -> Tensor:
    """Latents ``prior + share * change`` (b, 3 n, t, h, 2 w) for cells of n pixels in space and time.

    ``robot`` are its mask and latents (b, 4 + 3 n, t, h, 2 w); of another shape where no pixel is told any. ``output``
    (b, 4 n + 24, t, h, 2 w) holds change and share of every pixel, the latter before a sigmoid, and for each cell two
    linear maps, of the pixel's values in ``prior`` and in ``robot``, whose results are added to both. So a cell may say
    "where a robot is told", and a pixel does it. At an output of 0 nothing changes.
    """
    channels = output.shape[1] - _MAPS * _GIVEN * _COLOURS
    given = rearrange(output[:, :channels], "b (g n) ... -> b g n ...", g=_GIVEN)
    maps = rearrange(output[:, channels:], "b (m g c) ... -> m b g c ...", m=_MAPS, g=_GIVEN, c=_COLOURS)
    given = given + _mapped(maps[0], prior)
    if robot.shape[2:] == prior.shape[2:]:
        given = given + _mapped(maps[1], robot[:, MASK_CHANNELS:])
    change, share = given[:, :_COLOURS], torch.sigmoid(given[:, _COLOURS:])
    return prior + rearrange(share * change, "b c n ... -> b (c n) ...")


def _mapped(map_: Tensor, latents: Tensor) -> Tensor:
    """(b, 4, n, t, h, w): a linear map (b, 4, 3, t, h, w) of every pixel's values in latents (b, 3 n, t, h, w)."""
    pixels = rearrange(latents, "b (c n) ... -> b c n ...", c=_COLOURS)
    return sum(map_[:, :, k, None] * pixels[:, None, k] for k in range(_COLOURS))  # type: ignore[return-value]
