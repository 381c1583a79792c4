"""The network of a diffusion policy: points that it finds in a picture, and a chunk of goals freed from noise.

Source: Chi et al., Diffusion Policy (RSS 2023), with a keypoint encoder whose keypoints are means of measured points.
"""

from typing import NamedTuple

import torch
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange, reduce
from torch import Tensor, nn

from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.tool_goals import TOOL_NUMBERS

# Colour, point, whether it is in the workspace, and for object and target: the difference from its colour, that squared
# and summed, and the cosine of the angle to it, which light and shade change least.
_PIXEL_NUMBERS = 7 + 2 * 5
_TIME_NUMBERS = 64


class SeenBatch(NamedTuple):
    """What a policy is told, b times.

    rgb: (b, 3, h, w) in [0, 1], of the architecture's rows and columns. points: (b, 3, h, w) metres in the base frame,
        NaN where nothing is.
    colours: (b, 2, 3) of object and target in [0, 1]. verb: (b,) int64. state: (b, TOOL_NUMBERS).
    """

    rgb: Tensor
    points: Tensor
    colours: Tensor
    verb: Tensor
    state: Tensor


class PolicyNetwork(nn.Module):
    """Goals without noise, from noisy ones and from what is seen."""

    def __init__(self, architecture: PolicyArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        pixels, grid, cell = architecture.pixel_channels, architecture.grid_channels, architecture.cell
        verbs, keypoints = len(architecture.verbs), architecture.keypoints
        self.look = nn.Sequential(
            nn.Conv2d(_PIXEL_NUMBERS, pixels, 1), nn.ReLU(), nn.Conv2d(pixels, pixels, 1), nn.ReLU()
        )
        self.gather = nn.Conv2d(pixels, grid, cell, stride=cell)
        self.told = nn.Linear(verbs + TOOL_NUMBERS, grid)
        self.around = nn.ModuleList(
            nn.Conv2d(grid, grid, 3, padding=2**k, dilation=2**k) for k in range(architecture.grid_layers)
        )
        self.attend_cells = nn.Conv2d(grid, keypoints * cell * cell, 1)
        self.attend_pixels = nn.Conv2d(pixels, keypoints, 1)
        width = architecture.width_of_denoiser
        self.seen = nn.Linear(3 * keypoints + grid + verbs + TOOL_NUMBERS, width)
        self.noisy = nn.Linear(architecture.horizon * TOOL_NUMBERS, width)
        self.level = nn.Linear(_TIME_NUMBERS, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(architecture.blocks))
        self.goals = nn.Linear(width, architecture.horizon * TOOL_NUMBERS)

    def encode(self, batch: SeenBatch) -> tuple[Tensor, Tensor]:
        """What is seen (b, width), and the keypoints (b, k, 3), normalised as positions of goals are."""
        a = self.architecture
        points, inside = self._workspace(batch.points)
        pixels = self.look(self._pixel_numbers(batch, points, inside))
        told = torch.cat([nn.functional.one_hot(batch.verb, len(a.verbs)).to(batch.rgb), batch.state], dim=-1)
        grid = torch.relu(self.gather(pixels) + self.told(told)[..., None, None])
        for layer in self.around:
            grid = grid + torch.relu(layer(grid))
        logits = nn.functional.pixel_shuffle(self.attend_cells(grid), a.cell) + self.attend_pixels(pixels)
        # A bounded penalty keeps the softmax defined where the picture shows nothing of the workspace.
        logits = torch.where(inside, logits, -30.0)
        attention = torch.softmax(rearrange(logits, "b k h w -> b k (h w)"), dim=-1)
        keypoints = attention @ rearrange(points, "b c h w -> b (h w) c")  # (b, k, 3)
        summary = reduce(grid, "b c h w -> b c", "max")
        seen: Tensor = self.seen(torch.cat([rearrange(keypoints, "b k c -> b (k c)"), summary, told], dim=-1))
        return seen, keypoints

    def denoise(self, noisy: Tensor, level: Tensor, seen: Tensor) -> Tensor:
        """Goals (b, horizon, TOOL_NUMBERS) without noise, of noisy ones at noise levels (b,)."""
        x = self.noisy(rearrange(noisy, "b t n -> b (t n)")) + seen
        condition = seen + self.level(get_timestep_embedding(level, _TIME_NUMBERS))
        for block in self.blocks:
            x = block(x, condition)
        goals: Tensor = rearrange(self.goals(torch.relu(x)), "b (t n) -> b t n", n=TOOL_NUMBERS)
        return goals

    def normalised(self, points: Tensor) -> Tensor:
        """Points (..., 3) in metres, normalised as positions of goals are."""
        return (points - points.new_tensor(self.architecture.centre)) / self.architecture.scale

    def _workspace(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised points (b, 3, h, w), 0 outside of the workspace, and whether they are inside (b, 1, h, w)."""
        low, high = (points.new_tensor(side)[:, None, None] for side in zip(*self.architecture.workspace, strict=True))
        inside = ((points >= low) & (points <= high)).all(dim=1, keepdim=True)
        normalised = rearrange(self.normalised(rearrange(points, "b c h w -> b h w c")), "b h w c -> b c h w")
        return torch.where(inside, normalised, 0.0), inside

    @staticmethod
    def _pixel_numbers(batch: SeenBatch, points: Tensor, inside: Tensor) -> Tensor:
        numbers = [batch.rgb - 0.5, points / 3.0, inside.to(batch.rgb)]
        for colour in batch.colours.unbind(dim=1):
            difference = batch.rgb - colour[..., None, None]
            alike = torch.cosine_similarity(batch.rgb, colour[..., None, None].expand_as(batch.rgb), dim=1)
            numbers += [difference, difference.square().sum(dim=1, keepdim=True), 4.0 * alike[:, None] - 3.0]
        return torch.cat(numbers, dim=1)


class _Block(nn.Module):
    """A residual layer that a condition scales and shifts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulate = nn.Linear(width, 2 * width)
        self.into, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(torch.relu(condition)).chunk(2, dim=-1)
        change: Tensor = self.out(torch.relu(self.into(self.norm(x) * (1.0 + scale) + shift)))
        return x + change
