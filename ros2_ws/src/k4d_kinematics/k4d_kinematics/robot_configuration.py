"""A robot that is ready to be rendered and moved: its model, its prepared surface and its tool."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from k4d_kinematics import resources
from k4d_kinematics.configuration import RobotConfig, read_configuration
from k4d_kinematics.errors import ConfigurationError, KinematicsError
from k4d_kinematics.robot import Robot
from k4d_kinematics.se3 import Array
from k4d_kinematics.surface import Detail, RobotSurface, prepare_surface


@dataclass(frozen=True, eq=False)
class ConfiguredRobot:
    """A robot, its surface, its tool's link (empty where none is known) and, from a YAML, its home positions (J,)."""

    robot: Robot
    surface: RobotSurface
    tool_link: str
    home: Array | None = None


def configured_robot(path: str | Path, cache_dir: Path | None = None) -> ConfiguredRobot:
    """The robot of a YAML as in config/robots; prepared surfaces are kept in ``cache_dir``.

    Raises ConfigurationError naming the file when a key, the home position or the tool link does not fit the robot, and
    RobotModelError or MeshError when its description or a mesh is not usable.
    """
    config = read_configuration(Path(path), RobotConfig)
    robot = Robot.from_file(resources.resolve(config.urdf, Path(path).resolve().parent, ()))
    try:
        home = robot.order_positions(tuple(config.home), tuple(config.home.values()))
        robot.link_index(config.tool_link)
    except KinematicsError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    surface = prepare_surface(
        robot, kind=config.geometry, cache_dir=cache_dir, detail=_detail(config.triangle_fraction)
    )
    return ConfiguredRobot(robot, surface, config.tool_link, home)


def described_robot(
    text: str,
    *,
    tool_link: str,
    geometry: Literal["visual", "collision"],
    triangle_fraction: float,
    mesh_folders: Sequence[str] = (),
    cache_dir: Path | None = None,
) -> ConfiguredRobot:
    """The robot of a URDF text that a stranger may have sent. Raises as ``configured_robot`` does.

    Its meshes may lie in installed packages and below ``mesh_folders``, where empty names count for nothing.
    """
    installed = resources.share_folders() + resources.wheel_folders()
    folders = installed + [Path(folder) for folder in mesh_folders if folder]
    robot = Robot.from_urdf(text, file_folders=folders)
    if tool_link:
        robot.link_index(tool_link)
    surface = prepare_surface(robot, kind=geometry, cache_dir=cache_dir, detail=_detail(triangle_fraction))
    return ConfiguredRobot(robot, surface, tool_link)


def _detail(triangle_fraction: float) -> Detail | None:
    return None if triangle_fraction == 1.0 else Detail(triangle_fraction=triangle_fraction)
