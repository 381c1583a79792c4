"""One command at a time on a folder that it fills; the lock ends with its process, however that ends."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from k4d_world_model.errors import FolderInUseError


@contextmanager
def exclusive(lock: Path, facts: Mapping[str, str]) -> Iterator[None]:
    """Holds ``lock``, a file in the folder concerned, and writes ``facts``, machine and process into it as JSON.

    Raises FolderInUseError with what the other command wrote where it is held, or when the file system knows no locks.
    """
    try:
        opened = lock.open("a+")
    except OSError as error:
        raise FolderInUseError(f"{lock} cannot be written: {error}") from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise FolderInUseError(
                f"{lock.parent} is being filled by another command: {file.read().strip()}"
            ) from error
        except OSError as error:
            raise FolderInUseError(f"{lock} cannot be locked, choose a file system with locks: {error}") from error
        file.truncate(0)
        json.dump({**facts, "machine": socket.gethostname(), "process": os.getpid()}, file)
        file.flush()
        os.fsync(file.fileno())
        yield
