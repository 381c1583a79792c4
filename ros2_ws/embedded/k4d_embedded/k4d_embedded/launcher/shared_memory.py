"""Fast DDS' files in /dev/shm that processes leave behind when they are killed.

A file is removed only if a process that the launcher started had it mapped, it is still the same file (inode), no
living process has it mapped any more, and nobody holds the lock beside it. The launcher looks twice per second, so what
a child maps in the last half second before it is killed is not seen.
"""

import fcntl
import os
import re
from collections.abc import Iterable

FOLDER = "/dev/shm"

_MAPPED = re.compile(rf"^\S+ \S+ \S+ \S+ (\d+)\s+{FOLDER}/(fast(?:dds|rtps|_datasharing)_\w+)$", re.MULTILINE)
_LOCK_ENDINGS = ("_el", "_sl")

Segment = tuple[str, int]  # file name and inode


def mapped_segments(processes: Iterable[int]) -> set[Segment]:
    """Return the Fast DDS segments that processes have mapped; those that have ended or are foreign count as none."""
    found = set()
    for process in processes:
        try:
            with open(f"/proc/{process}/maps") as file:
                found |= {(name, int(inode)) for inode, name in _MAPPED.findall(file.read())}
        except OSError:
            continue
    return found


def remove_stale(segments: Iterable[Segment]) -> list[str]:
    """Remove those segments, with their locks and mutexes, that nobody uses any more; returns their names."""
    in_use = mapped_segments(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    removed = []
    for name, inode in sorted(set(segments) - in_use):
        if _inode(name) == inode and not _is_locked(name):
            for file in (name, *(name + ending for ending in _LOCK_ENDINGS), f"sem.{name}_mutex"):
                _remove(file)
            removed.append(name)
    return removed


def _inode(name: str) -> int | None:
    try:
        return os.stat(os.path.join(FOLDER, name)).st_ino
    except FileNotFoundError:
        return None


def _is_locked(name: str) -> bool:
    """Return whether a process holds a segment's lock file, as Fast DDS does while it uses the segment."""
    for ending in _LOCK_ENDINGS:
        try:
            with open(os.path.join(FOLDER, name + ending)) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue
        except OSError:
            return True
    return False


def _remove(name: str) -> None:
    try:
        os.unlink(os.path.join(FOLDER, name))
    except FileNotFoundError:
        return
