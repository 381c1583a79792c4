"""Light that the robot takes away: told from the first picture where it comes from, then followed through the clip."""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from k4d_world_model.wan.inputs import Inputs

# Pixels a side of the cells in which shadows are told.
SHADE_PX = 2

_EVIDENCE, _INNER = 5, 32
# Makes the strength of light, a logarithm of about 0.7, reachable in few steps of a small learning rate.
_STRENGTH = 5.0


class Lighting(NamedTuple):
    """What tells the light of b clips, in cells of SHADE_PX pixels.

    shadows: (b, K, T, h, w) 0 or 1, as in ``Inputs``. brightness: (b, 1, h, w) logarithm of the first picture's.
    known: (b, 1, h, w) 1 where that shows the scene, 0 where the robot hides it.
    """

    shadows: Tensor
    brightness: Tensor
    known: Tensor


def lighting_of(inputs: Inputs) -> Lighting:
    """The lighting that inputs tell."""
    picture = functional.avg_pool2d(inputs.first_rgb, SHADE_PX).mean(dim=1, keepdim=True)
    robot = inputs.robot_mask[:, :1].to(inputs.hole.dtype)
    hidden = functional.max_pool2d(torch.maximum(inputs.hole, robot), SHADE_PX)
    return Lighting(inputs.shadows.float(), torch.log(0.45 * (picture + 1.0) + 0.05), 1.0 - hidden)


class RobotShade(nn.Module):
    """The logarithm of how much brighter each place is than in the first frame, by where the robot's shadows fall.

    Light is a weighted sum over the directions of ``Inputs.shadows``. Their weights come from how much darker the first
    picture is in each direction's shadow, by convolutions over the grid of directions; a new one changes nothing.
    """

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid
        last = nn.Conv2d(_INNER, 2, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.layers = nn.Sequential(
            nn.Conv2d(_EVIDENCE, _INNER, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(_INNER, _INNER, 3, padding=1),
            nn.SiLU(),
            last,
        )

    def forward(self, lighting: Lighting) -> Tensor:
        """(b, 1, T - 1, h, w) of the frames after the first."""
        weights = self.weights(lighting)
        shade = torch.einsum("bk,bkthw->bthw", weights, lighting.shadows)
        return (shade[:, :1] - shade[:, 1:])[:, None]

    def weights(self, lighting: Lighting) -> Tensor:
        """How much light (b, K) comes from each direction: logarithm of what its shadow takes away."""
        evidence = rearrange(_evidence(lighting), "b c (x y) -> b c x y", x=self.grid)
        logits, strengths = self.layers(evidence).flatten(2).unbind(dim=1)  # (b, K)
        share = logits.softmax(dim=-1)
        weights: Tensor = share * (_STRENGTH * (share * strengths).sum(dim=-1, keepdim=True))
        return weights


def shade_parameters(grid: int) -> int:
    """How many numbers a ``RobotShade`` of this grid holds; 0 stands for none."""
    return sum(9 * a * b + b for a, b in ((_EVIDENCE, _INNER), (_INNER, _INNER), (_INNER, 2))) if grid else 0


def _evidence(lighting: Lighting) -> Tensor:
    """(b, _EVIDENCE, K) of the first frame, for each direction's shadow.

    Its brightness against that of all other directions' shadows, how well its edges fall on edges of the picture, its
    size, the size of all, and the spread of brightness within all of them.
    """
    shaded, brightness, known = lighting.shadows[:, :, 0], lighting.brightness, lighting.known
    inside, anywhere = shaded * known, shaded.amax(dim=1, keepdim=True) * known
    dark = _mean(brightness, inside) - _mean(brightness, anywhere - inside)
    edges, lengths = torch.zeros_like(dark), torch.ones_like(dark)
    for dim in (-2, -1):
        sure = torch.minimum(known.narrow(dim, 1, known.shape[dim] - 1), known.narrow(dim, 0, known.shape[dim] - 1))
        step = shaded.diff(dim=dim) * sure
        edges = edges + (step * brightness.diff(dim=dim)).sum(dim=(-2, -1))
        lengths = lengths + step.abs().sum(dim=(-2, -1))
    sizes = inside.mean(dim=(-2, -1)), anywhere.mean(dim=(-2, -1)).expand_as(dark)
    middle = _mean(brightness, anywhere)[..., None, None]
    spread = _mean((brightness - middle) ** 2, anywhere).sqrt().expand_as(dark)
    return torch.stack([dark, edges / lengths, 10.0 * sizes[0], 10.0 * sizes[1], spread], dim=1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted means (b, k) of values (b, 1, h, w), 0 where nothing weighs."""
    return (weights * values).sum(dim=(-2, -1)) / weights.sum(dim=(-2, -1)).clamp(min=1.0)
