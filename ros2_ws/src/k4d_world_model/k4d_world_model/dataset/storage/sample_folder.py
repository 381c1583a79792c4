"""The files of one native sample on disk: read, compared with their checksums, written in one step."""

import os
import shutil
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from k4d_world_model.dataset.layout import CHECKSUMS, META, NativeLayout
from k4d_world_model.dataset.storage import sample_meta
from k4d_world_model.dataset.storage.flushed_files import flush_folder, write_flushed
from k4d_world_model.dataset.storage.sample_meta import SampleMeta
from k4d_world_model.dataset.storage.sample_record import SampleFile, checksums_from_bytes, sha256
from k4d_world_model.errors import SampleError


@dataclass(frozen=True)
class SampleFolder:
    """A sample's folder. Raises SampleError when there is none or links lead out of the data set."""

    layout: NativeLayout
    episode_id: str

    def __post_init__(self) -> None:
        if not self.layout.inside(self.path).is_dir():
            raise SampleError(f"{self.path}: no such sample")

    @property
    def path(self) -> Path:
        """The folder."""
        return self.layout.sample_folder(self.episode_id)

    @cached_property
    def checksums(self) -> tuple[SampleFile, ...]:
        """The files that the list of checksums names. Raises SampleError when it is missing or damaged."""
        return checksums_from_bytes(self.read(CHECKSUMS), str(self.path / CHECKSUMS))

    @cached_property
    def meta(self) -> SampleMeta:
        """The content of the meta file. Raises SampleError when it is missing, damaged or of another episode."""
        path = self.path / META
        meta = sample_meta.from_bytes(self.read_sound(META), str(path))
        if meta.episode.episode_id != self.episode_id:
            raise SampleError(f"{path}: is of episode {meta.episode.episode_id!r}, expected {self.episode_id!r}")
        return meta

    def read(self, name: str) -> bytes:
        """The content of a file. Raises SampleError naming it when it is missing, no file, or outside the data set."""
        path = self.layout.inside(self.path / name)
        if path.exists() and not path.is_file():
            raise SampleError(f"{path}: is no regular file")
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise SampleError(f"{path}: the file is missing") from error
        except OSError as error:
            raise SampleError(f"{path}: cannot be read: {error.strerror}") from error

    def read_sound(self, name: str) -> bytes:
        """The content of a file whose checksum is right. Raises SampleError naming it otherwise."""
        listed = {file.name: file.sha256 for file in self.checksums}
        if name not in listed:
            raise SampleError(f"{self.path / name}: has no checksum in {CHECKSUMS}, which lists {', '.join(listed)}")
        data = self.read(name)
        if sha256(data) != listed[name]:
            raise SampleError(f"{self.path / name}: wrong checksum, its content is not what was written")
        return data

    def names(self) -> tuple[str, ...]:
        """Names of everything that lies in the folder, in order."""
        return tuple(sorted(entry.name for entry in self.path.iterdir()))

    def size(self) -> int:
        """Bytes of the listed files and of the list. Raises SampleError naming a file that is missing."""
        paths = [self.path / file.name for file in self.checksums] + [self.path / CHECKSUMS]
        try:
            return sum(path.stat().st_size for path in paths)
        except FileNotFoundError as error:
            raise SampleError(f"{error.filename}: the file is missing") from error


def write_folder(layout: NativeLayout, episode_id: str, contents: tuple[tuple[str, bytes], ...]) -> None:
    """Makes a sample's folder with files of these names and contents: flushed to disk aside, then moved in one step.

    Raises SampleError when there is one already, and OSError naming the file when the disk does not take it; then
    nothing is left behind.
    """
    folder = layout.inside(layout.sample_folder(episode_id))
    staged = layout.inside(layout.staging) / f"{episode_id}.{uuid.uuid4().hex}"
    staged.mkdir(parents=True)
    try:
        for name, data in contents:
            write_flushed(staged / name, data)
        flush_folder(staged)
        folder.parent.mkdir(exist_ok=True)
        _move(staged, folder)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    flush_folder(folder.parent)


def check_is_new(layout: NativeLayout, episode_id: str) -> None:
    """Raises SampleError when there is a sample of this name."""
    folder = layout.sample_folder(episode_id)
    if os.path.lexists(folder):
        raise SampleError(f"{folder}: exists already; a sample is written once")


def _move(staged: Path, folder: Path) -> None:
    try:
        os.rename(staged, folder)
    except OSError:
        if os.path.lexists(folder):
            raise SampleError(f"{folder}: exists already; a sample is written once") from None
        raise
