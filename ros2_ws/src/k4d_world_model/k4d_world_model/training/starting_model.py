"""The model that a run starts from: an untrained one, or a published one with an adapter to train."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from k4d_world_model.errors import TrainingError
from k4d_world_model.training.config import TrainingConfig
from k4d_world_model.wan.adapter import add_trainable_lora
from k4d_world_model.wan.checkpoint import load_checkpoint
from k4d_world_model.wan.codec import Codec, PixelCodec
from k4d_world_model.wan.encoding import ImageEncoder
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.published import load_base
from k4d_world_model.wan.transformer import RobotWorldTransformer, build_transformer


class StartingModel(NamedTuple):
    """A transformer whose training weights are float32 and require gradients, and what encodes for it."""

    transformer: RobotWorldTransformer
    codec: Codec
    image_encoder: ImageEncoder | None


def starting_model(config: TrainingConfig, folder: Path, device: torch.device, dtype: torch.dtype) -> StartingModel:
    """The model of a preset whose paths are relative to ``folder``; what it draws follows from ``config.seed``.

    A published base is in ``dtype`` on ``device``. Raises CheckpointError when files are missing, damaged or do not
    fit, TrainingError when a checkpoint to start from is of another architecture.
    """
    if config.base:
        return _published(config, folder, device, dtype)
    if config.start:
        return _continued(config, folder / config.start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        transformer = build_transformer(config.architecture, head_channels(config.architecture))
    # An untrained model predicts its prior, from which it departs as it learns.
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)
    return StartingModel(transformer, PixelCodec(config.architecture.codec), None)


def _continued(config: TrainingConfig, folder: Path) -> StartingModel:
    parts = load_checkpoint(folder, device="cpu", dtype=torch.float32)
    if parts.architecture != config.architecture:
        raise TrainingError(f"{folder} is of another architecture than the run {config.name!r}")
    return StartingModel(parts.transformer.requires_grad_(True), parts.codec, parts.image_encoder)


def _published(config: TrainingConfig, folder: Path, device: torch.device, dtype: torch.dtype) -> StartingModel:
    adapter = folder / config.adapter if config.adapter else None
    parts = load_base(folder / config.base, adapter, config.architecture, device=device, dtype=dtype, seed=config.seed)
    lora = config.lora
    add_trainable_lora(
        parts.transformer, rank=lora.rank, alpha=lora.alpha, targets=lora.targets, seed=config.seed, start=adapter
    )
    return StartingModel(parts.transformer, parts.codec, parts.image_encoder)
