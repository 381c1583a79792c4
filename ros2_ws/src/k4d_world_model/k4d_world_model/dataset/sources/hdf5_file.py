"""Opens objects of an HDF5 file without ever leaving that file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from k4d_world_model.errors import SourceError, WorldModelError

_MOST_LINKS = 16


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """The file, for reading. Raises SourceError naming it when it, or what is read from it, is damaged."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except WorldModelError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise SourceError(f"{path}: no readable HDF5 file: {error}") from error


def open_group(parent: h5py.Group, path: str) -> h5py.Group:
    """The group at ``path`` below ``parent``. Raises SourceError as ``open_dataset``."""
    found = _follow(parent, path, _MOST_LINKS)
    if not isinstance(found, h5py.Group):
        raise SourceError(f"{_place(parent, path)} is no group")
    return found


def open_dataset(parent: h5py.Group, path: str) -> h5py.Dataset:
    """The data set at ``path`` below ``parent``.

    Raises SourceError naming file and path when there is none, listing what there is, or when its data lies in another
    file: behind an external link, in external storage or as a virtual data set.
    """
    found = _follow(parent, path, _MOST_LINKS)
    if not isinstance(found, h5py.Dataset):
        raise SourceError(f"{_place(parent, path)} is no data set")
    if found.external is not None or found.is_virtual:
        raise SourceError(f"{_place(parent, path)} keeps its data in other files, which are not read")
    return found


def read_rows(dataset: h5py.Dataset, indices: NDArray[np.intp]) -> NDArray[np.generic]:
    """The rows at ``indices`` (T,), in any order and also repeated; only these are read."""
    wanted, inverse = np.unique(indices, return_inverse=True)
    return np.asarray(dataset[wanted])[inverse]


def read_text_attribute(group: h5py.Group, name: str) -> str | None:
    """An attribute of text, None where there is none. Raises SourceError when it is of another type."""
    value = group.attrs.get(name)
    if isinstance(value, bytes | np.bytes_):
        value = value.decode("utf-8", errors="strict")
    if value is not None and not isinstance(value, str):
        raise SourceError(f"{_place(group, '')}: attribute {name!r} must be text, got {type(value).__name__}")
    return value


def _follow(parent: h5py.Group, path: str, links: int) -> h5py.HLObject:
    """The object at ``path``, link by link: soft links are followed inside the file, all others are refused."""
    node: h5py.HLObject = parent.file if path.startswith("/") else parent
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for k, part in enumerate(parts):
        if not isinstance(node, h5py.Group):
            raise SourceError(f"{_place(parent, path)}: {part!r} lies below what is no group")
        if part not in node.keys():  # noqa: SIM118  h5py's own "in" would follow the link
            raise SourceError(f"{_place(parent, path)}: no {part!r}; there are {', '.join(node.keys()) or 'none'}")
        link = node.get(part, getlink=True)
        if isinstance(link, h5py.SoftLink):
            if links == 0:
                raise SourceError(f"{_place(parent, path)}: more than {_MOST_LINKS} links in a row")
            return _follow(node, "/".join([link.path, *parts[k + 1 :]]), links - 1)
        if not isinstance(link, h5py.HardLink):
            raise SourceError(f"{_place(parent, path)}: {part!r} is a link to another file, which is not followed")
        node = node[part]
    return node


def _place(parent: h5py.Group, path: str) -> str:
    inside = path if path.startswith("/") else f"{parent.name.rstrip('/')}/{path}".rstrip("/")
    return f"{parent.file.filename}: {inside}"
