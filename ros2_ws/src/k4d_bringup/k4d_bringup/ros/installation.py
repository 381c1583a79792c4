"""Where installed packages keep their files."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory, get_packages_with_prefixes


def share_folders() -> list[Path]:
    """The share/ folders of all prefixes that hold packages."""
    return [Path(prefix) / "share" for prefix in sorted({*get_packages_with_prefixes().values()})]


def launch_file(name: str) -> Path:
    """One of k4d's launch files."""
    return Path(get_package_share_directory("k4d_bringup")) / "launch" / name
