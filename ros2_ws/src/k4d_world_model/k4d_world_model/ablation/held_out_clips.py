"""The clips that every run of a sweep is judged on: validation samples at the models' size, as they are learnt from."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.building.split_lists import read_split
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.dataset.robot_pointmaps import robot_tool
from k4d_world_model.dataset.storage.native_sample import read_sample
from k4d_world_model.errors import AblationError, RobotNotVisibleError
from k4d_world_model.evaluation.fitted_episode import fitted_episode, shortened
from k4d_world_model.evaluation.truth import Truth, truth_of
from k4d_world_model.prediction import check_visible
from k4d_world_model.preparation import conditioning_of
from k4d_world_model.training.preparing import with_rendered_robot
from k4d_world_model.wan.architecture import Architecture


@dataclass(frozen=True, eq=False)
class HeldOutClip:
    """A clip that nothing was learnt from; ``data`` is the name of its data set's folder."""

    episode_id: str
    data: str
    conditioning: Conditioning
    truth: Truth


def held_out_clips(
    roots: Sequence[Path],
    count: int | None,
    architecture: Architecture,
    robot: ConfiguredRobot | None,
    on_reading: Callable[[Iterable[tuple[Path, str]], int], Iterable[tuple[Path, str]]],
) -> tuple[HeldOutClip, ...]:
    """``count`` clips of each data set's validation list, spread evenly over it, or all; those without robot not.

    The robot is drawn anew where ``robot`` is given, else told as it was recorded.
    Raises DatasetError where there is no data set, SampleError naming a damaged sample, AblationError where no clip is
    left.
    """
    names = []
    for root in roots:
        listed = read_split(NativeLayout(dataset_root(root)), "val")
        chosen = np.linspace(0, len(listed) - 1, min(len(listed), count or len(listed))).round().astype(int)
        names += [(root, listed[index]) for index in chosen]
    clips = []
    for root, episode_id in on_reading(names, len(names)):
        clip = _clip(root, episode_id, architecture, robot)
        if clip is not None:
            clips.append(clip)
    if not clips:
        raise AblationError(f"no validation sample of {', '.join(map(str, roots))} shows the robot")
    return tuple(clips)


def _clip(root: Path, episode_id: str, architecture: Architecture, robot: ConfiguredRobot | None) -> HeldOutClip | None:
    episode = shortened(read_sample(NativeLayout(root), episode_id), architecture.frames)
    episode = fitted_episode(episode, architecture.height, architecture.width)
    drawn, pictures = (episode, None) if robot is None else with_rendered_robot(episode, robot)
    conditioning = conditioning_of(drawn, pictures, None if robot is None else robot_tool(drawn, robot))
    try:
        check_visible(conditioning)
    except RobotNotVisibleError:
        return None
    return HeldOutClip(episode_id, root.name, conditioning, truth_of(drawn, episode.robot_mask))
