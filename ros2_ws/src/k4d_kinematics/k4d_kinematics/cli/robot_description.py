"""k4d-robot-description: prints a configured robot's expanded URDF, for robot_state_publisher and RViz."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from k4d_kinematics.configuration import RobotConfig, read_configuration
from k4d_kinematics.resources import resolve
from k4d_kinematics.urdf import read_description


@dataclass(frozen=True)
class Arguments:
    """Prints the expanded URDF of a robot YAML.

    Example: k4d-robot-description config/robots/panda.yaml > panda.urdf
    """

    robot: Annotated[Path, tyro.conf.Positional]
    """Robot YAML as in config/robots."""


def main() -> None:
    """Parses the command line and prints."""
    arguments = tyro.cli(Arguments)
    config = read_configuration(arguments.robot, RobotConfig)
    print(read_description(resolve(config.urdf, arguments.robot.resolve().parent, ())))
