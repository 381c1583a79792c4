"""Clips: the samples of a data set as the tensors that a world model learns from."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from k4d_world_model.dataset.building.split_lists import read_split
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.dataset.normalization import (
    MISSING,
    Normalization,
    normalised_pictures,
    normalised_points,
    normalization_by,
)
from k4d_world_model.dataset.sampling import CLIP_FRAMES, FrameSampling
from k4d_world_model.dataset.storage.native_sample import read_sample, read_sample_record
from k4d_world_model.dataset.storage.sample_record import checksums_to_bytes, sha256
from k4d_world_model.errors import DatasetError, EpisodeError, RejectedEpisodeError, SampleError


@dataclass(frozen=True)
class ClipSettings:
    """How samples become clips.

    normalization: whose extrema over the whole clip map to [-1, 1] in the robot's pointmap, "scene" (as the published
        data set has it: the robot is a masked copy of the normalised scene, its hidden parts may exceed the range) or
        "robot" (Kinema4D, 3.3). The scene's own pointmap is always normalised by the scene's extrema.
    frames: length of a clip; longer samples are sampled uniformly, shorter ones are errors.

    Raises DatasetError on other values.
    """

    normalization: Literal["scene", "robot"] = "scene"
    frames: int = CLIP_FRAMES

    def __post_init__(self) -> None:
        if self.normalization not in ("scene", "robot"):
            raise DatasetError(f"normalization must be 'scene' or 'robot', got {self.normalization!r}")
        FrameSampling(self.frames)


class Affine(NamedTuple):
    """Per axis, ``points = scale * normalised + offset``: scale and offset (3,), or (b, 3) in a batch, float32."""

    scale: Tensor
    offset: Tensor

    def points(self, normalised: Tensor) -> Tensor:
        """Points (..., 3, t, h, w) in the unit of the sample, metres where it is metric, of normalised ones."""
        return normalised * _over_pixels(self.scale) + _over_pixels(self.offset)


class Clip(NamedTuple):
    """One sample as tensors; torch's default collation puts a batch dimension b before those of all tensors.

    episode_id: which sample.
    rgb: (3, t, h, w) float32 in [-1, 1].
    scene_points, robot_points: (3, t, h, w) float32, normalised, MISSING where there is no point.
    scene_valid, robot_mask: (t, h, w) bool, where there is one.
    scene_affine, robot_affine: from normalised points to the sample's own.
    times: (t,) float64 seconds.
    is_metric: whether the sample's points are metres.
    """

    episode_id: str
    rgb: Tensor
    scene_points: Tensor
    scene_valid: Tensor
    scene_affine: Affine
    robot_points: Tensor
    robot_mask: Tensor
    robot_affine: Affine
    times: Tensor
    is_metric: bool

    @property
    def first_frame(self) -> Tensor:
        """(3, h, w): the picture that a prediction starts from."""
        return self.rgb[..., 0, :, :]

    @property
    def robot_rgb(self) -> Tensor:
        """(3, t, h, w): the picture on the robot's pixels, black elsewhere."""
        return torch.where(self.robot_mask.unsqueeze(-4), self.rgb, MISSING)


class ClipDataset(Dataset[Clip]):
    """The clips of one split of a native data set, in the split's order. Opens files only while it reads a clip.

    Raises DatasetError when there is no such data set or split.
    """

    def __init__(self, root: Path, split: Literal["train", "val"], settings: ClipSettings | None = None) -> None:
        self.layout = NativeLayout(dataset_root(root))
        self.settings = settings or ClipSettings()
        self.episode_ids = read_split(self.layout, split)

    def __len__(self) -> int:
        return len(self.episode_ids)

    def __getitem__(self, index: int) -> Clip:
        """The clip at ``index``. Raises SampleError naming the sample or its file when it gives no clip."""
        return clip_of(read_sample(self.layout, self.episode_ids[index]), self.settings)

    def checksum(self, index: int) -> str:
        """What changes whenever a file of the sample at ``index`` does. Raises SampleError naming a damaged file."""
        record = read_sample_record(self.layout, self.episode_ids[index])
        return sha256(checksums_to_bytes(record.files))


def clip_of(episode: Episode, settings: ClipSettings) -> Clip:
    """The episode as tensors. Raises SampleError naming the episode when it is too short, lacks a pointmap, has no
    scene point at all, or, with normalisation by the robot, no robot."""
    name = f"sample {episode.info.episode_id}"
    chosen = _chosen_frames(episode, settings, name)
    assert episode.scene_points is not None
    assert episode.robot_points is not None
    scene, robot = episode.scene_points[chosen], episode.robot_points[chosen]
    try:
        with ThreadPoolExecutor(1) as second:
            pictures = second.submit(normalised_pictures, episode.rgb[chosen])
            by_scene = normalization_by(scene, "scene_points")
            robot_part = second.submit(_robot_part, robot, by_scene if settings.normalization == "scene" else None)
            scene_points, scene_valid = normalised_points(scene, by_scene)
        by_robot, (robot_points, robot_mask) = robot_part.result()
    except EpisodeError as error:
        raise SampleError(f"{name} makes no clip: {error}") from error
    return Clip(
        episode_id=episode.info.episode_id,
        rgb=torch.from_numpy(pictures.result()),
        scene_points=torch.from_numpy(scene_points),
        scene_valid=torch.from_numpy(scene_valid),
        scene_affine=_affine(by_scene),
        robot_points=torch.from_numpy(robot_points),
        robot_mask=torch.from_numpy(robot_mask),
        robot_affine=_affine(by_robot),
        times=torch.from_numpy(episode.times[chosen]),
        is_metric=episode.scale == "metric",
    )


def _chosen_frames(episode: Episode, settings: ClipSettings, name: str) -> slice | NDArray[np.intp]:
    """The frames of the clip. Raises SampleError when there are too few or a pointmap is missing."""
    missing = [part for part in ("scene_points", "robot_points") if getattr(episode, part) is None]
    if missing:
        raise SampleError(f"{name} makes no clip: it has no {' and no '.join(missing)}; annotate or render them first")
    try:
        frames = FrameSampling(settings.frames).indices(episode.frame_count)
    except RejectedEpisodeError as error:
        raise SampleError(f"{name} makes no clip: {error}") from error
    return slice(None) if len(frames) == episode.frame_count else frames


def _robot_part(
    points: NDArray[np.float32], by: Normalization | None
) -> tuple[Normalization, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """How the robot's points (T, H, W, 3) are normalised, by themselves where ``by`` is None, and the result."""
    by = by or normalization_by(points, "robot_points")
    return by, normalised_points(points, by)


def _affine(normalization: Normalization) -> Affine:
    return Affine(torch.from_numpy(normalization.scale.copy()), torch.from_numpy(normalization.offset.copy()))


def _over_pixels(values: Tensor) -> Tensor:
    return values[..., None, None, None]
