"""Sources by their YAML files: the one place that knows all kinds."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from k4d_kinematics import ConfiguredRobot, configured_robot
from k4d_kinematics.configuration import from_mapping
from k4d_kinematics.errors import KinematicsError
from k4d_world_model.dataset.sources.source import Source
from k4d_world_model.errors import SourceError, WorldModelError

KINDS = ("simulation", "robo4d", "lerobot", "rlds", "hdf5", "rosbag")


def open_source(path: Path, *, root: Path | None = None, cache_dir: Path | None = None) -> Source:
    """The source that a YAML as in config/sources describes.

    Its key ``source`` is one of KINDS, its other keys are that kind's configuration. ``root`` is the folder of the
    recordings; a simulation takes none. YAML files that it names are relative to its own; the robot's prepared surface
    is kept in ``cache_dir``. Raises SourceError naming the file and what is wrong in it or with the root.
    """
    content = read_source_yaml(path)
    kind = content.pop("source")
    if (root is None) != (kind == "simulation"):
        needs = "takes no" if root else "needs the"
        raise SourceError(f"{path}: a source of kind {kind!r} {needs} root folder of recordings")
    try:
        schema, source = _kind(kind)
        config = from_mapping(content, schema)
        robot = _robot(getattr(config, "robot", ""), path.parent, cache_dir)
        opened: Source = source(config, path.parent if root is None else root, robot)
    except (KinematicsError, WorldModelError) as error:
        raise SourceError(f"{path}: {error}") from error
    return opened


def read_source_yaml(path: Path) -> dict[str, Any]:
    """The content of a source's YAML. Raises SourceError naming the file unless ``source`` in it is one of KINDS."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SourceError(f"{path}: cannot be read as YAML: {error}") from error
    kind = content.get("source") if isinstance(content, Mapping) else None
    if kind not in KINDS:
        closest = difflib.get_close_matches(str(kind), KINDS, n=1)
        hint = f"; did you mean {closest[0]!r}?" if closest else ""
        raise SourceError(f"{path}: source must be one of {', '.join(KINDS)}, got {kind!r}{hint}")
    return dict(content)


def _kind(kind: str) -> tuple[Any, Any]:
    """The configuration and the class of a kind of source; only its own libraries are imported."""
    match kind:
        case "simulation":
            from k4d_world_model.dataset.sources.simulation import SimulationConfig, SimulationSource

            return SimulationConfig, SimulationSource
        case "robo4d":
            from k4d_world_model.dataset.sources.robo4d import Robo4DConfig, Robo4DSource

            return Robo4DConfig, Robo4DSource
        case "lerobot":
            from k4d_world_model.dataset.sources.lerobot import LeRobotConfig, LeRobotSource

            return LeRobotConfig, LeRobotSource
        case "rlds":
            from k4d_world_model.dataset.sources.rlds import RldsConfig, RldsSource

            return RldsConfig, RldsSource
        case "hdf5":
            from k4d_world_model.dataset.sources.hdf5 import Hdf5Config, Hdf5Source

            return Hdf5Config, Hdf5Source
        case "rosbag":
            from k4d_world_model.dataset.sources.rosbag import RosbagConfig, RosbagSource

            return RosbagConfig, RosbagSource
        case _:
            raise SourceError(f"source must be one of {', '.join(KINDS)}, got {kind!r}")


def _robot(file: str, folder: Path, cache_dir: Path | None) -> ConfiguredRobot | None:
    return configured_robot(folder / file, cache_dir) if file else None
