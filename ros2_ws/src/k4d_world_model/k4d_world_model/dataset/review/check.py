"""A data set verified: every file, the lists, and what looks wrong in the episodes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from k4d_kinematics.pictures import write_png
from k4d_world_model.dataset.building.manifest import Manifest, ManifestSample, read_manifest
from k4d_world_model.dataset.building.processes import results
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.dataset.review.consistency import (
    group_problems,
    manifest_problems,
    record_problems,
    split_problems,
)
from k4d_world_model.dataset.review.flags import FlagThresholds, JointLimits, flag_episode
from k4d_world_model.dataset.review.show import episode_sheet
from k4d_world_model.dataset.storage.native_sample import list_samples, read_sample, verify_sample
from k4d_world_model.errors import DatasetError, SampleError


@dataclass(frozen=True)
class CheckSettings:
    """How a data set is checked.

    ``limits`` of the robot's joints are checked where given. ``sheets`` contact sheets are drawn of samples spread
    evenly over the data set, besides one of every sample that is flagged. ``workers`` processes share the work.
    Raises DatasetError when ``sheets`` is negative or ``workers`` below 1.
    """

    thresholds: FlagThresholds = field(default_factory=FlagThresholds)
    limits: JointLimits | None = None
    sheets: int = 200
    workers: int = 1

    def __post_init__(self) -> None:
        if self.sheets < 0 or self.workers < 1:
            raise DatasetError(f"sheets must be >= 0 and workers >= 1, got {self.sheets} and {self.workers}")


@dataclass(frozen=True)
class EpisodeCheck:
    """What was found on one sample: ``failures`` make the data set fail, ``warnings`` are for the reviewer.

    ``summary`` says what it is, ``sheet`` is its picture.
    """

    episode_id: str
    failures: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    summary: str = ""
    sheet: Path | None = None


@dataclass(frozen=True)
class CheckReport:
    """What was found on a data set: ``problems`` of the whole, and every sample's findings in order."""

    root: Path
    problems: tuple[str, ...]
    episodes: tuple[EpisodeCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing makes the data set fail; warnings do not."""
        return not self.problems and not any(episode.failures for episode in self.episodes)


@dataclass(frozen=True)
class _Task:
    layout: NativeLayout
    episode_id: str
    expected: ManifestSample | None
    settings: CheckSettings
    draw: bool


def check_dataset(
    root: Path, settings: CheckSettings | None = None, on_episode: Callable[[int, int], None] | None = None
) -> CheckReport:
    """What was found on the native data set at ``root``; draws contact sheets into its review folder.

    ``on_episode(done, total)`` is told about progress. Raises DatasetError when there is no such folder, and
    SampleError when its review folder is a link out of it.
    """
    layout, settings = NativeLayout(dataset_root(root)), settings or CheckSettings()
    problems: list[str] = []
    present: tuple[str, ...] = ()
    manifest: Manifest | None = None
    try:
        present = list_samples(layout)
    except SampleError as error:
        problems.append(str(error))
    try:
        manifest = read_manifest(layout)
    except DatasetError as error:
        problems.append(str(error))
    expected = {sample.episode_id: sample for sample in manifest.samples} if manifest else {}
    episodes = _check_episodes(layout, present, expected, settings, on_episode)
    if manifest is not None:
        problems += manifest_problems(layout, manifest, present) + split_problems(layout, manifest)
    return CheckReport(root, tuple(problems), episodes)


def _check_episodes(
    layout: NativeLayout,
    present: tuple[str, ...],
    expected: dict[str, ManifestSample],
    settings: CheckSettings,
    on_episode: Callable[[int, int], None] | None,
) -> tuple[EpisodeCheck, ...]:
    sheets = layout.inside(layout.review_sheet("any").parent)
    for sheet in sheets.glob("*.png"):
        sheet.unlink()
    sheets.mkdir(parents=True, exist_ok=True)
    drawn = set(np.linspace(0, len(present) - 1, min(settings.sheets, len(present))).round().astype(int).tolist())
    tasks = [_Task(layout, name, expected.get(name), settings, i in drawn) for i, name in enumerate(present)]
    checks = {}
    for done, check in enumerate(results(_check_episode, tasks, settings.workers), start=1):
        checks[check.episode_id] = check
        if on_episode is not None:
            on_episode(done, len(tasks))
    return tuple(checks[name] for name in present)


def _check_episode(task: _Task) -> EpisodeCheck:
    layout, episode_id, settings = task.layout, task.episode_id, task.settings
    problems = list(verify_sample(layout, episode_id))
    if not problems and task.expected is not None:
        problems = record_problems(layout, task.expected)
    try:
        episode = read_sample(layout, episode_id)
    except SampleError as error:
        return EpisodeCheck(episode_id, tuple(dict.fromkeys([*problems, str(error)])))
    if task.expected is not None:
        problems += group_problems(layout, task.expected, episode.info)
    flags = flag_episode(episode, settings.thresholds, settings.limits)
    folder = layout.sample_folder(episode_id)
    problems += [f"{folder}: {flag.name}: {flag.message}" for flag in flags if flag.is_failure]
    sheet = layout.review_sheet(episode_id) if task.draw or flags or problems else None
    if sheet is not None:
        write_png(sheet, episode_sheet(episode, tolerance=settings.thresholds.tolerance))
    return EpisodeCheck(
        episode_id=episode_id,
        failures=tuple(problems),
        warnings=tuple(f"{flag.name}: {flag.message}" for flag in flags if not flag.is_failure),
        summary=_summary(episode),
        sheet=sheet,
    )


def _summary(episode: Episode) -> str:
    count, height, width = episode.rgb.shape[:3]
    duration = episode.times[-1] - episode.times[0]
    return f"{episode.info.stratum}, {count} x {height} x {width} over {duration:.2f} s, {episode.scale}"
