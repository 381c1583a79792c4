"""The lock of a data set that is being built: one build at a time, and workers that know whose they are."""

import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.errors import DatasetError
from k4d_world_model.exclusive import exclusive


@contextmanager
def build_lock(layout: NativeLayout) -> Iterator[str]:
    """The id of a new build that is the only one of this data set until the context ends, however it ends.

    Raises FolderInUseError naming process and machine when another build runs, or when the file system knows no locks.
    """
    build_id = uuid.uuid4().hex
    with exclusive(layout.lock, {"build_id": build_id}):
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
