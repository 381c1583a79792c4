"""The distance of pictures by the maps that a network makes of them."""

from collections.abc import Sequence

import torch
from torch import Tensor


def of_unit_length(maps: Tensor) -> Tensor:
    """Maps (b, c, h, w) whose channels have length 1 at every place."""
    scaled: Tensor = maps / (maps.norm(dim=1, keepdim=True) + 1e-10)
    return scaled


def distances(predicted: Sequence[Tensor], truth: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """(b,) sums over maps (b, c, h, w) of unit length of the mean of ``|w (p - t)^2|`` over places (Zhang et al. 2018).

    ``weights`` (1, c, 1, 1) or (1,) weigh each map's channels.
    """
    parts = [
        (weight * (ours - theirs) ** 2).sum(dim=1).mean(dim=(1, 2))
        for ours, theirs, weight in zip(predicted, truth, weights, strict=True)
    ]
    return torch.stack(parts).sum(dim=0)
