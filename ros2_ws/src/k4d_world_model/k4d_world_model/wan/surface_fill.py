"""What was behind the robot: which of the surfaces around it goes on there."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from k4d_world_model.wan.inputs import Inputs

_SIDES, _INNER = 4, 24
_FEATURES = 2 * _SIDES + 7
# Makes differences of normalised depths, of which 0.02 is about a centimetre, and pixels, numbers around 1.
_PER_DEPTH, _PER_PIXEL = 20.0, 0.1
# Where learning starts: sides as near to each other as this count as one surface, and that beats the fill.
_SAME, _AGREEMENT, _FILL = 0.03, 6.0, 4.0


class Surfaces(NamedTuple):
    """Depths and distances of ``Inputs.sides`` (b, 4, H, W) each, the filled depth and the hole (b, 1, H, W)."""

    depths: Tensor
    distances: Tensor
    filled: Tensor
    hole: Tensor


def surfaces_of(inputs: Inputs) -> Surfaces:
    """The surfaces that inputs tell."""
    depths, distances = inputs.sides.chunk(2, dim=1)
    return Surfaces(depths, distances, inputs.background_points[:, 2:], inputs.hole)


class SurfaceFill(nn.Module):
    """Which surface is seen in every pixel of the hole: that of a side, or none of them, which leaves the fill.

    A new one takes what two sides agree on.
    """

    def __init__(self) -> None:
        super().__init__()
        last = nn.Conv2d(_INNER, _SIDES + 1, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.layers = nn.Sequential(
            nn.Conv2d(_FEATURES, _INNER, 1),
            nn.SiLU(),
            nn.Conv2d(_INNER, _INNER, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(_INNER, _INNER, 3, padding=1),
            nn.SiLU(),
            last,
        )

    def forward(self, surfaces: Surfaces) -> Tensor:
        """What is added (b, 1, H, W) to the filled depth."""
        away = surfaces.depths - surfaces.filled
        is_there = surfaces.distances > 0
        learnt = self.layers(_features(surfaces, away))
        sides = learnt[:, :_SIDES] + _AGREEMENT * _agreement(away, is_there)
        logits = torch.cat([sides.masked_fill(~is_there, -torch.inf), learnt[:, _SIDES:] + _FILL], dim=1)
        shares = logits.softmax(dim=1)[:, :_SIDES]
        return (shares * away).sum(dim=1, keepdim=True) * surfaces.hole


def fill_parameters() -> int:
    """How many numbers a ``SurfaceFill`` holds."""
    return sum(
        k * a * b + b
        for k, a, b in ((1, _FEATURES, _INNER), (9, _INNER, _INNER), (9, _INNER, _INNER), (1, _INNER, _SIDES + 1))
    )


def _agreement(away: Tensor, is_there: Tensor) -> Tensor:
    """How many other sides (b, 4, H, W) have the same depth, softly."""
    apart = (away[:, :, None] - away[:, None]) / _SAME  # (b, 4, 4, H, W)
    return (torch.exp(-(apart**2)) * is_there[:, None]).sum(dim=2) - is_there.to(away.dtype)


def _features(surfaces: Surfaces, away: Tensor) -> Tensor:
    """(b, _FEATURES, H, W): how far each side is from the fill and the pixel from the side, and sides from another."""
    pairs = [(i, j) for i in range(_SIDES) for j in range(i + 1, _SIDES)]
    apart = torch.stack([(away[:, i] - away[:, j]).abs() for i, j in pairs], dim=1)
    differences = torch.tanh(_PER_DEPTH * torch.cat([away, apart], dim=1))
    return torch.cat([differences, _PER_PIXEL * surfaces.distances, surfaces.hole], dim=1)
