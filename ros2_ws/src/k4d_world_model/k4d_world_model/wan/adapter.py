"""Training a LoRA on a published base, and keeping it in the published layout."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from k4d_world_model.errors import CheckpointError
from k4d_world_model.wan.lora import read_lora
from k4d_world_model.wan.published import ADDED_WEIGHTS, LORA_SCALE, LORA_WEIGHTS, published_name
from k4d_world_model.wan.transformer import RobotWorldTransformer
from k4d_world_model.wan.weights import file_inside

# What peft calls the LoRA under training.
NAME = "default"


def add_trainable_lora(
    transformer: RobotWorldTransformer,
    *,
    rank: int,
    alpha: float,
    targets: Sequence[str],
    seed: int,
    start: Path | None = None,
) -> None:
    """Adds a LoRA to the linear layers whose names end in ``targets``; it and the added weights alone are trainable.

    Both are float32. Without ``start``, a folder in the published adapter's layout, it changes nothing yet: A is drawn
    from ``seed`` and B is 0. Raises CheckpointError when the LoRA in ``start`` has other layers or another rank.
    """
    with torch.random.fork_rng(devices=[transformer.device] if transformer.device.type == "cuda" else []):
        torch.manual_seed(seed)
        transformer.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets)), adapter_name=NAME)
    if start is not None:
        _fill(transformer, file_inside(start, LORA_WEIGHTS))
    for name, parameter in transformer.named_parameters():
        if ".lora_" in name or published_name(name) is not None:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


def save_adapter(folder: Path, transformer: RobotWorldTransformer, weights: Mapping[str, Tensor] | None = None) -> None:
    """Writes the added weights and the LoRA as float32 in the published layout, which ``load_published`` reads.

    ``weights`` are those of the transformer that train, whole, where it is itself spread over several devices. The LoRA
    is scaled so that it is to be added with LORA_SCALE, whatever its alpha. Raises CheckpointError for a transformer
    without a LoRA.
    """
    state = transformer.state_dict() if weights is None else weights
    added = {theirs: tensor for name, tensor in state.items() if (theirs := published_name(name)) is not None}
    lora = {}
    for name, layer in _layers(transformer).items():
        strength = layer.scaling[NAME] / LORA_SCALE
        lora[f"transformer.{name}.lora_A.weight"] = state[f"{name}.lora_A.{NAME}.weight"]
        lora[f"transformer.{name}.lora_B.weight"] = state[f"{name}.lora_B.{NAME}.weight"] * strength
    if not lora:
        raise CheckpointError("only a transformer with a LoRA has an adapter to save; see add_trainable_lora")
    folder.mkdir(parents=True, exist_ok=True)
    for file, tensors in ((ADDED_WEIGHTS, added), (LORA_WEIGHTS, lora)):
        partial = folder / f".{file}.partial"
        save_file({name: _stored(tensor) for name, tensor in tensors.items()}, partial, metadata={"format": "pt"})
        os.replace(partial, folder / file)


def _fill(transformer: RobotWorldTransformer, path: Path) -> None:
    layers, stored = _layers(transformer), read_lora(path)
    for name, layer in layers.items():
        factors = stored.pop(f"{name}.weight", ())
        mine = (layer.lora_B[NAME].weight, layer.lora_A[NAME].weight)
        if [tuple(part.shape) for part in factors] != [tuple(part.shape) for part in mine]:
            got = [tuple(part.shape) for part in factors]
            raise CheckpointError(f"{path}: {name} must be {[tuple(part.shape) for part in mine]}, got {got}")
        for part, value, factor in zip(mine, factors, (LORA_SCALE / layer.scaling[NAME], 1.0), strict=True):
            part.data.copy_(value.float() * factor)
    if stored:
        raise CheckpointError(f"{path} changes more than the layers {', '.join(layers)}: {', '.join(stored)}")


def _layers(transformer: nn.Module) -> dict[str, LoraLayer]:
    return {name: module for name, module in transformer.named_modules() if isinstance(module, LoraLayer)}


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous().clone()
