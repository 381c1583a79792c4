"""Samples of the native layout: one folder an episode, lossless, complete or not there at all."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from k4d_world_model.dataset import layout as files
from k4d_world_model.dataset.episode import Episode, check_episode_id
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.dataset.storage.sample_codec import Array, assemble, decode, encode
from k4d_world_model.dataset.storage.sample_folder import SampleFolder, check_is_new, write_folder
from k4d_world_model.dataset.storage.sample_meta import PARTS, SampleMeta
from k4d_world_model.dataset.storage.sample_record import SampleFile, SampleRecord, checksums_to_bytes, sha256
from k4d_world_model.errors import EpisodeError, SampleError

_READERS = 3  # each part's decoder runs on one thread


def write_sample(layout: NativeLayout, episode: Episode) -> SampleRecord:
    """The record of an episode that now is a sample: written aside, flushed to disk, then moved in one step.

    Pictures, mask, joints and calibration are kept exactly, points to half a step of ``depth_codec``. Raises
    SampleError when the sample exists, EpisodeError when points cannot be kept so, and OSError naming the file when it
    cannot be written, as on a full disk; then nothing is left behind.
    """
    check_is_new(layout, episode.info.episode_id)
    meta, contents = encode(episode)
    listed = tuple(SampleFile(name, sha256(data)) for name, data in contents)
    contents = (*contents, (files.CHECKSUMS, checksums_to_bytes(listed)))
    write_folder(layout, episode.info.episode_id, contents)
    return _record(meta, sum(len(data) for _, data in contents), listed)


def read_sample(layout: NativeLayout, episode_id: str, parts: Collection[str] = PARTS) -> Episode:
    """The episode of a sample; of "scene_points", "robot_points" and "robot_mask" only those among ``parts``.

    Every file is compared with its checksum before it is decoded. Raises SampleError naming the file that is missing,
    damaged, of another version or contradicts the others, and EpisodeError on unknown parts.
    """
    if not set(parts) <= set(PARTS) or ("robot_points" in parts and "robot_mask" not in parts):
        raise EpisodeError(f"parts must be of {PARTS}, robot_points only with robot_mask, got {tuple(parts)}")
    folder = SampleFolder(layout, episode_id)
    wanted = [part for part in PARTS if folder.meta.file_of(part) is not None and part in ("rgb", *parts)]
    with ThreadPoolExecutor(_READERS) as readers:
        arrays = list(readers.map(lambda part: _decode(folder, part), wanted))
    return _assemble(folder, dict(zip(wanted, arrays, strict=True)))


def read_sample_record(layout: NativeLayout, episode_id: str) -> SampleRecord:
    """The record of a sample from its meta file and list of checksums; pictures and points are not read.

    Raises SampleError naming the file that is missing or damaged.
    """
    folder = SampleFolder(layout, episode_id)
    return _record(folder.meta, folder.size(), folder.checksums)


def list_samples(layout: NativeLayout) -> tuple[str, ...]:
    """The identifiers of all samples in order; what lies in staging is none.

    Raises DatasetError when there is no data set, SampleError naming what in the folder of samples is no sample.
    """
    dataset_root(layout.root)
    if not layout.samples.exists():
        return ()
    for path in layout.inside(layout.samples).iterdir():
        try:
            check_episode_id(path.name)
        except EpisodeError as error:
            raise SampleError(f"{path}: is no sample, remove it: {error}") from error
    return tuple(sorted(path.name for path in layout.samples.iterdir()))


def verify_sample(layout: NativeLayout, episode_id: str, *, decode: bool = True) -> tuple[str, ...]:
    """Every problem of a sample, each naming its file; empty when it is sound.

    Everything is read and, unless ``decode`` is False, decoded: checksums alone show what happened after writing.
    """
    problems: list[str] = []
    parts: dict[str, Array] = {}
    try:
        folder = SampleFolder(layout, episode_id)
        listed = [file.name for file in folder.checksums]
        problems += _file_problems(folder, listed)
        meta = folder.meta
        expected = meta.files()
    except SampleError as error:
        return tuple(dict.fromkeys([*problems, str(error)]))
    unexpected = [name for name in listed if name not in expected]
    problems += [f"{folder.path / name}: is listed, but {files.META} says nothing of it" for name in unexpected]
    unlisted = [name for name in expected if name not in listed]
    problems += [f"{folder.path / name}: has no checksum in {files.CHECKSUMS}" for name in unlisted]
    if not decode:
        return tuple(dict.fromkeys(problems))
    for part in PARTS:
        if meta.file_of(part) in listed:
            try:
                parts[part] = _decode(folder, part)
            except SampleError as error:
                problems.append(str(error))
    if not problems:
        try:
            _assemble(folder, parts)
        except SampleError as error:
            problems.append(str(error))
    return tuple(dict.fromkeys(problems))


def _file_problems(folder: SampleFolder, listed: list[str]) -> list[str]:
    known = (*listed, files.CHECKSUMS)
    problems = [f"{folder.path / name}: does not belong to the sample" for name in folder.names() if name not in known]
    for name in listed:
        try:
            folder.read_sound(name)
        except SampleError as error:
            problems.append(str(error))
    return problems


def _decode(folder: SampleFolder, part: str) -> Array:
    name = str(folder.meta.file_of(part))
    return decode(folder.meta, part, folder.read_sound(name), str(folder.path / name))


def _assemble(folder: SampleFolder, arrays: dict[str, Array]) -> Episode:
    try:
        return assemble(folder.meta, arrays)
    except EpisodeError as error:
        raise SampleError(f"{folder.path / files.META}: does not fit the sample's files: {error}") from error


def _record(meta: SampleMeta, size: int, listed: tuple[SampleFile, ...]) -> SampleRecord:
    frames, height, width = meta.shape
    info = meta.episode
    return SampleRecord(info.episode_id, info.stratum, info.success, frames, height, width, size, listed)
