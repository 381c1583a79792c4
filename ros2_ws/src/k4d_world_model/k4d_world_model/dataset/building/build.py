"""Data sets from sources: every episode on its own in some worker, resumable at any moment."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from k4d_world_model.dataset.building.build_lock import build_lock
from k4d_world_model.dataset.building.build_report import BuildReport, ReportedEpisode, write_report
from k4d_world_model.dataset.building.build_settings import BuildSettings, identity, program_versions
from k4d_world_model.dataset.building.episode_work import EpisodeTask, Outcome, build_episode
from k4d_world_model.dataset.building.local_workers import run_in_processes
from k4d_world_model.dataset.building.manifest import (
    Manifest,
    differences,
    manifest_sample,
    read_manifest,
    write_lists,
    write_manifest,
)
from k4d_world_model.dataset.building.ray_workers import run_on_ray
from k4d_world_model.dataset.building.split import Member, split_groups
from k4d_world_model.dataset.episode import check_episode_id
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.storage.native_sample import list_samples
from k4d_world_model.errors import DatasetError

Watch = Callable[[Iterator[Outcome], int], Iterable[Outcome]]


def unwatched(outcomes: Iterator[Outcome], total: int) -> Iterable[Outcome]:
    """The outcomes as they come."""
    return outcomes


def build_dataset(source: Path, out: Path, settings: BuildSettings, watch: Watch = unwatched) -> BuildReport:
    """What was made of the episodes of the source's YAML file in the data set ``out``, which is begun or continued.

    Sound samples that are there already are kept, damaged ones made anew. ``watch`` is handed the episodes' outcomes in
    the order in which they end, and their number, and passes them on. The build may be killed at any moment; the next
    one goes on.

    Raises SourceError on an unusable source, and DatasetError when ``out`` was begun with other settings (which are
    named), holds what the source does not have, is being built by another process, or cannot be written.
    """
    started = time.monotonic()
    layout = NativeLayout(out.resolve())
    ids = _episode_ids(source, settings)
    plain = Manifest(identity(source, settings), program_versions(), complete=False)
    try:
        _make_root(layout)
        with build_lock(layout) as build_id, _cleared_staging(layout):
            manifest = _begin(layout, plain)
            write_manifest(layout, manifest)
            asked = _with_existing(layout, ids, settings.episodes, manifest)
            tasks = _tasks(asked, source, layout, settings, build_id, manifest)
            outcomes = _outcomes(tasks, settings, watch)
            manifest = _finished(manifest, outcomes, settings)
            report = _report(manifest, outcomes, source, time.monotonic() - started)
            write_lists(layout, manifest)
            write_report(layout, report)
            write_manifest(layout, manifest)  # last, since it says that all is complete
    except OSError as error:
        raise DatasetError(f"{out}: {error}; what was built is kept, the same command goes on with it") from error
    return report


@contextmanager
def _cleared_staging(layout: NativeLayout) -> Iterator[None]:
    """Removes what killed workers left behind, before and after."""
    shutil.rmtree(layout.staging, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(layout.staging, ignore_errors=True)


def _episode_ids(source: Path, settings: BuildSettings) -> tuple[str, ...]:
    ids = open_source(source, root=settings.root, cache_dir=settings.cache).episode_ids()
    for episode_id in ids:
        check_episode_id(episode_id)
    if len(set(ids)) < len(ids):
        twice = sorted({episode_id for episode_id in ids if ids.count(episode_id) > 1})
        raise DatasetError(f"{source}: the source names episodes twice: {', '.join(twice)}")
    if settings.episodes is not None and settings.episodes > len(ids):
        raise DatasetError(f"{source}: {settings.episodes} episodes were asked for, the source has {len(ids)}")
    return ids


def _make_root(layout: NativeLayout) -> None:
    """Makes the data set's folder. Raises DatasetError on one that holds something else."""
    layout.root.mkdir(parents=True, exist_ok=True)
    if not layout.manifest.exists():
        others = sorted(path.name for path in layout.root.iterdir() if path not in (layout.lock, layout.staging))
        if others:
            raise DatasetError(
                f"{layout.root} must be empty or a data set with {layout.manifest.name}, it holds {', '.join(others)}"
            )


