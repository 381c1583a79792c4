"""Low-rank changes of a transformer's weights, from files in the formats that Wan's come in."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers.loaders import WanLoraLoaderMixin
from torch import Tensor, nn

from k4d_world_model.errors import CheckpointError
from k4d_world_model.wan.weights import read_tensors, stored_tensors

# A parameter W becomes W + scale * B @ A, or W + scale * b for a bias.
_WEIGHT = (".lora_B.weight", ".lora_A.weight")
_BIAS = ".lora_B.bias"


class Lora(NamedTuple):
    """A LoRA file and how strongly it is added."""

    path: Path
    scale: float


class _Change(NamedTuple):
    scale: float
    factors: tuple[Tensor, ...]


class Loras:
    """Everything that several LoRA files add to a module's weights.

    Raises CheckpointError, which lists them all, for names that the module does not have and factors that do not fit.
    What a file changes in Wan's text projection is left out, since this model reads no text.
    """

    def __init__(self, loras: Sequence[Lora], module: nn.Module) -> None:
        self._changes: dict[str, list[_Change]] = {}
        shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
        for lora in loras:
            factors = read_lora(lora.path)
            wrong = [name for name, parts in factors.items() if not _fits(parts, shapes.get(name))]
            if wrong:
                raise CheckpointError(
                    f"{lora.path} changes weights that the model does not have so: {', '.join(wrong)}"
                )
            for name, parts in factors.items():
                self._changes.setdefault(name, []).append(_Change(lora.scale, parts))

    def change(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor of that name with what the files add to it, in float32; others unchanged."""
        for scale, factors in self._changes.get(name, ()):
            first, *others = (factor.to(tensor.device, torch.float32) for factor in factors)
            tensor = tensor.float() + scale * (first @ others[0] if others else first)
        return tensor


def read_lora(path: Path) -> dict[str, tuple[Tensor, ...]]:
    """The factors (B, A) or (b,) of each parameter that a file changes. Raises CheckpointError for other files."""
    raw = dict(read_tensors(stored_tensors([path]), torch.device("cpu")))
    try:
        tensors = WanLoraLoaderMixin.lora_state_dict(raw)
    except (ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path} is no LoRA of a Wan transformer: {error}") from error
    named = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    named = {name: t for name, t in named.items() if not name.startswith("condition_embedder.text_embedder.linear_")}
    factors: dict[str, tuple[Tensor, ...]] = {}
    for name in list(named):
        if name.endswith(_BIAS):
            factors[name.removesuffix(_BIAS) + ".bias"] = (named.pop(name),)
        elif name.endswith(_WEIGHT[0]) and (down := name.removesuffix(_WEIGHT[0]) + _WEIGHT[1]) in named:
            factors[name.removesuffix(_WEIGHT[0]) + ".weight"] = (named.pop(name), named.pop(down))
    if named or not factors:
        left = ", ".join(sorted(named)) or "nothing"
        raise CheckpointError(f"{path} must hold pairs of lora_A and lora_B, got besides or instead: {left}")
    return factors


def _fits(factors: tuple[Tensor, ...], shape: torch.Size | None) -> bool:
    if len(factors) == 1:
        return factors[0].shape == shape
    up, down = factors
    return up.ndim == down.ndim == 2 and up.shape[1] == down.shape[0] and (up.shape[0], down.shape[1]) == shape
