"""Where policies are judged: a robot, a kind of scene, a task, and how it is drawn. One seed is one initial state."""

from dataclasses import dataclass
from pathlib import Path

from k4d_kinematics import ConfiguredRobot, KinematicsError, read_configuration
from k4d_simulation import RenderingSettings, Scene, SceneConfig, build_scene
from k4d_simulation.robot_meshes import Meshes
from k4d_simulation.tasks import Task
from k4d_world_model.errors import PolicyRunError
from k4d_world_model.policy_evaluation.file_names import check_set_up_name


@dataclass(frozen=True)
class SetUpConfig:
    """A set-up, as config/set_ups/*.yaml describes it.

    name: what reports call it. ``robot`` and ``scene`` are YAML files as in config/robots and config/scenes, relative
    to the set-up's own. Run k begins with the scene of ``seed`` + k, which no training may have taken. The rest as in
    a simulated source, see config/sources.

    Raises PolicyRunError for a seed below 0 and a name that is no safe file name.
    """

    name: str
    robot: str
    scene: str
    seed: int
    task: Task = "pick_place"
    height: int = 96
    width: int = 144
    shadows: bool = True
    samples: int = 0
    shadow_map_px: int = 1024
    meshes: Meshes = "coarse"

    def __post_init__(self) -> None:
        check_set_up_name(self.name)
        if self.seed < 0:
            raise PolicyRunError(f"seed must be at least 0, got {self.seed}")

    @property
    def rendering(self) -> RenderingSettings:
        """How its pictures are drawn. Raises RenderingError on values out of range."""
        return RenderingSettings(self.shadows, self.samples, self.shadow_map_px)

    def build(self, robot: ConfiguredRobot, folder: Path, seed: int) -> Scene:
        """The scene of a seed. ``folder`` is what ``scene`` is relative to. Raises SceneError."""
        config = read_configuration(folder / self.scene, SceneConfig)
        return build_scene(robot, config, self.task, seed, meshes=self.meshes)


def read_set_up(path: Path) -> SetUpConfig:
    """The set-up of a YAML file. Raises PolicyRunError naming the file when it is none."""
    try:
        return read_configuration(path, SetUpConfig)
    except (KinematicsError, PolicyRunError) as error:
        raise PolicyRunError(f"{path}: {error}") from error
