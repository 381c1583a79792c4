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
    """Prepared samples as a ``ClipSource``, every ``frame_step``-th frame, varied as ``augmentation`` says.

    Opens files only while it reads a clip.
    """

    def __init__(
        self, samples: Sequence[PreparedSample], augmentation: AugmentationSettings, seed: int, frame_step: int = 1
    ) -> None:
        self.samples = tuple(samples)
        self.augmentation = augmentation
        self.seed = seed
        self.frame_step = frame_step

    def __len__(self) -> int:
        return len(self.samples)

    def clip(self, index: int, position: int) -> TrainingClip:
        """See ``ClipSource``."""
        sample = self.samples[index]
        clip = read_clip(sample.file, sample.episode_id, position, self.frame_step)
        return augmented(clip, self.augmentation, draw(self.seed, AUGMENTATION, position))

    def with_frame_step(self, frame_step: int) -> "PixelClips":
        """The same clips with fewer frames."""
        return PixelClips(self.samples, self.augmentation, self.seed, frame_step)

    def names(self) -> tuple[str, ...]:
        """See ``ClipSource``: the sample's content, and what it was made ready with, the robot among it."""
        return tuple(f"{sample.file.parents[1].name}/{sample.file.name}" for sample in self.samples)


def encoded_pixels(batch: TrainingClip, architecture: Architecture, codec: Codec, device: torch.device) -> Material:
    """A batch of clips in latents, on ``device``."""
    inputs = Inputs(*(part.to(device, non_blocking=True) for part in batch.inputs))
    rgb, points, valid = (part.to(device, non_blocking=True) for part in (batch.rgb, batch.points, batch.valid))
    clean = truth_latents(rgb, points, architecture, codec)
    # What was kept of a clip tells its robot; to reconstruct points is to be told the clip itself.
    inputs = inputs._replace(robot_rgb=rgb) if architecture.condition == "pictures" else inputs
    return Material(encode(inputs, architecture, codec), clean, known_latents(valid, inputs.robot_mask, codec))
