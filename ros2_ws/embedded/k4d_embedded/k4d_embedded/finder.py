"""Serves `tf2_ros`, `message_filters` and `cv_bridge` from the stand-ins where no real package has that name."""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

STANDIN_NAMES = ("cv_bridge", "message_filters", "tf2_ros")

_FOLDER = os.path.join(os.path.dirname(__file__), "standins")


class StandinFinder:
    """Last resort of the import system: every other finder is asked first, also those that were appended later."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a stand-in, or None for any other name and wherever a real package is found."""
        if fullname not in STANDIN_NAMES:
            return None
        for later in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            real = later.find_spec(fullname, path, target)
            if real is not None:
                return real
        return PathFinder.find_spec(fullname, [_FOLDER], target)


def install() -> None:
    """Append the finder to `sys.meta_path`; a second call changes nothing."""
    if not any(isinstance(finder, StandinFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandinFinder())
