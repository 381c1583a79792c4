"""k4d-robot-description: prints a configured robot's expanded URDF, for robot_state_publisher and RViz."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from k4d_kinematics.configuration import RobotConfig, read_configuration
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.resources import resolve
from k4d_kinematics.urdf import read_description


@dataclass(frozen=True)
class Arguments:
    """Prints the expanded URDF of a robot YAML.

    Example: k4d-robot-description config/robots/panda.yaml > panda.urdf
    """

    robot: Annotated[Path, tyro.conf.Positional]
    """Robot YAML as in config/robots."""


def main() -> int:
    """Parses the command line and prints. Returns 1 where the robot cannot be read."""
    arguments = tyro.cli(Arguments)
    try:
        config = read_configuration(arguments.robot, RobotConfig)
        description = read_description(resolve(config.urdf, arguments.robot.resolve().parent, ()))
    except KinematicsError as error:
        print(f"k4d-robot-description: {error}", file=sys.stderr)
        return 1
    print(description)
    return 0
