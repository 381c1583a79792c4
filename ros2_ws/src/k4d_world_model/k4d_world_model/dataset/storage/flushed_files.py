"""Files that are on the disk, and not only on their way to it, before the next step relies on them."""

import os
from pathlib import Path


def write_flushed(path: Path, data: bytes) -> None:
    """Writes a new file and waits until the disk has it. Raises OSError naming the file, as on a full disk."""
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(path)
        raise


def flush_folder(path: Path) -> None:
    """Waits until the disk has the names that a folder holds."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
