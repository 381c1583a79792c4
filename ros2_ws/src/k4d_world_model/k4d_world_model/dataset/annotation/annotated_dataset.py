"""A data set annotated into another one, sample by sample; samples themselves are never changed."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from k4d_world_model.dataset.annotation.annotator import Annotator
from k4d_world_model.dataset.annotation.applying import apply_annotations
from k4d_world_model.dataset.building.build_lock import build_lock
from k4d_world_model.dataset.building.manifest import (
    Manifest,
    differences,
    manifest_sample,
    read_manifest,
    write_lists,
    write_manifest,
)
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import (
    list_samples,
    read_sample,
    read_sample_record,
    verify_sample,
    write_sample,
)
from k4d_world_model.errors import AnnotationError, DatasetError, EpisodeError, SampleError


@dataclass(frozen=True)
class AnnotationReport:
    """What became of the samples: ``written`` now, ``kept`` from before, and ``failed`` with the reason of each."""

    written: int
    kept: int
    failed: tuple[tuple[str, str], ...]


def annotate_dataset(
    root: Path,
    out: Path,
    annotator: Annotator,
    *,
    episodes: Sequence[str] = (),
    replace_robot: bool = False,
    watch: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> AnnotationReport:
    """Annotates samples of the data set ``root`` (all, or just ``episodes``) into the data set ``out``.

    Sound samples that ``out`` has already are kept, so that the same call goes on where one was stopped. Training and
    validation samples stay on their sides. ``watch`` is handed the identifiers and passes them on one by one.

    Raises DatasetError on unknown episodes, when ``out`` is ``root``, holds something else, was begun with another
    tool, or cannot be written. An episode that fails is reported and the others go on.
    """
    source, target = NativeLayout(root.resolve()), NativeLayout(out.resolve())
    if source.root == target.root:
        raise DatasetError(f"{out}: samples are never changed; annotate into another folder")
    made_of = read_manifest(source)
    ids = _chosen(made_of, episodes)
    settings = {
        **made_of.settings,
        "annotation.tool": annotator.tool,
        "annotation.replace_robot": replace_robot,
    }
    manifest = replace(made_of, settings=settings, samples=(), absent_groups=made_of.parts(), complete=False)
    try:
        _begin(target, manifest)
        with build_lock(target):
            shutil.rmtree(target.staging, ignore_errors=True)
            report = _annotate_all(source, target, annotator, watch(ids), replace_robot=replace_robot)
            manifest = _finished(manifest, made_of, target, complete=not report.failed)
            write_manifest(target, manifest)
            write_lists(target, manifest)
            shutil.rmtree(target.staging, ignore_errors=True)
    except OSError as error:
        raise DatasetError(f"{out}: {error}; what was annotated is kept, the same command goes on with it") from error
    return report


def _chosen(manifest: Manifest, episodes: Sequence[str]) -> tuple[str, ...]:
    known = tuple(sample.episode_id for sample in manifest.samples)
    unknown = [name for name in episodes if name not in known]
    if unknown:
        shown = ", ".join(known[:5]) + ", ..." * (len(known) > 5)
        raise DatasetError(f"the data set has no episode {', '.join(unknown)}; it has {shown}")
    return tuple(dict.fromkeys(episodes)) or known


def _begin(layout: NativeLayout, manifest: Manifest) -> None:
    """Makes the data set, or checks that an earlier one was made of the same with the same."""
    layout.root.mkdir(parents=True, exist_ok=True)
    if layout.manifest.exists():
        different = differences(read_manifest(layout).settings, manifest.settings)
        if different:
            raise DatasetError(
                f"{layout.root} was begun with other settings, choose another folder: {'; '.join(different)}"
            )
    elif strange := sorted(path.name for path in layout.root.iterdir() if path not in (layout.lock, layout.staging)):
        raise DatasetError(f"{layout.root} must be empty or an annotated data set, it holds {', '.join(strange)}")
    else:
        with build_lock(layout):
            write_manifest(layout, manifest)


def _annotate_all(
    source: NativeLayout, target: NativeLayout, annotator: Annotator, ids: Iterable[str], *, replace_robot: bool
) -> AnnotationReport:
    written, kept, failed = 0, 0, []
    for name in ids:
        if target.sample_folder(name).exists():
            if not verify_sample(target, name):
                kept += 1
                continue
            shutil.rmtree(target.inside(target.sample_folder(name)))
        try:
            episode = read_sample(source, name)
            annotated = apply_annotations(episode, annotator.annotate(episode), replace_robot=replace_robot)
            write_sample(target, annotated)
            written += 1
        except (AnnotationError, SampleError, EpisodeError) as error:
            failed.append((name, str(error)))
    return AnnotationReport(written, kept, tuple(failed))


def _finished(manifest: Manifest, made_of: Manifest, layout: NativeLayout, *, complete: bool) -> Manifest:
    """The manifest with all samples that there are now, each on the side of the split that it came from."""
    origin = {sample.episode_id: sample for sample in made_of.samples}
    samples = []
    for name in list_samples(layout):
        if name not in origin:
            raise DatasetError(f"{layout.sample_folder(name)}: the annotated data set does not have this sample")
        samples.append(manifest_sample(read_sample_record(layout, name), origin[name].group, origin[name].part))
    present = {sample.group for sample in samples}
    absent = {group: part for group, part in made_of.parts().items() if group not in present}
    return replace(manifest, samples=tuple(samples), absent_groups=absent, complete=complete)
