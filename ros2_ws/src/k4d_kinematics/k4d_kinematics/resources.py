"""Files that robot descriptions name by ``package://`` and ``file://`` URIs or by paths."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from k4d_kinematics.errors import RobotModelError


def resolve(uri: str, base_folder: Path | None, package_paths: Sequence[Path] = ()) -> Path:
    """The existing file that a URI names.

    ``package://NAME/PATH`` is looked up in the folders of package NAME (see ``package_folders``), ``file:///PATH`` is
    absolute, and a path without a scheme starts at ``base_folder`` unless it is absolute. Raises RobotModelError
    naming every place searched, for other schemes, for package paths that leave their package, and for relative paths
    without a base folder.
    """
    scheme, separator, rest = uri.partition("://")
    host, _, absolute = rest.partition("/")
    if not separator and (base_folder is not None or Path(uri).is_absolute()):
        candidates = [(base_folder or Path()) / uri]
    elif scheme == "package" and separator:
        candidates = _package_candidates(uri, unquote(rest), base_folder, package_paths)
    elif scheme == "file" and host in ("", "localhost"):
        candidates = [Path("/", unquote(absolute))]
    else:
        raise RobotModelError(
            f"cannot look up {uri!r}, valid are package://NAME/PATH, file:///PATH, absolute paths, and relative paths "
            f"where a base folder is given; it is {base_folder}"
        )
    for candidate in candidates:
        if _is_file(candidate):
            return candidate
    searched = ", ".join(map(str, dict.fromkeys(candidates))) or "no folder of that package was found"
    raise RobotModelError(f"{uri!r} names no existing file, searched: {searched}")


def check_inside(uri: str, path: Path, folders: Sequence[Path]) -> None:
    """Raises RobotModelError unless ``path``, which ``uri`` named as a file, lies in one of ``folders``.

    Links inside of them are followed wherever they lead: whoever may place links there may place files, too.
    """
    place = Path(os.path.normpath(path.absolute()))
    if not uri.startswith("package://") and not any(place.is_relative_to(folder.absolute()) for folder in folders):
        valid = ", ".join(map(str, folders)) or "none"
        raise RobotModelError(f"{uri!r} lies in none of the folders that files may be named in: {valid}")


def share_folders() -> list[Path]:
    """Where ROS packages are installed: ``AMENT_PREFIX_PATH``/share and ``ROS_PACKAGE_PATH``."""
    ament = [Path(prefix) / "share" for prefix in _environment_paths("AMENT_PREFIX_PATH")]
    return ament + [Path(path) for path in _environment_paths("ROS_PACKAGE_PATH")]


def wheel_folders() -> list[Path]:
    """Where wheels install ROS packages: ``cmeel.prefix/share`` on ``sys.path``."""
    return [Path(path) / "cmeel.prefix" / "share" for path in sys.path]


def package_folders(name: str, base_folder: Path | None, package_paths: Sequence[Path] = ()) -> list[Path]:
    """Existing folders of a ROS package, in order of precedence.

    Searched are ``package_paths``, the ament index (``AMENT_PREFIX_PATH``/share), ``ROS_PACKAGE_PATH``,
    ``base_folder`` and the folders above it, and the ``cmeel.prefix/share`` of wheels on ``sys.path``. Each place may
    hold the package or be it.
    """
    above = [base_folder.absolute(), *base_folder.absolute().parents] if base_folder is not None else []
    found = []
    for place in [*map(Path, package_paths), *share_folders(), *above, *wheel_folders()]:
        found += [folder for folder in (place / name, place) if folder.name == name and folder.is_dir()]
    return list(dict.fromkeys(found))


def _package_candidates(uri: str, rest: str, base_folder: Path | None, package_paths: Sequence[Path]) -> list[Path]:
    name, _, path = rest.partition("/")
    inside = os.path.normpath(path)
    if name in ("", ".", "..") or inside.startswith((os.pardir, os.sep)):
        raise RobotModelError(
            f"{uri!r} must name a package and a path inside it, package://NAME/PATH without leading .."
        )
    return [folder / inside for folder in package_folders(name, base_folder, package_paths)]


def _environment_paths(variable: str) -> list[str]:
    return [path for path in os.environ.get(variable, "").split(os.pathsep) if path]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that the file system cannot hold names no file.
        return False
