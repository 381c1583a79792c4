"""Clips that an autoencoder encoded once and for all, and what the model is told besides, kept beside them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from k4d_world_model.dataset.clips import Clip, ClipDataset, ClipSettings
from k4d_world_model.dataset.latent_cache import ClipLatents, LatentCache, latent_mask
from k4d_world_model.errors import SampleError, TrainingError
from k4d_world_model.preparation import ramp
from k4d_world_model.training.losses import Material
from k4d_world_model.training.order import POSTERIOR, draw_on
from k4d_world_model.training.tensor_file import read_tensors, write_tensors
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.codec import Codec
from k4d_world_model.wan.encoding import (
    Encoded,
    ImageEncoder,
    first_frame_mask,
    first_frame_then_grey,
    paired,
    robot_channels,
)
from k4d_world_model.wan.inputs import Inputs

_VERSION = "1"
# Pictures are not kept beside latents.
_NO_INPUTS = Inputs(*[torch.empty(0)] * len(Inputs._fields))


class LatentClip(NamedTuple):
    """One encoded clip, or a batch of them with a leading b; c latent channels, t x h x w cells a half.

    episode_id: which sample; a list of them in a batch. position: () how many clips of the run came before it.
    clean: (c, t, h, 2 w) the truth. channels, robot, image_embeddings: as in ``Encoded``, the last of size 0 for none.
    """

    episode_id: Sequence[str]
    position: Tensor
    clean: Tensor
    channels: Tensor
    robot: Tensor
    image_embeddings: Tensor


@dataclass(frozen=True, eq=False)
class ClipEncoder:
    """Encodes clips of one architecture; what an autoencoder leaves to chance follows from ``seed`` and the sample."""

    architecture: Architecture
    codec: Codec
    image_encoder: ImageEncoder | None
    device: torch.device
    seed: int = 0

    def latents(self, clip: Clip) -> ClipLatents:
        """Latents of the four videos of a clip; drawn, as in the published training."""
        videos = (clip.rgb, clip.scene_points, clip.robot_rgb, clip.robot_points)
        generator = self._generator(clip.episode_id)
        rgb, scene, robot_rgb, robot = (
            self.codec.encode(video[None].to(self.device), generator)[0] for video in videos
        )
        return ClipLatents(rgb, scene, robot_rgb, robot, latent_mask(clip.robot_mask))

    def start(self, clip: Clip) -> dict[str, Tensor]:
        """Latents ``condition`` (c, t, h, 2 w) of a clip's first frame, and its ``image_embeddings``, bfloat16."""
        rgb = clip.first_frame[None].to(self.device)
        beside = torch.from_numpy(ramp(*rgb.shape[2:]))[None].to(self.device)
        video = first_frame_then_grey(rgb, beside, self.architecture.frames)
        condition = self.codec.encode(video, self._generator(f"{clip.episode_id} start"))[0]
        seen = self.image_encoder(rgb)[0] if self.image_encoder else torch.zeros(0, 0)
        return {"condition": condition.bfloat16().cpu(), "image_embeddings": seen.bfloat16().cpu()}

    def _encode(self, video: Tensor, generator: Generator) -> Tensor:
        return self.codec.encode(video.to(self.device), generator)[0]

    def _generator(self, name: str) -> Generator:
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return draw_on(self.device, self.seed, POSTERIOR, number)


class LatentClips:
    """The encoded clips of one split of several data sets as a ``ClipSource``.

    Raises TrainingError when two data sets have a sample of the same name.
    """

    def __init__(self, sets: Sequence[ClipDataset], cache: LatentCache, architecture: Architecture) -> None:
        self.architecture = architecture
        self.cache = cache
        self._where = tuple((clips, index) for clips in sets for index in range(len(clips)))
        self._checksums = tuple(clips.checksum(index) for clips, index in self._where)
        self._episode_ids = tuple(clips.episode_ids[index] for clips, index in self._where)
        twice = [name for name, count in Counter(self._episode_ids).items() if count > 1]
        if twice:
            raise TrainingError(f"samples of several data sets need different names, but these come twice: {twice}")

    def __len__(self) -> int:
        return len(self._where)

    def names(self) -> tuple[str, ...]:
        """See ``ClipSource``."""
        return self._checksums

    def start_file(self, index: int) -> Path:
        """Where what is known of a clip's first frame is kept."""
        checksum = self._checksums[index]
        return self.cache.folder / "starts" / checksum[:2] / f"{checksum}.safetensors"

    def is_encoded(self, index: int) -> bool:
        """Whether a clip was encoded before. Raises SampleError naming a damaged file."""
        latents = self.cache.get(self._episode_ids[index], self._checksums[index])
        return latents is not None and self.start_file(index).exists()

    def encode(self, index: int, encoder: ClipEncoder) -> None:
        """Encodes a clip and keeps it. Raises SampleError naming a damaged sample, OSError as on a full disk."""
        clips, inner = self._where[index]
        clip = clips[inner]
        self.cache.put(clip.episode_id, self._checksums[index], encoder.latents(clip))
        write_tensors(self.start_file(index), encoder.start(clip), _VERSION)

    def clip(self, index: int, position: int) -> LatentClip:
        """See ``ClipSource``; raises SampleError also for a clip that was not encoded."""
        episode_id = self._episode_ids[index]
        latents = self.cache.get(episode_id, self._checksums[index])
        if latents is None:
            raise SampleError(f"{self.cache.path(episode_id)}: no latents of the sample as it is; encode it first")
        start = read_tensors(self.start_file(index), _VERSION)
        clean, robot = (
            paired(left[None].float(), right[None].float(), self.architecture)
            for left, right in ((latents.rgb, latents.scene_points), (latents.robot_rgb, latents.robot_points))
        )
        condition = start["condition"][None].float()
        channels = torch.cat([first_frame_mask(condition), condition], dim=1)
        told = robot_channels(latents.robot_mask[None], robot, self.architecture)
        seen = start["image_embeddings"].float()
        return LatentClip(episode_id, torch.tensor(position), clean[0], channels[0], told[0], seen)


def encoded_latents(batch: LatentClip, device: torch.device) -> Material:
    """A batch of encoded clips on ``device``."""
    clean, channels, robot, seen = (part.to(device, non_blocking=True) for part in batch[2:])
    everywhere = torch.ones(1, 1, 1, 1, 1, device=device)
    encoded = Encoded(channels, robot, seen if seen.numel() else None, None, _NO_INPUTS)
    return Material(encoded, clean, (everywhere, everywhere))


def latent_clips(
    roots: Sequence[Path], split: Literal["train", "val"], folder: Path, name: str, architecture: Architecture
) -> LatentClips:
    """The clips of one split of data sets; ``name`` is their encoder's. Raises DatasetError where there is none."""
    settings = ClipSettings("scene", architecture.frames)
    sets = [ClipDataset(root, split, settings) for root in roots]
    return LatentClips(sets, LatentCache(folder, name, settings), architecture)
