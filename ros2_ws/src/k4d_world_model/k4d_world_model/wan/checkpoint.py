"""A world model on disk in this project's own layout: its architecture, its weights, and what encodes for it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from k4d_kinematics.configuration import from_mapping
from k4d_kinematics.errors import ConfigurationError
from k4d_world_model.errors import CheckpointError
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.codec import Codec, PixelCodec
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.image_encoder import ClipImageEncoder, load_image_encoder
from k4d_world_model.wan.lora import Lora, Loras
from k4d_world_model.wan.transformer import RobotWorldTransformer, build_transformer
from k4d_world_model.wan.vae_codec import WanVaeCodec, load_vae_codec
from k4d_world_model.wan.weights import (
    build_empty,
    load_into,
    misfits,
    read_json,
    sha256_of,
    stored_tensors,
    weight_files,
)

ARCHITECTURE = "architecture.json"
TRANSFORMER = "transformer"
VAE = "vae"
IMAGE_ENCODER = "image_encoder"
CARD = "README.md"


class Parts(NamedTuple):
    """A loaded world model. ``weights_sha256``: of the files that the transformer's weights came from."""

    architecture: Architecture
    transformer: RobotWorldTransformer
    codec: Codec
    image_encoder: ClipImageEncoder | None
    weights_sha256: str


def save_checkpoint(
    folder: Path,
    transformer: RobotWorldTransformer,
    architecture: Architecture,
    codec: Codec | None = None,
    image_encoder: ClipImageEncoder | None = None,
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    card: str = "",
) -> None:
    """Writes what ``load_checkpoint`` reads, over what was there; each file appears whole or not at all.

    ``dtype`` of the stored weights is float32 or float16. ``metadata`` goes into the weights' file, ``card`` into
    README.md. Raises CheckpointError when the transformer is not one of ``architecture``, when a codec or image encoder
    that the architecture needs is not given, and when weights are not finite in ``dtype``.
    """
    _check_parts(architecture, codec, image_encoder)
    state = _storable(transformer, architecture, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(codec, WanVaeCodec):
        codec.vae.save_pretrained(folder / VAE)
    if image_encoder is not None:
        image_encoder.model.save_pretrained(folder / IMAGE_ENCODER)
    if card:
        (folder / CARD).write_text(card, encoding="utf-8")
    partial = folder / f".{ARCHITECTURE}.partial"
    partial.write_text(json.dumps(asdict(architecture), indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / ARCHITECTURE)
    partial = folder / f".{TRANSFORMER}.partial"
    save_file(state, partial, metadata={"format": "pt", **(metadata or {})})
    os.replace(partial, folder / f"{TRANSFORMER}.safetensors")


def load_checkpoint(
    folder: Path,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    loras: Sequence[Lora] = (),
    vae_tiling: bool = False,
) -> Parts:
    """The world model that ``save_checkpoint`` wrote, on ``device`` and in ``dtype``.

    What Wan keeps in float32 stays so, as does the image encoder. ``loras`` are added to the transformer's weights.
    Raises CheckpointError when anything is missing, damaged, of another architecture or outside of ``folder``.
    """
    device = torch.device(device)
    architecture = read_architecture(folder)
    files = weight_files(folder, TRANSFORMER)
    transformer = empty_transformer(architecture, folder / ARCHITECTURE)
    changes = Loras(loras, transformer)
    load_into(transformer, stored_tensors(files), device=device, dtype=dtype, change=changes.change)
    codec, image_encoder = load_encoders(folder, architecture, device=device, dtype=dtype, vae_tiling=vae_tiling)
    digest = sha256_of([*files, *(lora.path for lora in loras)])
    return Parts(architecture, transformer, codec, image_encoder, digest)


def read_architecture(folder: Path) -> Architecture:
    """The architecture of a checkpoint. Raises CheckpointError when it cannot be read or contradicts itself."""
    content = read_json(folder, ARCHITECTURE)
    try:
        return from_mapping(content, Architecture)
    except ConfigurationError as error:
        raise CheckpointError(f"{folder / ARCHITECTURE}: {error}") from error


def empty_transformer(architecture: Architecture, described_by: Path) -> RobotWorldTransformer:
    """A transformer of the architecture whose weights take no memory yet; errors name the file ``described_by``."""
    return build_empty(lambda: build_transformer(architecture, head_channels(architecture)), described_by)


def load_encoders(
    folder: Path, architecture: Architecture, *, device: torch.device, dtype: torch.dtype, vae_tiling: bool = False
) -> tuple[Codec, ClipImageEncoder | None]:
    """Codec and image encoder of a folder with vae/ and image_encoder/, as far as the architecture needs them.

    Raises CheckpointError when one is damaged, missing or of other sizes than the architecture says.
    """
    codec: Codec = PixelCodec(architecture.codec)
    if architecture.codec.kind == "wan_vae":
        codec = load_vae_codec(folder / VAE, device=device, dtype=dtype, tiling=vae_tiling)
    if codec.size != architecture.codec:
        raise CheckpointError(f"{folder / VAE} must be a codec of {architecture.codec}, got {codec.size}")
    image_dim = architecture.transformer.image_dim
    if not image_dim:
        return codec, None
    image_encoder = load_image_encoder(folder / IMAGE_ENCODER, device=device)
    if image_encoder.model.config.hidden_size != image_dim:
        got = image_encoder.model.config.hidden_size
        raise CheckpointError(f"{folder / IMAGE_ENCODER} must give tokens of {image_dim} numbers, got {got}")
    return codec, image_encoder


def _check_parts(architecture: Architecture, codec: Codec | None, image_encoder: ClipImageEncoder | None) -> None:
    if architecture.codec.kind == "wan_vae" and not isinstance(codec, WanVaeCodec):
        raise CheckpointError(f"the architecture needs a WanVaeCodec beside its weights, got {codec!r}")
    if bool(architecture.transformer.image_dim) != (image_encoder is not None):
        raise CheckpointError(
            f"an image encoder belongs to an architecture with image_dim above 0 and to no other, "
            f"got image_dim={architecture.transformer.image_dim} and {image_encoder!r}"
        )


def _storable(transformer: RobotWorldTransformer, architecture: Architecture, dtype: torch.dtype) -> dict[str, Tensor]:
    """The transformer's weights on the CPU in ``dtype``."""
    if dtype not in (torch.float32, torch.float16):
        raise CheckpointError(f"weights are stored as torch.float32 or torch.float16, got {dtype}")
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in transformer.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if found := misfits(empty_transformer(architecture, Path(ARCHITECTURE)), shapes):
        raise CheckpointError(f"the transformer is not one of the architecture: {found}")
    infinite = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if infinite:
        raise CheckpointError(f"weights must be finite in {dtype}, got others in {', '.join(infinite)}")
    return state
