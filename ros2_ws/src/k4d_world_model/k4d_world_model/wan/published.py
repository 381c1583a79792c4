"""Loading what Kinema4D published: Wan2.1-I2V as diffusers stores it, the weights added to it, and a LoRA."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor

from k4d_world_model.errors import CheckpointError
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.checkpoint import Parts, empty_transformer, load_encoders
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.lora import Lora, Loras
from k4d_world_model.wan.transformer import build_transformer
from k4d_world_model.wan.weights import (
    Stored,
    file_inside,
    load_into,
    read_json,
    sha256_of,
    stored_tensors,
    weight_files,
)

TRANSFORMER = "transformer"
TRANSFORMER_STEM = "diffusion_pytorch_model"
ADDED_WEIGHTS = "added_weights.safetensors"
LORA_WEIGHTS = "pytorch_lora_weights.safetensors"

# alpha / rank of the published LoRA, which its file does not say.
LORA_SCALE = 0.5

# Names of the added weights, or what they start with, as published and here.
ADDED = {
    "learnable_domain_embeddings": "patch_embedding.domain",
    "patch_embedding_arm.": "condition_embedder.text_embedder.patch.",
    "arm_ln.": "condition_embedder.text_embedder.norm.",
    "arm_pos_emb": "condition_embedder.text_embedder.position",
    "arm_domain_emb": "condition_embedder.text_embedder.domain",
    "arm_patch_proj.": "condition_embedder.text_embedder.projection.",
    "arm_cond_proj.": "robot_projection.",
}

# Of Wan's text projection, whose output the published model discards, and of a norm that Wan never uses.
_UNUSED = ("condition_embedder.text_embedder.linear_", "norm_added_q")


def load_published(
    base: Path,
    adapter: Path,
    architecture: Architecture,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    loras: Sequence[Lora] = (),
    vae_tiling: bool = False,
) -> Parts:
    """The published world model, on ``device`` and in ``dtype``; what Wan keeps in float32 stays so.

    ``base`` has transformer/, vae/ and image_encoder/ of Wan2.1-I2V in diffusers' layout; the text encoder is never
    read. ``adapter`` has added_weights.safetensors and pytorch_lora_weights.safetensors. ``loras`` are added besides.
    Raises CheckpointError when anything is missing, damaged, of another architecture or outside of its folder.
    """
    added, lora = (file_inside(adapter, name) for name in (ADDED_WEIGHTS, LORA_WEIGHTS))
    fused = [Lora(lora, LORA_SCALE), *loras]
    return _load(base, [added], {}, fused, architecture, torch.device(device), dtype, vae_tiling=vae_tiling)


def load_base(
    base: Path,
    adapter: Path | None,
    architecture: Architecture,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    seed: int,
) -> Parts:
    """What a LoRA is trained on: as ``load_published``, without the adapter's own LoRA.

    Without an ``adapter`` the added weights are drawn from ``seed`` as in an untrained model.
    """
    place = torch.device(device)
    if adapter is None:
        return _load(base, [], _untrained_added(architecture, seed), [], architecture, place, dtype)
    return _load(base, [file_inside(adapter, ADDED_WEIGHTS)], {}, [], architecture, place, dtype)


def _load(
    base: Path,
    added: Sequence[Path],
    given: Mapping[str, Tensor],
    loras: Sequence[Lora],
    architecture: Architecture,
    device: torch.device,
    dtype: torch.dtype,
    *,
    vae_tiling: bool = False,
) -> Parts:
    _check_config(base / TRANSFORMER, architecture)
    files = weight_files(base / TRANSFORMER, TRANSFORMER_STEM)
    transformer = empty_transformer(architecture, base / TRANSFORMER / "config.json")
    change = Loras(loras, transformer).change
    stored = published_tensors(files, added)
    load_into(transformer, stored, device=device, dtype=dtype, given=given, change=change)
    codec, image_encoder = load_encoders(base, architecture, device=device, dtype=dtype, vae_tiling=vae_tiling)
    digest = sha256_of([*files, *added, *(lora.path for lora in loras)])
    return Parts(architecture, transformer, codec, image_encoder, digest)


def _untrained_added(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    """The added weights of a model without blocks, drawn from ``seed``."""
    small = replace(architecture, transformer=replace(architecture.transformer, num_layers=0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = build_transformer(small, head_channels(small)).state_dict()
    return {name: tensor for name, tensor in state.items() if published_name(name) is not None}


def published_tensors(base: Sequence[Path], added: Sequence[Path]) -> dict[str, Stored]:
    """The tensors of the base's and the added weights' files, under the names that they have here.

    Raises CheckpointError for damaged files, and for names that both have.
    """
    stored = {
        name: tensor for name, tensor in stored_tensors(base).items() if not any(part in name for part in _UNUSED)
    }
    for name, tensor in stored_tensors(added).items():
        if own_name(name) in stored:
            raise CheckpointError(f"{own_name(name)} is stored twice: in {stored[own_name(name)].path} and as {name}")
        stored[own_name(name)] = tensor
    return stored


def own_name(published: str) -> str:
    """The name that a published weight has here; names of Wan's own weights are unchanged."""
    for theirs, ours in ADDED.items():
        if published == theirs or (theirs.endswith(".") and published.startswith(theirs)):
            return ours + published.removeprefix(theirs)
    return published


def published_name(own: str) -> str | None:
    """The name under which an added weight is published; None for Wan's own weights."""
    for theirs, ours in ADDED.items():
        if own == ours or (ours.endswith(".") and own.startswith(ours)):
            return theirs + own.removeprefix(ours)
    return None


def _check_config(folder: Path, architecture: Architecture) -> None:
    """Raises CheckpointError where the base's config.json contradicts the architecture."""
    config, size = read_json(folder, "config.json"), architecture.transformer
    wrong = []
    for name in (field.name for field in fields(size)):
        ours, theirs = getattr(size, name), config.get(name)
        if (tuple(theirs) if isinstance(theirs, list) else theirs) != ours:
            wrong.append(f"{name} is {theirs} and not {ours}")
    if wrong:
        raise CheckpointError(f"{folder / 'config.json'} is of another transformer: {', '.join(wrong)}")
