"""The clips of a run, made ready before it starts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from k4d_world_model.errors import TrainingError
from k4d_world_model.training.config import AugmentationSettings, TrainingConfig
from k4d_world_model.training.latent_clips import ClipEncoder, latent_clips
from k4d_world_model.training.order import ClipSource, Selection
from k4d_world_model.training.pixel_clips import PixelClips
from k4d_world_model.training.preparing import Preparation, PreparedSample, prepare_samples
from k4d_world_model.training.starting_model import StartingModel
from k4d_world_model.wan.checkpoint import IMAGE_ENCODER, VAE
from k4d_world_model.wan.weights import sha256_of, weight_files

# Wraps work of which each item makes one clip ready, as tqdm does: (items, how many).
OnPreparing = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True)
class DataSettings:
    """Where clips come from.

    roots: of native data sets. cache: folder of what is made of them, which several runs may share. robot: its YAML,
    where the architecture reads rendered pictures. workers: processes that prepare clips. clips: how many to train on,
    spread evenly over the roots' lists; None for all.

    Raises TrainingError when there are no roots, workers or clips.
    """

    roots: tuple[Path, ...]
    cache: Path
    robot: Path | None = None
    workers: int = 1
    clips: int | None = None

    def __post_init__(self) -> None:
        if not self.roots or self.workers < 1:
            raise TrainingError(
                f"a run needs at least one data set and one worker, got {len(self.roots)} and {self.workers}"
            )
        if self.clips is not None and self.clips < 1:
            raise TrainingError(f"a run needs at least one clip to train on, got {self.clips}")


def clips_of(
    split: Literal["train", "val"],
    count: int | None,
    config: TrainingConfig,
    data: DataSettings,
    folder: Path,
    model: StartingModel,
    device: torch.device,
    on_preparing: OnPreparing,
) -> ClipSource[Any]:
    """The clips of a split, ``count`` of them spread evenly or all; those to train on are varied as the preset says.

    Where fewer are there than asked for, all validate, and to train on them is refused.

    Makes what is not in the cache yet. ``folder`` is what the preset's paths start from. Raises DatasetError where
    there is no data set or split, SampleError naming a damaged sample, TrainingError when no clip is left to train on
    or fewer than asked for.
    """
    if not config.trains_on_latents:
        preparation = Preparation(config.architecture, data.cache, data.robot, config.fits_samples)
        samples: tuple[PreparedSample, ...] = ()
        if count != 0:
            samples = prepare_samples(data.roots, split, preparation, workers=data.workers, on_preparing=on_preparing)
        varied = config.augmentation if split == "train" else AugmentationSettings()
        return PixelClips([samples[index] for index in _evenly(split, len(samples), count)], varied, config.seed)
    name = _encoder_name(config, folder)
    latents = latent_clips(data.roots, split, data.cache, name, config.architecture)
    encoder = ClipEncoder(config.architecture, model.codec, model.image_encoder, device, config.seed)
    chosen = _evenly(split, len(latents), count)
    missing = [index for index in chosen if not latents.is_encoded(index)]
    for index in on_preparing(missing, len(missing)):
        latents.encode(index, encoder)
    return Selection(latents, chosen)


def _evenly(split: Literal["train", "val"], total: int, count: int | None) -> tuple[int, ...]:
    if split == "train" and total < (count or 0):
        raise TrainingError(f"{count} clips to train on were asked for, there are {total}")
    if count is None or total <= count:
        return tuple(range(total))
    return tuple(int(index) for index in np.linspace(0, total - 1, count).round())


def _encoder_name(config: TrainingConfig, folder: Path) -> str:
    """A file name that changes with whatever makes a clip's latents, but for the clip."""
    base = folder / config.base
    files = weight_files(base / VAE, "diffusion_pytorch_model")
    if config.architecture.transformer.image_dim:
        files += weight_files(base / IMAGE_ENCODER, "model")
    return f"wan-{sha256_of(files)[:16]}-seed{config.seed}"
