"""Weights of a judging network from a file, with the hash that a report names them by."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from k4d_world_model.errors import CheckpointError


@dataclass(frozen=True, eq=False)
class NetworkWeights:
    """Tensors by name, and the sha256 of the file that they come from."""

    tensors: Mapping[str, Tensor]
    sha256: str
    path: Path


def read_weights(path: Path) -> NetworkWeights:
    """The tensors of a state dict in a .safetensors file, or in a file of torch.save that holds nothing but tensors.

    TorchScript (torch.jit.save) and pickled modules are programs: they are refused, never run. Raises CheckpointError
    naming the file.
    """
    try:
        content = path.read_bytes()
        tensors = load_safetensors(content) if path.suffix == ".safetensors" else _state_dict(path)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{path}: cannot be read as a state dict (.safetensors, or torch.save of tensors; TorchScript is a program "
            f"and is not run): {first_line}"
        ) from error
    return NetworkWeights(tensors, hashlib.sha256(content).hexdigest(), path)


def fill(network: nn.Module, weights: NetworkWeights, *, unused: tuple[str, ...] = ()) -> nn.Module:
    """The network, in evaluation mode, with the weights of its names; those that begin with ``unused`` stay aside.

    Raises CheckpointError listing what is missing, unexpected or of another shape.
    """
    kept = {name: tensor for name, tensor in weights.tensors.items() if not name.startswith(unused)}
    expected = network.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - kept.keys() - counters)
    unexpected = sorted(kept.keys() - expected.keys())
    shapes = sorted(
        f"{name} {tuple(kept[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected.keys() & kept.keys()
        if kept[name].shape != expected[name].shape
    )
    if missing or unexpected or shapes:
        raise CheckpointError(
            f"{weights.path} does not fit {type(network).__name__}: missing {missing[:5]}, unexpected "
            f"{unexpected[:5]}, of another shape {shapes[:5]}"
        )
    network.load_state_dict(kept, strict=False)
    return network.requires_grad_(False).eval()


def _state_dict(path: Path) -> dict[str, Tensor]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, Mapping) and set(content) == {"state_dict"}:
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError("it holds something else than named tensors")
    return dict(content)
