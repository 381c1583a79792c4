"""k4d-view: a predicted future in the browser."""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import tyro

from k4d_kinematics import configured_robot
from k4d_kinematics.errors import KinematicsError
from k4d_world_model.errors import WorldModelError
from k4d_world_model.viewer.contents import read_contents
from k4d_world_model.viewer.page import Page

_LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Arguments:
    """Shows a rollout as a web page of this machine: the cloud over time, robot, camera and picture.

    Ends with Ctrl-C. docs/viewer.md says what the page offers.

    Example: k4d-view out/prediction --robot config/robots/panda.yaml
    """

    rollout: tyro.conf.Positional[Path]
    """Folder of k4d-predict, or an .mcap file or rosbag2 folder that holds a rollout."""
    robot: Path | None = None
    """Robot YAML as in config/robots, to show the robot too."""
    recorded: Path | None = None
    """Folder of k4d-predict whose recorded future is shown beside; by default the rollout's own, where it has one."""
    port: int = 8080
    """Port to serve at; where it is taken, the next free one."""
    host: str = "127.0.0.1"
    """Address to serve at. Any other than this machine's own lets others look and move what is shown."""
    points: int = 20_000
    """Points of a frame at most; of larger pictures every n-th row and column is shown."""
    cache: Path | None = None
    """Folder for prepared robot surfaces; without it they are prepared anew."""


def main() -> int:
    """Parses the command line and serves the page until Ctrl-C."""
    arguments = tyro.cli(Arguments)
    try:
        page = serve(arguments)
    except (WorldModelError, KinematicsError, OSError) as error:
        print(f"k4d-view: {error}", file=sys.stderr)
        return 1
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        page.close()
    return 0


def serve(arguments: Arguments) -> Page:
    """Starts serving and prints where. Raises WorldModelError or KinematicsError on unusable input."""
    robot = None if arguments.robot is None else configured_robot(arguments.robot, arguments.cache)
    contents = read_contents(arguments.rollout, recorded=arguments.recorded, robot=robot, points=arguments.points)
    if arguments.host not in _LOCAL:
        print(
            f"k4d-view: warning: served at {arguments.host}, whoever reaches this machine can look and take part",
            file=sys.stderr,
        )
    page = Page(contents, host=arguments.host, port=arguments.port)
    host = "localhost" if arguments.host in ("0.0.0.0", "::") else arguments.host
    print(f"open http://{host}:{page.port} in a browser; Ctrl-C ends it", flush=True)
    return page
