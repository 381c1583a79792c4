"""An execution that was recorded: a bag, or a sample of a data set, and when in it the plan began."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, JointTrajectory
from k4d_world_model.comparison.plan_following import STEP, following
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import META, NativeLayout, dataset_root
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.sources.rosbag import RosbagSource
from k4d_world_model.dataset.storage.native_sample import read_sample
from k4d_world_model.errors import ComparisonError
from k4d_world_model.rollout import Rollout

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StartRule:
    """How it is found out when the execution began: at ``moment`` where that is given, otherwise ``by``.

    moment: seconds on the recording's clock. by: "stamp" of the picture that the prediction starts from, or "joints",
    which say when the robot followed the plan. error: what the latter may be off, rad or m (root mean square).
    """

    moment: float | None = None
    by: Literal["stamp", "joints"] = "stamp"
    error: float = 0.05


@dataclass(frozen=True, eq=False)
class RecordedExecution:
    """Executed frames, the moment (seconds on their clock) at which the plan began, how that is known, the robot."""

    frames: Episode
    start: float
    known_by: str
    robot: ConfiguredRobot | None


def recorded_execution(
    path: Path, source: Path, rollout: Rollout, stamp_ns: int, rule: StartRule, cache_dir: Path | None = None
) -> RecordedExecution:
    """What ``path`` recorded of a rollout's plan: of a bag the frames nearest to the predicted ones, of a sample all.

    ``source`` is the YAML that reads bags (see config/sources/bag.yaml). Raises ComparisonError when the start is not
    found, SourceError and RejectedEpisodeError on bags that cannot be used, and SampleError on damaged samples.
    """
    if (path / META).is_file():
        episode = read_sample(NativeLayout(dataset_root(path.resolve().parents[1])), path.resolve().name)
        return RecordedExecution(episode, *_start(rollout, stamp_ns, rule, episode.joints), None)
    bags = open_source(source, root=path, cache_dir=cache_dir)
    if not isinstance(bags, RosbagSource):
        raise ComparisonError(f"{source}: must describe recordings of source 'rosbag' to read {path}")
    names = bags.episode_ids()
    if len(names) != 1:
        raise ComparisonError(f"{path}: must be one recording, got {len(names)}: {', '.join(names)}")
    joints = bags.joints(names[0], STEP) if rule.by == "joints" and rule.moment is None else None
    start, known_by = _start(rollout, stamp_ns, rule, joints)
    return RecordedExecution(bags.read_nearest(names[0], rollout.times + start), start, known_by, bags.robot)


def _start(rollout: Rollout, stamp_ns: int, rule: StartRule, joints: JointTrajectory | None) -> tuple[float, str]:
    if rule.moment is not None:
        return rule.moment, "as given"
    if rule.by == "stamp":
        return stamp_ns / 1e9, "the stamp of the picture that the prediction starts from"
    if rollout.joints is None or joints is None:
        whose = "the rollout" if rollout.joints is None else "the recording"
        raise ComparisonError(f"{whose} says nothing of the robot's joints, by which the start was to be found")
    found = following(rollout.joints, joints)
    if not found.holds(rule.error):
        raise ComparisonError(
            f"the recorded joints never follow the plan: at best they are {found.error:.4f} (rad or m, root mean "
            f"square) from it, at {found.start:.3f} s; at most {rule.error} count as following, and half of the "
            f"{found.standing:.4f} of a robot that stands still"
        )
    return found.start, f"joints, which follow the plan from then on within {found.error:.4f} rad or m"
