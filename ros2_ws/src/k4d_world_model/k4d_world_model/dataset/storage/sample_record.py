"""What a manifest keeps of a sample, and the list of its files' checksums."""

import hashlib
import re
from dataclasses import dataclass

from k4d_world_model.errors import SampleError

_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9_.-]*)\n")


@dataclass(frozen=True)
class SampleFile:
    """A file of a sample and the sha256 of its content as hex digits."""

    name: str
    sha256: str


@dataclass(frozen=True)
class SampleRecord:
    """A sample in a manifest: which episode, which group of a stratified split, how large.

    ``bytes`` is the size of all its files together, ``files`` are those that its list of checksums names.
    """

    episode_id: str
    stratum: str
    success: bool | None
    frames: int
    height: int
    width: int
    bytes: int
    files: tuple[SampleFile, ...]


def sha256(data: bytes) -> str:
    """The digest as hex digits."""
    return hashlib.sha256(data).hexdigest()


def checksums_to_bytes(files: tuple[SampleFile, ...]) -> bytes:
    """The list as ``sha256sum --check`` reads it."""
    return "".join(f"{file.sha256}  {file.name}\n" for file in files).encode()


def checksums_from_bytes(data: bytes, name: str) -> tuple[SampleFile, ...]:
    """The files in a list of checksums. Raises SampleError naming ``name`` on a malformed line or a repeated file."""
    files = []
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(keepends=True), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise SampleError(
                f"{name}: line {number} must be a sha256, two spaces, a file name and a line feed, got {line[:120]!r}"
            )
        files.append(SampleFile(match[2], match[1]))
    names = [file.name for file in files]
    if len(set(names)) != len(names):
        raise SampleError(f"{name}: each file must be listed once, got {names}")
    return tuple(files)
