"""Parameters of k4d_simulated_robot_node."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from k4d_kinematics import configured_robot, read_configuration
from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.ros.parameters import described
from k4d_simulation.rendering import RenderingSettings
from k4d_simulation.robot_meshes import Meshes
from k4d_simulation.scene import Scene, build_scene
from k4d_simulation.scene_config import SceneConfig

_CAMERA_NAME = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class SimulatedRobotConfig:
    """Parameters of k4d_simulated_robot_node. Raises ConfigurationError on values outside the described ones."""

    robot: str = described("", "Path of a robot YAML as in config/robots.")
    scene: str = described("", "Path of a scene YAML as in config/scenes.")
    task: str = described("pick_place", "What the scene is set up for: pick_place, push or reach.")
    seed: int = described(0, "Decides everything that is random in the scene.", (0, 2**31 - 1))
    height: int = described(480, "Rows of the images.", (1, 4096))
    width: int = described(720, "Columns of the images.", (1, 4096))
    image_rate_hz: float = described(5.0, "Most images a second; a busy machine draws fewer.", (0.01, 60.0))
    joint_rate_hz: float = described(
        50.0, "Joint states a second; so often physics catch up with the clock.", (10.0, 250.0)
    )
    camera: str = described("front", "Name of the camera: its topics start with it.")
    world_frame: str = described("world", "Frame in which the robot and the camera stand.")
    meshes: Literal["full", "reduced", "coarse"] = described(
        "reduced", "Triangles of the robot that images and depth show: full, reduced (about 2 mm) or coarse."
    )
    shadows: bool = described(True, "Whether images have shadows, which doubles the time that they take.")
    samples: int = described(4, "Colours per pixel that smooth edges: 0, 2, 4, 8 or 16.")
    surface_cache: str = described("", "Folder for prepared robot surfaces; empty prepares them anew at each start.")

    def __post_init__(self) -> None:
        for name in ("robot", "scene"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name} must be the path of a YAML file as in config/{name}s, got ''")
        if not _CAMERA_NAME.fullmatch(self.camera):
            raise ConfigurationError(f"camera must be a name of letters, digits, _ and /, got {self.camera!r}")
        if self.meshes not in get_args(Meshes):
            raise ConfigurationError(f"meshes must be one of {', '.join(get_args(Meshes))}, got {self.meshes!r}")

    @property
    def camera_frame(self) -> str:
        """Name of the camera's optical frame."""
        return f"{self.camera}_camera_optical_frame"

    def build_scene(self) -> Scene:
        """The scene of these parameters. Raises KinematicsError or SceneError on what does not make one."""
        robot = configured_robot(self.robot, Path(self.surface_cache) if self.surface_cache else None)
        config = read_configuration(Path(self.scene), SceneConfig)
        return build_scene(robot, config, self.task, self.seed, meshes=self.meshes)

    def rendering_settings(self) -> RenderingSettings:
        """How images are drawn. Raises RenderingError on a number of samples that is not valid."""
        return RenderingSettings(shadows=self.shadows, samples=self.samples)
