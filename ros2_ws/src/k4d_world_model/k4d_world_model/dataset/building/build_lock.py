"""The lock of a data set that is being built: one build at a time, and workers that know whose they are."""

import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.errors import DatasetError


@contextmanager
def build_lock(layout: NativeLayout) -> Iterator[str]:
    """The id of a new build that is the only one of this data set until the context ends, however it ends.

    Raises DatasetError naming process and machine when another build runs, or when the file system knows no locks.
    """
    with layout.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise DatasetError(f"{layout.root} is being built by another command: {file.read().strip()}") from error
        except OSError as error:
            raise DatasetError(f"{layout.lock} cannot be locked, choose a file system with locks: {error}") from error
        build_id = uuid.uuid4().hex
        file.truncate(0)
        json.dump({"build_id": build_id, "machine": socket.gethostname(), "process": os.getpid()}, file)
        file.flush()
        os.fsync(file.fileno())
        yield build_id


def check_build_id(layout: NativeLayout, build_id: str) -> None:
    """Raises DatasetError when the data set's folder is not the one, or not any more the one, of this build.

    So a machine without the shared folder does not fill its own disk, and a worker that outlived its build stops.
    """
    try:
        owner = json.loads(layout.lock.read_text())["build_id"]
    except (OSError, ValueError, LookupError) as error:
        raise DatasetError(f"{layout.root} on {socket.gethostname()} is not the shared folder of the build") from error
    if owner != build_id:
        raise DatasetError(f"{layout.root} on {socket.gethostname()} belongs to build {owner}, not to {build_id}")
