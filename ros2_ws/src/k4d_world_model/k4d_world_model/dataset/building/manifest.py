"""The manifest of a data set: what it was made with, and one line for every sample."""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dacite

from k4d_world_model.dataset.building.split import Part
from k4d_world_model.dataset.episode import check_episode_id
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.flushed_files import flush_folder, write_flushed
from k4d_world_model.dataset.storage.sample_record import SampleRecord, checksums_to_bytes, sha256
from k4d_world_model.errors import DatasetError

VERSION = 1
"""Raise it whenever the manifest's fields or their meaning change."""

Value = str | int | float | bool | None


@dataclass(frozen=True)
class ManifestSample:
    """A sample: its record, with the sha256 of its list of checksums, and its ``group`` and ``part`` of the split.

    Raises EpisodeError on an ``episode_id`` that is no safe file name.
    """

    episode_id: str
    group: str
    part: Part
    stratum: str
    success: bool | None
    frames: int
    height: int
    width: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        check_episode_id(self.episode_id)


@dataclass(frozen=True)
class Manifest:
    """A data set's settings and samples, sorted by identifier.

    ``settings`` are all that a sample depends on, flat: "frames", "source.height" ... Builds of one data set agree in
    them. ``versions`` are those of the programs of the last build. ``complete`` is False while one runs, and after it
    where an episode failed. ``absent_groups`` keeps the part of groups that have no sample now but had one, so that
    they never change sides.
    """

    settings: dict[str, Value]
    versions: dict[str, str]
    complete: bool
    samples: tuple[ManifestSample, ...] = ()
    absent_groups: dict[str, Part] = field(default_factory=dict)
    version: int = VERSION

    def parts(self) -> dict[str, Part]:
        """The part of every group that was ever assigned one."""
        return self.absent_groups | {sample.group: sample.part for sample in self.samples}

    def episode_ids(self, part: Part) -> tuple[str, ...]:
        """The samples of one part of the split."""
        return tuple(sample.episode_id for sample in self.samples if sample.part == part)


def manifest_sample(record: SampleRecord, group: str, part: Part) -> ManifestSample:
    """The manifest's line for a sample."""
    return ManifestSample(
        record.episode_id, group, part, record.stratum, record.success, record.frames, record.height, record.width,
        record.bytes, sha256(checksums_to_bytes(record.files)),
    )  # fmt: skip


def differences(before: Mapping[str, Value], now: Mapping[str, Value]) -> tuple[str, ...]:
    """What two settings differ in, one sentence a key, sorted."""
    absent = "absent"
    values = {key: (before.get(key, absent), now.get(key, absent)) for key in sorted({*before, *now})}
    return tuple(f"{key} was {old!r} and is {new!r} now" for key, (old, new) in values.items() if old != new)


def read_manifest(layout: NativeLayout) -> Manifest:
    """The manifest of a data set. Raises DatasetError naming the file when it is missing, damaged or not of VERSION."""
    path = layout.manifest
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        version = content.get("version") if isinstance(content, dict) else None
        raise DatasetError(f"{path}: version {version!r} cannot be read, valid is {VERSION}")
    missing = Manifest.__dataclass_fields__.keys() - content.keys()
    if missing:
        raise DatasetError(f"{path}: missing fields: {', '.join(sorted(missing))}")
    try:
        return dacite.from_dict(Manifest, content, dacite.Config(strict=True, cast=[tuple]))
    except (dacite.DaciteError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: {error}") from error


def write_manifest(layout: NativeLayout, manifest: Manifest) -> None:
    """Writes the manifest in one step, a line a sample."""
    content: dict[str, Any] = asdict(manifest)
    samples = ",\n".join(f"  {json.dumps(sample, ensure_ascii=False)}" for sample in content.pop("samples"))
    head = json.dumps(content, indent=1, ensure_ascii=False).removesuffix("\n}")
    write_text(layout, layout.manifest, f'{head},\n "samples": [\n{samples}\n ]\n}}\n')


def write_lists(layout: NativeLayout, manifest: Manifest) -> None:
    """Writes the lists of training and validation samples, each in one step."""
    write_text(layout, layout.train_list, _lines(manifest.episode_ids("train")))
    write_text(layout, layout.val_list, _lines(manifest.episode_ids("val")))


def write_text(layout: NativeLayout, path: Path, text: str) -> None:
    """Writes a file of the data set's root so that others see the old or the new one, whatever happens meanwhile.

    Raises SampleError when the staging folder is a link out of it.
    """
    staged = layout.inside(layout.staging) / f"{path.name}.{uuid.uuid4().hex}"
    staged.parent.mkdir(parents=True, exist_ok=True)
    write_flushed(staged, text.encode())
    staged.replace(path)
    flush_folder(path.parent)


def _lines(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in names)
