"""What was behind the robot and what moves: which surface of the still scene is seen there."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from k4d_world_model.still_scene import SURFACES
from k4d_world_model.wan.inputs import Inputs

_INNER = 24
_FEATURES = 3 * SURFACES + 1
# Makes differences of normalised depths, of which 0.02 is about a centimetre, numbers around 1.
_PER_DEPTH = 20.0
# Where learning starts: the nearest surface that may be there, or the fill where none may, against all others; and by
# how much surer of it the depth is than what is learnt from, which would stand still where nothing is in doubt.
_CERTAINTY, _SURER = 3.0, 3.0


class Surfaces(NamedTuple):
    """Depths of ``Inputs.surfaces`` and where each may be (b, S, H, W), the filled depth and its place (b, 1, H, W)."""

    depths: Tensor
    reached: Tensor
    filled: Tensor
    hole: Tensor


def surfaces_of(inputs: Inputs) -> Surfaces:
    """The surfaces that inputs tell."""
    depths, reached = inputs.surfaces.chunk(2, dim=1)
    return Surfaces(depths, reached, inputs.behind_points[:, 2:], inputs.uncovered)


class SurfaceFill(nn.Module):
    """Which surface is seen in every pixel of the hole, or none of them, which leaves the fill.

    A new one takes the nearest surface that may be there.
    """

    def __init__(self) -> None:
        super().__init__()
        last = nn.Conv2d(_INNER, SURFACES + 1, 1)
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
        first = _nearest(surfaces)  # (b, S + 1, H, W)
        features = [surfaces.reached, first[:, :SURFACES], torch.tanh(_PER_DEPTH * away), surfaces.hole]
        logits = self.layers(torch.cat(features, dim=1)) + _CERTAINTY * first
        doubtful = logits.softmax(dim=1)
        shares = doubtful + ((_SURER * logits).softmax(dim=1) - doubtful).detach()
        added: Tensor = (shares[:, :SURFACES] * away).sum(dim=1, keepdim=True) * surfaces.hole
        return added


def fill_parameters() -> int:
    """How many numbers a ``SurfaceFill`` holds."""
    return sum(
        k * a * b + b
        for k, a, b in ((1, _FEATURES, _INNER), (9, _INNER, _INNER), (9, _INNER, _INNER), (1, _INNER, SURFACES + 1))
    )


def _nearest(surfaces: Surfaces) -> Tensor:
    """1 for the nearest surface that may be there, or for the fill, the last, where none may: (b, S + 1, H, W)."""
    there = surfaces.reached > 0
    depths = torch.where(there, surfaces.depths, torch.inf)
    nearest = torch.where(there.any(dim=1), depths.argmin(dim=1), SURFACES)
    chosen = torch.zeros_like(torch.cat([depths, surfaces.filled], dim=1))
    return chosen.scatter(1, nearest[:, None], 1.0)
