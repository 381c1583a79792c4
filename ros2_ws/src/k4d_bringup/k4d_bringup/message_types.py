"""Message definitions of installed packages, for bags that hold types beyond the standard ones."""

from pathlib import Path

from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from k4d_bringup.errors import BagError


def typestore_for(type_names: list[str], share_folders: list[Path]) -> Typestore:
    """A store that knows ``type_names`` such as ``k4d_msgs/msg/PointmapFrame`` and all they consist of.

    Types beyond the standard ones are read from ``<share folder>/<package>/msg/<Name>.msg``. Raises BagError naming a
    type that is not there.
    """
    store = get_typestore(Stores.ROS2_KILTED)
    pending = [name for name in type_names if name not in store.fielddefs]
    found: Typesdict = {}
    while pending:
        name = pending.pop()
        types = get_types_from_msg(_definition(name, share_folders), name)
        found.update(types)
        pending += [used for used in _used_types(types) if used not in store.fielddefs and used not in found]
    store.register(found)
    return store


def _definition(name: str, share_folders: list[Path]) -> str:
    package, _, kind = name.partition("/")
    for folder in share_folders:
        path = folder / package / f"{kind}.msg"
        if path.is_file():
            return path.read_text()
    raise BagError(f"message type {name!r} is not installed; looked in {', '.join(map(str, share_folders))}")


def _used_types(types: Typesdict) -> list[str]:
    """Names of the message types that the fields of ``types`` have, arrays looked into."""
    used: list[str] = []
    for _, fields in types.values():
        for _, kind in fields:
            element = kind[1][0] if kind[0] in (Nodetype.ARRAY, Nodetype.SEQUENCE) else kind
            if element[0] == Nodetype.NAME:
                used.append(str(element[1]))
    return used
