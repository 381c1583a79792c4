"""Where packages and their executables are: the ament index first, then what pip installed."""

import os
import sys
from importlib.metadata import distributions
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
    get_packages_with_prefixes,
)

from k4d_embedded.errors import PackageError
from k4d_embedded.launcher.spelling import hint

# Executables of packages without a wheel, by what stands in for them where the package itself is not installed.
_STANDINS = {("robot_state_publisher", "robot_state_publisher"): "k4d_robot_state_publisher"}


def package_prefix(package: str) -> Path:
    """Return the prefix that a package is installed in; raises PackageError with the closest name."""
    try:
        return Path(get_package_prefix(package))
    except (PackageNotFoundError, ValueError) as error:
        raise _unknown(package) from error


def package_share(package: str) -> Path:
    """Return a package's share folder; raises PackageError with the closest name."""
    try:
        return Path(get_package_share_directory(package))
    except (PackageNotFoundError, ValueError) as error:
        raise _unknown(package) from error


def find_executable(package: str, name: str) -> Path:
    """Return an executable of a package: in lib/<package> of its prefix, else in the environment's bin.

    pip puts executables of all packages into bin; only those that a distribution of the package's name declares count.
    Where robot_state_publisher is not installed, the one of k4d_embedded stands in. Raises PackageError.
    """
    scripts = _console_scripts(package)
    prefix = _prefix_or_none(package)
    if prefix is None and scripts is None:
        standin = _STANDINS.get((package, name))
        if standin is None:
            raise _unknown(package)
        return find_executable("k4d_embedded", standin)
    folder = (prefix or Path(sys.prefix)) / "lib" / package
    candidates = [folder / name]
    if name in (scripts or ()):
        candidates.append(Path(sys.prefix) / "bin" / name)
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    known = {*(scripts or ()), *(path.name for path in folder.glob("*"))}
    raise PackageError(f"package {package!r} has no executable {name!r} in {folder} or bin; {hint(name, known)}")


def _prefix_or_none(package: str) -> Path | None:
    try:
        return Path(get_package_prefix(package))
    except (PackageNotFoundError, ValueError):
        return None


def _console_scripts(package: str) -> set[str] | None:
    """Return the console scripts of an installed Python distribution, None where there is none of that name."""
    for distribution in distributions(name=package):
        return {entry.name for entry in distribution.entry_points if entry.group == "console_scripts"}
    return None


def _unknown(package: str) -> PackageError:
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "")
    return PackageError(f"package {package!r} is not in {prefixes!r}; {hint(package, get_packages_with_prefixes())}")
