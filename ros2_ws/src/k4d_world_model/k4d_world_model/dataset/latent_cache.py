"""Clips encoded once and kept: latents in bfloat16 and a packed robot mask, one checked file per sample."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from k4d_world_model.dataset.clips import Clip, ClipDataset, ClipSettings
from k4d_world_model.dataset.episode import check_episode_id
from k4d_world_model.errors import DatasetError, SampleError

CACHE_VERSION = "1"
# What one latent cell of the Wan autoencoder covers: pixels per side, and frames after the first, which stands alone.
CELL_PIXELS, CELL_FRAMES = 8, 4


class ClipLatents(NamedTuple):
    """One encoded clip, or a batch of them with a leading b.

    rgb, scene_points, robot_rgb, robot_points: (c, t, h, w) bfloat16 latents.
    robot_mask: (t, h, w) bool, see ``latent_mask``.
    """

    rgb: Tensor
    scene_points: Tensor
    robot_rgb: Tensor
    robot_points: Tensor
    robot_mask: Tensor


Encoder = Callable[[Clip], ClipLatents]


def latent_mask(robot_mask: Tensor) -> Tensor:
    """A mask (T, H, W) bool on the grid of the latents: (1 + (T - 1) / 4, H / 8, W / 8).

    The top left pixel of each 8 x 8 cell; frame 0 alone, then the union of each four frames (published Kinema4D code).
    Raises DatasetError when T - 1, H or W do not divide.
    """
    count, height, width = robot_mask.shape
    if (count - 1) % CELL_FRAMES or height % CELL_PIXELS or width % CELL_PIXELS:
        raise DatasetError(
            f"a mask needs 4k + 1 frames and a height and width that divide by 8, got {tuple(robot_mask.shape)}"
        )
    cells = robot_mask[:, ::CELL_PIXELS, ::CELL_PIXELS]
    later = cells[1:].reshape(-1, CELL_FRAMES, *cells.shape[1:]).any(dim=1)
    return torch.cat([cells[:1], later])


class LatentCache:
    """A folder of encoded clips: ``folder/<encoder and settings>/<sample>.safetensors``.

    ``encoder_id`` is a safe file name that must change whenever the encoder would give other latents (its name and a
    hash of its weights or configuration); the clips' settings become part of the key here. Files hold the checksum of
    the sample that they were made of, and one of their own content.
    """

    def __init__(self, folder: Path, encoder_id: str, settings: ClipSettings | None = None) -> None:
        settings_key = json.dumps(asdict(settings or ClipSettings()), sort_keys=True)
        self.key = f"{check_episode_id(encoder_id)}-{hashlib.sha256(settings_key.encode()).hexdigest()[:12]}"
        self.folder = folder / self.key

    def path(self, episode_id: str) -> Path:
        """Where a sample's latents are kept."""
        return self.folder / f"{check_episode_id(episode_id)}.safetensors"

    def get(self, episode_id: str, sample_checksum: str) -> ClipLatents | None:
        """The latents of a sample, None where there are none or they were made of another version of it.

        Raises SampleError naming the file when it is damaged.
        """
        path = self.path(episode_id)
        if not path.exists():
            return None
        metadata, tensors = _read(path)
        if metadata["sample_checksum"] != sample_checksum:
            return None
        shape = tensors["rgb"].shape[1:]  # (t, h, w)
        bits = np.unpackbits(tensors.pop("packed_robot_mask").numpy(), count=int(np.prod(shape)))
        return ClipLatents(**tensors, robot_mask=torch.from_numpy(bits.astype(np.bool_)).reshape(shape))

    def put(self, episode_id: str, sample_checksum: str, latents: ClipLatents) -> None:
        """Keeps the latents of a sample, in place of older ones; the file appears whole or not at all.

        Raises DatasetError unless the latents are four times (c, t, h, w) and a mask (t, h, w) of bool.
        """
        _check(latents)
        tensors = {name: value.to(torch.bfloat16).contiguous().cpu() for name, value in _streams(latents).items()}
        tensors["packed_robot_mask"] = torch.from_numpy(np.packbits(latents.robot_mask.cpu().numpy()))
        metadata = {
            "version": CACHE_VERSION,
            "key": self.key,
            "episode_id": episode_id,
            "sample_checksum": sample_checksum,
            "sha256": tensor_digest(tensors),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path(episode_id), save(tensors, metadata))


class LatentDataset(Dataset[ClipLatents]):
    """The cached latents of a data set's clips, in their order."""

    def __init__(self, clips: ClipDataset, cache: LatentCache) -> None:
        self.clips = clips
        self.cache = cache

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> ClipLatents:
        """The latents at ``index``. Raises SampleError naming the file when it is damaged, missing or out of date."""
        episode_id = self.clips.episode_ids[index]
        latents = self.cache.get(episode_id, self.clips.checksum(index))
        if latents is None:
            raise SampleError(
                f"{self.cache.path(episode_id)}: no latents, or of another version of the sample; fill the cache first"
            )
        return latents


def fill_latent_cache(clips: ClipDataset, cache: LatentCache, encode: Encoder) -> int:
    """Encodes the clips whose latents are missing or out of date; returns how many. May be stopped and run again.

    Raises SampleError naming the file on damaged samples and latents.
    """
    encoded = 0
    for index, episode_id in enumerate(clips.episode_ids):
        checksum = clips.checksum(index)
        if cache.get(episode_id, checksum) is None:
            cache.put(episode_id, checksum, encode(clips[index]))
            encoded += 1
    return encoded


def _streams(latents: ClipLatents) -> dict[str, Tensor]:
    return {name: value for name, value in latents._asdict().items() if name != "robot_mask"}


def _check(latents: ClipLatents) -> None:
    shape = latents.rgb.shape
    streams = {name: tuple(value.shape) for name, value in _streams(latents).items()}
    if len(shape) != 4 or set(streams.values()) != {tuple(shape)}:
        raise DatasetError(f"latents must be (c, t, h, w), the same for all streams, got {streams}")
    if latents.robot_mask.shape != shape[1:] or latents.robot_mask.dtype != torch.bool:
        raise DatasetError(
            f"robot_mask must be bool {tuple(shape[1:])}, got {latents.robot_mask.dtype} "
            f"{tuple(latents.robot_mask.shape)}"
        )


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            metadata, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError) as error:
        raise SampleError(f"{path}: damaged latents: {error}") from error
    if metadata.get("version") != CACHE_VERSION:
        raise SampleError(f"{path}: latents of version {metadata.get('version')}, expected {CACHE_VERSION}")
    if metadata.get("sha256") != tensor_digest(tensors):
        raise SampleError(f"{path}: damaged latents: the checksum differs; remove the file and fill the cache again")
    return metadata, tensors


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values of tensors on the CPU."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """``content`` at ``path`` by way of a file that only this process writes."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
