"""Data sets from one layout to another, sample by sample; what is there already is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from k4d_kinematics.configuration import from_mapping
from k4d_world_model.dataset.bag_writer import write_bag
from k4d_world_model.dataset.building.build_report import ReportedEpisode
from k4d_world_model.dataset.building.build_settings import program_versions
from k4d_world_model.dataset.building.manifest import (
    Manifest,
    Value,
    differences,
    manifest_sample,
    read_manifest,
    write_lists,
    write_manifest,
)
from k4d_world_model.dataset.building.processes import results
from k4d_world_model.dataset.building.split import Part, scene_group
from k4d_world_model.dataset.building.split_lists import read_split
from k4d_world_model.dataset.layout import NativeLayout, Robo4DLayout, dataset_root
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.opening import read_source_yaml
from k4d_world_model.dataset.sources.robo4d import Robo4DConfig, Robo4DSource
from k4d_world_model.dataset.storage.native_sample import read_sample, read_sample_record, verify_sample, write_sample
from k4d_world_model.dataset.storage.robo4d_sample import (
    MASK_THRESHOLD,
    read_robo4d_sample,
    write_robo4d_lists,
    write_robo4d_sample,
)
from k4d_world_model.dataset.storage.sample_folder import SampleFolder
from k4d_world_model.dataset.storage.sample_record import sha256
from k4d_world_model.errors import DatasetError, EpisodeError, RejectedEpisodeError

Target = Literal["robo4d", "native", "bag"]


@dataclass(frozen=True)
class ConversionSettings:
    """How to convert: ``mask_threshold`` of robo4d samples that are read, ``sampling`` of those that are written, the
    source YAML of kind rosbag whose topics and frames bags get, and processes that share the work.

    Raises DatasetError when ``workers`` is below 1.
    """

    mask_threshold: int = MASK_THRESHOLD
    sampling: FrameSampling = field(default_factory=FrameSampling)
    bag_source: Path | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise DatasetError(f"workers must be at least 1, got {self.workers}")


@dataclass(frozen=True)
class Conversion:
    """How many samples the converted data set has, and which did not qualify for it and why."""

    samples: int
    rejected: tuple[ReportedEpisode, ...]


@dataclass(frozen=True)
class _Task:
    to: Target
    root: Path
    out: Path
    episode_id: str
    settings: ConversionSettings
    bag: RosbagConfig | None


def convert_dataset(
    root: Path,
    to: Target,
    out: Path,
    settings: ConversionSettings | None = None,
    on_sample: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Writes the data set at ``root``, which is of robo4d layout for ``to`` "native" and native otherwise, to ``out``.

    What it was made of stands in its ``manifest.json``, in every layout. The split stays: to "native", a sample
    validates when the published validation list names it. An interrupted conversion goes on. ``on_sample(done, total)``
    is told about progress. Raises DatasetError, SourceError or SampleError naming what is unusable, and OSError naming
    a file that cannot be written.
    """
    settings = settings or ConversionSettings()
    bag = _bag_config(settings.bag_source) if to == "bag" else None
    dataset_root(root)
    train, val = _published_split(root, settings) if to == "native" else _native_split(root)
    out.mkdir(parents=True, exist_ok=True)
    begun = _begin(NativeLayout(out), _made_of(root, to, settings, bag))
    tasks = [_Task(to, root, out, name, settings, bag) for name in (*train, *val)]
    rejected = {}
    for done, (name, reason) in enumerate(results(_convert, tasks, settings.workers), start=1):
        if reason:
            rejected[name] = reason
        if on_sample is not None:
            on_sample(done, len(tasks))
    kept: dict[str, Part] = {name: "train" for name in train if name not in rejected}
    kept |= {name: "val" for name in val if name not in rejected}
    if to == "native":
        _finish_native(NativeLayout(out), begun, kept)
    else:
        if to == "robo4d":
            write_robo4d_lists(Robo4DLayout(out), *([n for n in kept if kept[n] == part] for part in ("train", "val")))
        write_manifest(NativeLayout(out), replace(begun, complete=True))
    reported = tuple(ReportedEpisode(name, reason) for name, reason in sorted(rejected.items()))
    return Conversion(len(kept), reported)


