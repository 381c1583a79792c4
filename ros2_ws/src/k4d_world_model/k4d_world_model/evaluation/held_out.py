"""Episodes to evaluate on: of a data set's split, or simulated when they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, RenderSettings, configured_robot
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.building.split_lists import read_split
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.dataset.robot_pointmaps import rendered_robot, robot_tool
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.opening import open_source, read_source_yaml
from k4d_world_model.dataset.storage.native_sample import read_sample
from k4d_world_model.errors import DatasetError, EpisodeError, SourceError
from k4d_world_model.preparation import conditioning_of


@dataclass(frozen=True)
class HeldOut:
    """Episodes by their identifiers, what reads one, and the robot in them.

    ``read`` may raise RejectedEpisodeError with the reason why an episode does not qualify.
    """

    episode_ids: tuple[str, ...]
    read: Callable[[str], Episode]
    robot: ConfiguredRobot

    def first(self, count: int | None) -> "HeldOut":
        """Just the first ``count`` episodes, all where that is None. Raises DatasetError when there are fewer."""
        if count is not None and not 1 <= count <= len(self.episode_ids):
            raise DatasetError(f"episodes must be within 1..{len(self.episode_ids)}, got {count}")
        return HeldOut(self.episode_ids[:count], self.read, self.robot)


def of_source(path: Path, frames: int, cache_dir: Path | None = None) -> HeldOut:
    """The episodes of ``frames`` frames of a simulation's YAML as in config/sources, simulated when they are read.

    Raises SourceError naming the file when it describes no simulation, or not a usable one.
    """
    content = read_source_yaml(path)
    if content["source"] != "simulation":
        raise SourceError(f"{path}: source must be 'simulation' to be evaluated on, got {content['source']!r}")
    source = open_source(path, cache_dir=cache_dir)
    sampling = FrameSampling(frames)
    robot = configured_robot(path.parent / content["robot"], cache_dir)
    return HeldOut(source.episode_ids(), lambda episode_id: source.read(episode_id, sampling), robot)


def of_split(root: Path, part: Literal["train", "val"], robot: ConfiguredRobot) -> HeldOut:
    """One part of a native data set. Raises DatasetError when there is no such folder or list of samples."""
    layout = NativeLayout(dataset_root(root))
    return HeldOut(read_split(layout, part), lambda episode_id: read_sample(layout, episode_id), robot)


def conditioning_with_robot(episode: Episode, robot: ConfiguredRobot) -> Conditioning:
    """What the episode's start gives a prediction, with the robot's pictures and its tool's path from its joints.

    Raises EpisodeError where the episode has no camera, joints, poses or pointmaps.
    """
    return conditioning_of(episode, robot_pictures(episode, robot), robot_tool(episode, robot))


def robot_pictures(episode: Episode, robot: ConfiguredRobot) -> NDArray[np.uint8]:
    """The rendered robot (T, H, W, 3), black elsewhere. Raises EpisodeError without camera, joints or poses."""
    try:
        images = rendered_robot(episode, robot, RenderSettings(rgb=True))
    except EpisodeError as error:
        raise EpisodeError(f"episode {episode.info.episode_id} shows no robot: {error}") from error
    return np.asarray(images.rgb, np.uint8)