def _begin(layout: NativeLayout, manifest: Manifest) -> Manifest:
    """The manifest, with the samples and the split of an earlier build that was made of the same."""
    if not layout.manifest.exists():
        return manifest
    earlier = read_manifest(layout)
    different = differences(earlier.settings, manifest.settings)
    if different:
        raise DatasetError(
            f"{layout.root} was begun with other settings, choose another folder: {'; '.join(different)}"
        )
    return replace(manifest, samples=earlier.samples, absent_groups=earlier.absent_groups)


def _with_existing(
    layout: NativeLayout, ids: tuple[str, ...], count: int | None, manifest: Manifest
) -> tuple[str, ...]:
    """The first ``count`` of the source's episodes and those that are samples already, or should be by the manifest."""
    existing = {sample.episode_id for sample in manifest.samples} | set(list_samples(layout))
    strange = sorted(existing - set(ids))
    if strange:
        raise DatasetError(f"{layout.samples} holds samples that the source does not have: {', '.join(strange[:5])}")
    chosen = set(ids[:count])
    return tuple(episode_id for episode_id in ids if episode_id in chosen or episode_id in existing)


def _tasks(
    ids: Sequence[str],
    source: Path,
    layout: NativeLayout,
    settings: BuildSettings,
    build_id: str,
    manifest: Manifest,
) -> list[EpisodeTask]:
    known = {sample.episode_id: sample.sha256 for sample in manifest.samples}
    task = EpisodeTask(
        episode_id="",
        source=str(source.resolve()),
        root=str(settings.root.resolve()) if settings.root else "",
        cache=str(settings.cache.resolve()) if settings.cache else "",
        out=str(layout.root),
        build_id=build_id,
        sha256="",
        sampling=settings.sampling,
    )
    return [replace(task, episode_id=name, sha256=known.get(name, "")) for name in ids]


def _outcomes(tasks: Sequence[EpisodeTask], settings: BuildSettings, watch: Watch) -> list[Outcome]:
    """All outcomes. Raises DatasetError as soon as the disk is full."""
    if settings.ray:
        running = run_on_ray(build_episode, tasks, settings.ray, settings.worker_count)
    else:
        running = run_in_processes(build_episode, tasks, settings.worker_count)
    outcomes: list[Outcome] = []
    with closing(running):
        for outcome in watch(running, len(tasks)):
            if outcome.kind == "no_space":
                raise DatasetError(
                    f"no space is left, at episode {outcome.episode_id} ({len(outcomes)} of {len(tasks)} were done): "
                    f"{outcome.reason}; free some and give the same command again, which goes on"
                )
            outcomes.append(outcome)
    return outcomes


def _finished(manifest: Manifest, outcomes: Sequence[Outcome], settings: BuildSettings) -> Manifest:
    """The manifest with all samples that there are now, split."""
    made = sorted((outcome for outcome in outcomes if outcome.record is not None), key=lambda made: made.episode_id)
    members = [Member(str(outcome.record.stratum), outcome.group) for outcome in made if outcome.record is not None]
    before = manifest.parts()
    parts = split_groups(members, settings.validation_share, settings.split_seed, before)
    return replace(
        manifest,
        complete=not any(outcome.kind == "failed" for outcome in outcomes),
        samples=tuple(manifest_sample(made.record, made.group, parts[made.group]) for made in made if made.record),
        absent_groups={group: part for group, part in before.items() if group not in parts},
    )


def _report(manifest: Manifest, outcomes: Sequence[Outcome], source: Path, seconds: float) -> BuildReport:
    kinds = Counter(outcome.kind for outcome in outcomes)
    return BuildReport(
        source=source.name,
        written=kinds["written"],
        kept=kinds["kept"],
        train=len(manifest.episode_ids("train")),
        val=len(manifest.episode_ids("val")),
        rejected=_reported(outcomes, "rejected"),
        failed=_reported(outcomes, "failed"),
        damaged=_sorted(ReportedEpisode(o.episode_id, "; ".join(o.damage)) for o in outcomes if o.damage),
        seconds=seconds,
    )


def _reported(outcomes: Iterable[Outcome], kind: str) -> tuple[ReportedEpisode, ...]:
    return _sorted(ReportedEpisode(o.episode_id, o.reason) for o in outcomes if o.kind == kind)


def _sorted(episodes: Iterable[ReportedEpisode]) -> tuple[ReportedEpisode, ...]:
    return tuple(sorted(episodes, key=lambda episode: episode.episode_id))
