"""The clips that every run of a sweep is judged on: validation samples at the models' size, as they are learnt from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.ablation.sweep_settings import SweepSettings, sample_hashes
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.content_hash import content_hash
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.robot_pointmaps import robot_tool
from k4d_world_model.dataset.storage.native_sample import read_sample
from k4d_world_model.errors import AblationError, RobotNotVisibleError
from k4d_world_model.evaluation.fitted_episode import fitted_episode, shortened
from k4d_world_model.evaluation.truth import Truth, truth_of
from k4d_world_model.prediction import check_visible
from k4d_world_model.preparation import conditioning_of
from k4d_world_model.training.preparing import with_rendered_robot
from k4d_world_model.wan.architecture import Architecture

OnReading = Callable[[Iterable[tuple[Path, str]], int], Iterable[tuple[Path, str]]]


@dataclass(frozen=True, eq=False)
class HeldOutClip:
    """A clip that nothing was learnt from; ``data`` is the name of its data set's folder."""

    episode_id: str
    data: str
    conditioning: Conditioning
    truth: Truth


@dataclass(frozen=True, eq=False)
class HeldOutClips:
    """The clips, and the hash of all that they depend on: samples, size and robot."""

    clips: tuple[HeldOutClip, ...]
    sha256: str


def held_out_clips(settings: SweepSettings, architecture: Architecture, on_reading: OnReading) -> HeldOutClips:
    """The clips of a sweep: of each data set's validation list ``episodes``, spread evenly, those without robot not.

    The robot is drawn anew where the architecture reads it so, else told as it was recorded.
    Raises DatasetError where there is no data set, SampleError naming a damaged sample, AblationError where no clip is
    left.
    """
    robot = settings.drawn_robot(architecture)
    names, hashes = [], {}
    for root in settings.data:
        listed = sample_hashes(root, "val")
        hashes[root] = listed
        count = min(len(listed), settings.episodes or len(listed))
        chosen = np.linspace(0, len(listed) - 1, count).round().astype(int)
        names += [(root, tuple(listed)[index]) for index in chosen]
    clips, known = [], []
    for root, episode_id in on_reading(names, len(names)):
        clip = _clip(root, episode_id, architecture, robot)
        if clip is not None:
            clips.append(clip)
            known.append((clip.data, episode_id, hashes[root][episode_id]))
    if not clips:
        raise AblationError(f"no validation sample of {', '.join(map(str, settings.data))} shows the robot")
    size = (architecture.frames, architecture.height, architecture.width)
    return HeldOutClips(tuple(clips), content_hash([size, settings.robot_sha256(architecture), known]))


def _clip(root: Path, episode_id: str, architecture: Architecture, robot: ConfiguredRobot | None) -> HeldOutClip | None:
    episode = shortened(read_sample(NativeLayout(root), episode_id), architecture.frames)
    episode = fitted_episode(episode, architecture.height, architecture.width)
    drawn, pictures = (episode, None) if robot is None else with_rendered_robot(episode, robot)
    conditioning = conditioning_of(drawn, pictures, None if robot is None else robot_tool(drawn, robot))
    try:
        check_visible(conditioning)
    except RobotNotVisibleError:
        return None
    return HeldOutClip(episode_id, root.resolve().name, conditioning, truth_of(drawn, episode.robot_mask))
