"""Samples of native data sets made ready to learn from, once, and kept by what they were made of."""

import hashlib
import json
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, RenderSettings, configured_robot
from k4d_world_model.dataset.building.split_lists import read_split
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.dataset.robot_pointmaps import drawn_robot_sha256, rendered_robot, robot_tool
from k4d_world_model.dataset.storage.native_sample import read_sample, read_sample_record
from k4d_world_model.dataset.storage.sample_record import checksums_to_bytes, sha256
from k4d_world_model.errors import EpisodeError, RobotNotVisibleError, SampleError, TrainingError
from k4d_world_model.evaluation.fitted_episode import fitted_episode, shortened
from k4d_world_model.preparation import conditioning_of, prepare, prepare_target
from k4d_world_model.training.clip import CLIP_VERSION, TrainingClip, write_clip
from k4d_world_model.wan.architecture import NUMBERS, Architecture
from k4d_world_model.wan.inputs import Inputs

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparation:
    """How samples become clips: for which architecture, with which robot (a YAML as in config/robots), kept where.

    fits: scales samples of another size, and takes every so-manieth frame of longer ones.

    Raises TrainingError when the architecture wants the robot rendered and no robot is given.
    """

    architecture: Architecture
    folder: Path
    robot: Path | None = None
    fits: bool = False

    def __post_init__(self) -> None:
        if self.architecture.robot_pictures == "rendered" and self.robot is None:
            raise TrainingError("this architecture reads rendered robots: give the robot's YAML (--robot)")

    def key(self) -> str:
        """A file name that changes whenever the clips would."""
        architecture = _as_clips_tell(self.architecture)
        parts: list[object] = [CLIP_VERSION, architecture.frames, architecture.height, architecture.width]
        parts += [architecture.condition, architecture.action_size, architecture.first_frame_geometry]
        parts += [architecture.normalization, architecture.normalization_margin, architecture.robot_pictures]
        parts += [architecture.light_grid, architecture.light_slope]
        parts += [architecture.continues_surfaces, architecture.moves_objects]
        if architecture.robot_pictures == "rendered" and self.robot is not None:
            robot = configured_robot(self.robot, self.folder / "surfaces")
            parts += [drawn_robot_sha256(robot), self.robot.read_text()]
        parts += ["fits"] * self.fits
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PreparedSample:
    """A sample and the file that its clip is kept in, named by the sample's content."""

    root: Path
    episode_id: str
    file: Path


def prepare_samples(
    roots: Sequence[Path],
    split: Literal["train", "val"],
    preparation: Preparation,
    *,
    workers: int,
    on_preparing: Callable[[Iterable[str | None], int], Iterable[str | None]],
) -> tuple[PreparedSample, ...]:
    """The samples of one split of several data sets, in their order, each with its clip on disk.

    Makes the clips that are not there yet with ``workers`` processes, wrapped by ``on_preparing`` as by tqdm; may be
    stopped and run again. Samples that never show the robot are left out and logged. Raises DatasetError where there is
    no data set or split, SampleError naming a damaged sample, TrainingError when no clip is left to train on.
    """
    samples = list(_samples(roots, split, preparation))
    missing = [sample for sample in samples if not sample.file.exists() and not _refusal(sample).exists()]
    if missing:
        for _ in on_preparing(_prepare_all(missing, preparation, workers), len(missing)):
            pass
    kept = tuple(sample for sample in samples if sample.file.exists())
    refused = [sample.episode_id for sample in samples if not sample.file.exists()]
    if refused:
        _LOG.warning("%d of %d samples never show the robot and are left out: %s", len(refused), len(samples), refused)
    if not kept and split == "train":
        raise TrainingError(f"no clip to train on in {', '.join(map(str, roots))}")
    return kept


def _samples(
    roots: Sequence[Path], split: Literal["train", "val"], preparation: Preparation
) -> Iterator[PreparedSample]:
    folder = preparation.folder / preparation.key()
    for root in roots:
        layout = NativeLayout(dataset_root(root))
        for episode_id in read_split(layout, split):
            checksum = sha256(checksums_to_bytes(read_sample_record(layout, episode_id).files))
            yield PreparedSample(root, episode_id, folder / checksum[:2] / f"{checksum}.safetensors")


