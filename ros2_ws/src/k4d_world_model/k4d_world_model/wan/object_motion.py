"""Things that the robot moves: how far contact alone is to be believed, and what is seen of them on their way."""

from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional

from k4d_world_model.movers import EVIDENCE, LEAST_WAY
from k4d_world_model.wan.inputs import Inputs

_INNER, _FRAMES = 16, 5
# Where learning starts: the logit of following contact.
_TRUST = 3.0
# Metres by which a thing may be behind what it stands on and still be seen.
_THIN = 0.01


class Layers(NamedTuple):
    """N things on their way over T - 1 frames, those after the first.

    share: (b, N, T - 1, H, W) how much of each pixel shows the thing; left: (b, N, T - 1, H, W) bool, where it was and
    is gone. rgb: (b, N, 3, T - 1, H, W); depth: (b, N, T - 1, H, W) normalised; both 0 where nothing shows.
    """

    share: Tensor
    left: Tensor
    rgb: Tensor
    depth: Tensor


class ObjectMotion(nn.Module):
    """How much to believe in every frame that a thing moved as contact tells, by what is known of it and its way.

    A new one believes nearly all.
    """

    def __init__(self) -> None:
        super().__init__()
        last = nn.Conv1d(_INNER, 1, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.layers = nn.Sequential(
            nn.Conv1d(EVIDENCE, _INNER, _FRAMES, padding="same"),
            nn.SiLU(),
            nn.Conv1d(_INNER, _INNER, _FRAMES, padding="same"),
            nn.SiLU(),
            last,
        )

    def forward(self, evidence: Tensor) -> Tensor:
        """Belief (b, N, T - 1) in (0, 1) for evidence (b, N, T, EVIDENCE)."""
        rows = rearrange(evidence, "b n t e -> (b n) e t")
        belief = torch.sigmoid(self.layers(rows) + _TRUST)
        return rearrange(belief, "(b n) 1 t -> b n t", b=len(evidence))[:, :, 1:]


def motion_parameters() -> int:
    """How many numbers an ``ObjectMotion`` holds."""
    return sum(k * a * b + b for k, a, b in ((_FRAMES, EVIDENCE, _INNER), (_FRAMES, _INNER, _INNER), (1, _INNER, 1)))


@torch.no_grad()
def moved_layers(inputs: Inputs) -> Layers:
    """What contact alone shows of the things: their pixels of the first frame, moved and scaled by their distance."""
    pixels, path = inputs.mover_pixels.to(inputs.first_rgb.dtype), inputs.mover_path
    count, frames = path.shape[1], path.shape[2] - 1
    grid = _sources(inputs)  # (b * n, T - 1, H, W, 2)
    scene = torch.cat([inputs.first_rgb, inputs.first_points[:, 2:]], dim=1)
    cut = torch.cat([pixels[:, :, None], pixels[:, :, None] * scene[:, None]], dim=2)  # (b, n, 5, H, W)
    many = repeat(cut, "b n c h w -> (b n t) c h w", t=frames)
    moved = functional.grid_sample(many, grid.flatten(0, 1), align_corners=False)
    moved = rearrange(moved, "(b n t) c h w -> b n c t h w", n=count, t=frames)
    share = moved[:, :, 0]
    content = moved[:, :, 1:] / share.clamp(min=1e-3)[:, :, None]
    nearer = (path[:, :, 1:, 2] - path[:, :, :1, 2]) / inputs.scale[:, 2, None, None]
    has_moved = ((path[:, :, 1:] - path[:, :, :1]).norm(dim=-1) > LEAST_WAY)[..., None, None]
    left = has_moved & (_widened(pixels)[:, :, None] > 0)
    return Layers(share * has_moved, left, content[:, :, :3], content[:, :, 3] + nearer[..., None, None])


def over_scene(rgb: Tensor, depth: Tensor, layers: Layers, belief: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Pictures (b, 3, T - 1, H, W) and depths (b, 1, T - 1, H, W) with things over them, as far as believed."""
    thin = (_THIN / inputs.scale[:, 2])[:, None, None, None]
    for n in range(belief.shape[1]):
        seen = layers.depth[:, n] < depth[:, 0].detach() + thin
        share = (layers.share[:, n] * belief[:, n, :, None, None] * seen)[:, None]
        rgb = torch.lerp(rgb, layers.rgb[:, n], share)
        depth = torch.lerp(depth, layers.depth[:, n, None], share)
    return rgb, depth


def left_places(layers: Layers, belief: Tensor) -> Tensor:
    """How far (b, 1, T - 1, H, W) places show what was behind a thing that has left them."""
    return (layers.left * belief[..., None, None]).amax(dim=1)[:, None]


def _sources(inputs: Inputs) -> Tensor:
    """Where every pixel's content comes from, for grid_sample: (b * n, T - 1, H, W, 2).

    A thing keeps its look; it is as much larger as it is nearer.
    """
    path = inputs.mover_path
    x, y = inputs.rays[:, 0, 0], inputs.rays[:, 1, :, 0]  # (b, W), (b, H): a pinhole's rays
    now, depth = path[:, :, 1:], path[:, :, 1:, 2:].clamp(min=1e-3)
    first = path[:, :, :1] / path[:, :, :1, 2:].clamp(min=1e-3)
    scale = depth / path[:, :, :1, 2:].clamp(min=1e-3)  # (b, n, T - 1, 1)
    middle = now / depth
    axes = []
    for axis, rays in enumerate((x, y)):
        rays = rays[:, None, None]
        source = first[..., axis, None] + (rays - middle[..., axis, None]) * scale
        size = rays.shape[-1]
        step = (rays[..., -1:] - rays[..., :1]) / (size - 1)
        axes.append((2 * (source - rays[..., :1]) / step + 1) / size - 1)  # (b, n, T - 1, W or H)
    pixels = (*axes[0].shape[:-1], axes[1].shape[-1], axes[0].shape[-1])
    grid = torch.stack([axes[0][..., None, :].expand(pixels), axes[1][..., :, None].expand(pixels)], dim=-1)
    return grid.flatten(0, 1)


def _widened(pixels: Tensor) -> Tensor:
    """Pixels (b, n, H, W), one wider: the edges of a thing mix its colours with what is behind."""
    return functional.max_pool2d(pixels, 3, stride=1, padding=1)
