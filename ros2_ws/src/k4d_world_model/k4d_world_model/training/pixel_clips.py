"""Clips of pictures and points, encoded anew in every step, so that they can be varied."""

from collections.abc import Sequence

import torch

from k4d_world_model.training.augmentation import augmented
from k4d_world_model.training.clip import TrainingClip, read_clip
from k4d_world_model.training.config import AugmentationSettings
from k4d_world_model.training.losses import Material, known_latents, truth_latents
from k4d_world_model.training.order import AUGMENTATION, draw
from k4d_world_model.training.preparing import PreparedSample
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.codec import Codec
from k4d_world_model.wan.encoding import encode
from k4d_world_model.wan.inputs import Inputs


class PixelClips:
    """Prepared samples as a ``ClipSource``, varied as ``augmentation`` says. Opens files only while it reads a clip."""

    def __init__(self, samples: Sequence[PreparedSample], augmentation: AugmentationSettings, seed: int) -> None:
        self.samples = tuple(samples)
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def clip(self, index: int, position: int) -> TrainingClip:
        """See ``ClipSource``."""
        sample = self.samples[index]
        clip = read_clip(sample.file, sample.episode_id, position)
        return augmented(clip, self.augmentation, draw(self.seed, AUGMENTATION, position))

    def names(self) -> tuple[str, ...]:
        """See ``ClipSource``."""
        return tuple(sample.file.name for sample in self.samples)


def encoded_pixels(batch: TrainingClip, architecture: Architecture, codec: Codec, device: torch.device) -> Material:
    """A batch of clips in latents, on ``device``."""
    inputs = Inputs(*(part.to(device, non_blocking=True) for part in batch.inputs))
    rgb, points, valid = (part.to(device, non_blocking=True) for part in (batch.rgb, batch.points, batch.valid))
    clean = truth_latents(rgb, points, architecture, codec)
    return Material(encode(inputs, architecture, codec), clean, known_latents(valid, codec))