def _refusal(sample: PreparedSample) -> Path:
    """The file that says why a sample gives no clip."""
    return sample.file.with_suffix(".refused")


def _prepare_all(missing: Sequence[PreparedSample], preparation: Preparation, workers: int) -> Iterator[str | None]:
    if workers <= 1:
        robot = _robot(preparation)
        yield from (_prepare_one(sample, preparation, robot) for sample in missing)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(preparation,)) as pool:
        yield from pool.map(partial(_prepare_here, preparation), missing)


_robots: list[ConfiguredRobot | None] = []


def _start(preparation: Preparation) -> None:
    torch.set_num_threads(1)
    _robots.append(_robot(preparation))


def _prepare_here(preparation: Preparation, sample: PreparedSample) -> str | None:
    return _prepare_one(sample, preparation, _robots[0])


def _robot(preparation: Preparation) -> ConfiguredRobot | None:
    if preparation.architecture.robot_pictures == "masked" or preparation.robot is None:
        return None
    return configured_robot(preparation.robot, preparation.folder / "surfaces")


def _prepare_one(sample: PreparedSample, preparation: Preparation, robot: ConfiguredRobot | None) -> str | None:
    """Makes one clip; the reason where the sample gives none."""
    episode = read_sample(NativeLayout(sample.root), sample.episode_id)
    try:
        if preparation.fits:
            size = preparation.architecture
            episode = fitted_episode(shortened(episode, size.frames), size.height, size.width)
        clip = clip_of(episode, preparation.architecture, robot)
    except RobotNotVisibleError as error:
        sample.file.parent.mkdir(parents=True, exist_ok=True)
        _refusal(sample).write_text(f"{error}\n")
        return str(error)
    write_clip(sample.file, clip)
    return None


def clip_of(episode: Episode, architecture: Architecture, robot: ConfiguredRobot | None) -> TrainingClip:
    """The episode as a clip, with the robot drawn as a prediction would get it where ``robot`` is given.

    Raises SampleError when the episode lacks what the architecture reads, RobotNotVisibleError when no frame shows it.
    """
    name = f"sample {episode.info.episode_id}"
    if episode.scene_points is None:
        raise SampleError(f"{name} makes no clip: it has no scene_points")
    pictures = tool = None
    if robot is not None:
        episode, pictures = with_rendered_robot(episode, robot)
        tool = robot_tool(episode, robot)
    try:
        inputs, normalization = prepare(conditioning_of(episode, pictures, tool), _as_clips_tell(architecture))
    except RobotNotVisibleError:
        raise
    except ValueError as error:
        raise SampleError(f"{name} makes no clip: {error}") from error
    assert episode.scene_points is not None
    target = prepare_target(episode.rgb, episode.scene_points, normalization)
    return TrainingClip(episode.info.episode_id, torch.tensor(0), Inputs(*(part[0] for part in inputs)), *target)


def _as_clips_tell(architecture: Architecture) -> Architecture:
    """The architecture with the condition that its clips are kept for: all that tell of the robot's looks share one."""
    if architecture.condition in NUMBERS:
        return architecture
    return replace(architecture, condition="robot_rgb_and_pointmap")


def with_rendered_robot(episode: Episode, robot: ConfiguredRobot) -> tuple[Episode, NDArray[np.uint8]]:
    """The episode with the robot's points and mask as kinematics draws them, and its pictures (T, H, W, 3) uint8.

    Raises SampleError naming what is missing, or the joint that does not fit the robot.
    """
    try:
        images = rendered_robot(episode, robot, RenderSettings(rgb=True))
    except EpisodeError as error:
        raise SampleError(f"sample {episode.info.episode_id} shows no rendered robot: {error}") from error
    assert images.rgb is not None
    drawn = replace(episode, robot_points=images.points_cam, robot_mask=np.asarray(images.mask, np.bool_))
    return drawn, images.rgb
