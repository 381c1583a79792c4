"""A diffusion policy on disk: what its numbers mean, and its weights as safetensors."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from k4d_kinematics.configuration import from_mapping
from k4d_kinematics.errors import ConfigurationError
from k4d_world_model.errors import CheckpointError
from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.network import PolicyNetwork
from k4d_world_model.wan.weights import build_empty, load_into, read_json, stored_tensors, weight_files

ARCHITECTURE, WEIGHTS = "architecture.json", "policy"


def save_policy(folder: Path, network: PolicyNetwork, metadata: Mapping[str, str]) -> None:
    """Writes what ``load_policy`` reads, weights as float16; each file appears whole or not at all.

    ``metadata`` goes into the weights' file. Raises CheckpointError when weights are not finite in float16.
    """
    state = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"weights must be finite in float16, which {', '.join(broken)} are not")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{ARCHITECTURE}.partial"
    partial.write_text(json.dumps(asdict(network.architecture), indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / ARCHITECTURE)
    partial = folder / f".{WEIGHTS}.partial"
    save_file(state, partial, dict(metadata))
    os.replace(partial, folder / f"{WEIGHTS}.safetensors")


def checkpoint_sha256(folder: Path) -> str:
    """Of all files that ``save_policy`` writes."""
    digest = hashlib.sha256()
    for name in (ARCHITECTURE, f"{WEIGHTS}.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def load_policy(folder: Path, device: torch.device | str = "cpu") -> PolicyNetwork:
    """The network that ``save_policy`` wrote, in float32 and ready to predict.

    Raises CheckpointError when anything is missing, damaged, of another architecture or outside of ``folder``.
    """
    described_by = folder / ARCHITECTURE
    try:
        architecture = from_mapping(read_json(folder, ARCHITECTURE), PolicyArchitecture)
    except (ConfigurationError, ValueError) as error:
        raise CheckpointError(f"{described_by}: {error}") from error
    network = build_empty(lambda: PolicyNetwork(architecture), described_by)
    stored = stored_tensors(weight_files(folder, WEIGHTS))
    load_into(network, stored, device=torch.device(device), dtype=torch.float32)
    return network.eval().requires_grad_(False)