def _bag_config(source: Path | None) -> RosbagConfig:
    if source is None:
        raise DatasetError("bags need a source YAML of kind rosbag, as config/sources/bag.yaml, for topics and frames")
    content = read_source_yaml(source)
    if content.pop("source") != "rosbag":
        raise DatasetError(f"{source}: bags need a source of kind 'rosbag'")
    return from_mapping(content, RosbagConfig)


def _native_split(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    layout = NativeLayout(root)
    return read_split(layout, "train"), read_split(layout, "val")


def _published_split(root: Path, settings: ConversionSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All videos: those of the published validation list validate, all others train."""
    names, val = (
        Robo4DSource(Robo4DConfig(split=split, mask_threshold=settings.mask_threshold), root).episode_ids()
        for split in ("all", "val")
    )
    missing = sorted(set(val) - set(names))
    if missing:
        raise DatasetError(f"{root}: the validation list names {', '.join(missing[:5])}, of which there is no video")
    return tuple(name for name in names if name not in set(val)), val


def _convert(task: _Task) -> tuple[str, str]:
    """The sample's identifier, and why it was rejected or nothing."""
    try:
        if task.to == "native":
            _to_native(task)
        elif task.to == "robo4d":
            _to_robo4d(task)
        else:
            _to_bag(task)
    except (RejectedEpisodeError, EpisodeError) as error:
        return task.episode_id, str(error)
    return task.episode_id, ""


def _to_native(task: _Task) -> None:
    layout = NativeLayout(task.out)
    if layout.sample_folder(task.episode_id).exists():
        problems = verify_sample(layout, task.episode_id)
        if problems:
            raise DatasetError(f"remove the damaged sample and convert again: {'; '.join(problems)}")
        return
    published = Robo4DLayout(task.root)
    write_sample(layout, read_robo4d_sample(published, task.episode_id, mask_threshold=task.settings.mask_threshold))


def _to_robo4d(task: _Task) -> None:
    published = Robo4DLayout(task.out)
    if not published.video(task.episode_id).exists():
        episode = read_sample(NativeLayout(task.root), task.episode_id)
        write_robo4d_sample(published, episode, sampling=task.settings.sampling)


def _to_bag(task: _Task) -> None:
    folder = task.out / task.episode_id
    if not folder.exists():
        assert task.bag is not None
        write_bag(read_sample(NativeLayout(task.root), task.episode_id), folder, task.bag)


def _made_of(root: Path, to: Target, settings: ConversionSettings, bag: RosbagConfig | None) -> dict[str, Value]:
    """All that the converted samples depend on."""
    made_of: dict[str, Value] = {"source": "robo4d" if to == "native" else "native", "root": str(root.resolve())}
    if to == "native":
        return made_of | {"mask_threshold": settings.mask_threshold}
    read_manifest(NativeLayout(root))
    made_of["manifest"] = sha256(NativeLayout(root).manifest.read_bytes())
    if to == "robo4d":
        return made_of | {"frames": settings.sampling.frames, "mirror_short": settings.sampling.mirror_short}
    return made_of | {"bag": repr(bag)}


def _begin(layout: NativeLayout, made_of: dict[str, Value]) -> Manifest:
    """The manifest, now in ``layout``'s root. Raises DatasetError when that holds what is not of this conversion."""
    if layout.manifest.exists():
        different = differences(read_manifest(layout).settings, made_of)
        if different:
            raise DatasetError(f"{layout.root} was made of something else, choose another: {'; '.join(different)}")
    elif any(path != layout.staging for path in layout.root.iterdir()):
        raise DatasetError(f"{layout.root} must be empty, or hold this conversion")
    manifest = Manifest(made_of, program_versions(), complete=False)
    write_manifest(layout, manifest)
    return manifest


def _finish_native(layout: NativeLayout, begun: Manifest, parts: Mapping[str, Part]) -> None:
    samples = tuple(
        manifest_sample(read_sample_record(layout, name), scene_group(SampleFolder(layout, name).meta.episode), part)
        for name, part in sorted(parts.items())
    )
    finished = replace(begun, complete=True, samples=samples)
    write_manifest(layout, finished)
    write_lists(layout, finished)
