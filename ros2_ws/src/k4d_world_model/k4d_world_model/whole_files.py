"""Files that others see as a whole or not at all, whatever happens meanwhile."""

import uuid
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file in one step; its folder is made where it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    staged.write_bytes(data)
    staged.replace(path)
