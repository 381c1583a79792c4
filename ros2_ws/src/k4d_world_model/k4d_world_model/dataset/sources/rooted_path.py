"""Paths that recorded data names, kept inside the folder that it came in."""

from pathlib import Path, PurePosixPath

from k4d_world_model.errors import SourceError


def rooted_path(root: Path, relative: str) -> Path:
    """``root / relative``, which exists as a file.

    A link may point anywhere inside ``root``, and out of a Hugging Face snapshot into its cache entry's blobs. Raises
    SourceError naming the path when it is absolute, climbs out of ``root``, or is no file.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\0" in relative:
        raise SourceError(f"{root}: a path in the data must stay inside its folder, got {relative!r}")
    path = root / pure
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{path}: no such file") from error
    if not any(real.is_relative_to(place) for place in _allowed(root.resolve())):
        raise SourceError(f"{path}: this link leaves the data set's folder {root}")
    if not real.is_file():
        raise SourceError(f"{path}: not a file")
    return path


def _allowed(root: Path) -> tuple[Path, ...]:
    """Where files may really lie; a Hugging Face cache has <entry>/snapshots/<revision> and <entry>/blobs."""
    return (root, root.parent.parent / "blobs") if root.parent.name == "snapshots" else (root,)
