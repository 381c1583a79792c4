"""Simulated tabletop episodes: made when they are read, the same ones whenever and wherever that is."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, JointTrajectory, read_configuration
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.errors import DatasetError, RejectedEpisodeError, SourceError

try:
    from k4d_simulation.episode import Motion, simulate
    from k4d_simulation.errors import ExpertError, SceneError, SimulationError
    from k4d_simulation.generation import SimulatedEpisode, generate_episode
    from k4d_simulation.perturbation import PERTURBATIONS, Perturbation
    from k4d_simulation.rendering import RenderingSettings
    from k4d_simulation.robot_meshes import Meshes
    from k4d_simulation.scene import Scene, build_scene
    from k4d_simulation.scene_config import SceneConfig
    from k4d_simulation.tasks import check_task
except ModuleNotFoundError as error:
    raise SourceError(f"simulated episodes need k4d_simulation and the package 'mujoco': {error}") from error

CAMERA_FRAME = "front_camera_optical_frame"

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class SimulationConfig:
    """Which episodes to simulate, and how they are drawn.

    ``robot`` and ``scene`` are YAML files as in config/robots and config/scenes, relative to the source's own file.
    ``episodes`` scenes are drawn from the seeds ``seed``, ``seed`` + 1 ..., their ``tasks`` in turn. Of each task, the
    first is done by the expert; ``with_failures`` the next ones are spoilt in each of the paper's nine ways, and for
    reach by a near miss, before it is the expert's turn again. Fewer ``samples`` and texels of the shadow map
    (``shadow_map_px`` a side) and ``meshes`` "reduced" or "coarse" draw faster.

    Raises DatasetError on values out of range.
    """

    name: str
    robot: str
    scene: str
    tasks: tuple[str, ...]
    episodes: int
    seed: int = 0
    height: int = 480
    width: int = 720
    shadows: bool = True
    samples: int = 4
    shadow_map_px: int = 2048
    meshes: Meshes = "reduced"
    with_failures: bool = True

    def __post_init__(self) -> None:
        if not self.robot or not self.scene:
            raise DatasetError(f"robot and scene must name YAML files, got {self.robot!r} and {self.scene!r}")
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise DatasetError(f"tasks must be at least one, none twice, got {self.tasks}")
        if self.episodes < 1 or self.seed < 0:
            raise DatasetError(f"episodes must be at least 1 and seed 0, got {self.episodes} and {self.seed}")


class Recipe(NamedTuple):
    """What one episode is made from."""

    task: str
    seed: int
    perturbation: Perturbation | None
    near_miss: bool

    @property
    def episode_id(self) -> str:
        """Task, seed and variant, such as push_000012_noise_segment2_sigma0.8."""
        spoilt = "near_miss" if self.near_miss else "expert"
        variant = spoilt if self.perturbation is None else self.perturbation.name
        return f"{self.task}_{self.seed:06d}_{variant}"


class SimulationSource:
    """Simulated episodes whose label is what the task's checker found at the end, whatever was meant to happen.

    ``robot_points`` are those of the kinematics package, which also makes them where a model is used: from the same
    joints, and whether or not something stands before the robot. ``scene_points`` are MuJoCo's; both see the same
    robot up to what reduced meshes lose.
    """

    def __init__(self, config: SimulationConfig, root: Path, robot: ConfiguredRobot | None = None) -> None:
        """``root`` is the folder that ``config.scene`` is relative to.

        Raises SourceError when the scene's file cannot be read, a setting is out of range, the robot is missing, or it
        cannot do one of the tasks.
        """
        if robot is None:
            raise SourceError(f"a simulation needs the robot {config.robot!r}, and none was given")
        self._config, self._robot = config, robot
        try:
            self._scene_config = read_configuration(root / config.scene, SceneConfig)
            self._settings = RenderingSettings(config.shadows, config.samples, config.shadow_map_px)
            for task in config.tasks:
                check_task(robot, task)
        except ValueError as error:
            raise SourceError(f"source {config.name!r}: {error}") from error

    def episode_ids(self) -> tuple[str, ...]:
        """Identifiers of all episodes, in the order of their seeds."""
        return tuple(self._recipes)

    def read(self, episode_id: str, sampling: FrameSampling) -> Episode:
        """One episode, simulated and drawn now, with the frames that ``sampling`` chooses.

        Raises RejectedEpisodeError when its scene finds no room or its motion is too short, SourceError when there is
        no such episode or no OpenGL to draw it with.
        """
        if episode_id not in self._recipes:
            first, last = self.episode_ids()[0], self.episode_ids()[-1]
            raise SourceError(f"source {self._config.name!r} has no episode {episode_id!r}; it has {first} to {last}")
        task, seed, perturbation, near_miss = self._recipes[episode_id]
        try:
            scene = build_scene(self._robot, self._scene_config, task, seed, meshes=self._config.meshes)
            motion = simulate(scene, perturbation, near_miss=near_miss)
        except (SceneError, ExpertError) as error:
            raise RejectedEpisodeError(str(error)) from error
        chosen, times = sampling.indices(len(motion.times)), sampling.times(motion.times)
        drawn, again = np.unique(chosen, return_inverse=True)
        return self._episode(episode_id, scene, self._draw(scene, motion, drawn), again, times)

    def _draw(self, scene: Scene, motion: Motion, frames: NDArray[np.intp]) -> SimulatedEpisode:
        try:
            return generate_episode(scene, motion, self._config.height, self._config.width, self._settings, frames)
        except SimulationError as error:
            raise SourceError(f"source {self._config.name!r}: {error}") from error

    def _episode(
        self,
        episode_id: str,
        scene: Scene,
        made: SimulatedEpisode,
        again: NDArray[np.intp],
        times: NDArray[np.float64],
    ) -> Episode:
        """The frames ``again`` (T,) of ``made`` at ``times`` (T,): a mirrored clip shows some of them twice."""
        return Episode(
            self._info(episode_id, scene, made), _taken(made.rgb, again), times,
            camera=replace(made.camera, frame_id=CAMERA_FRAME),
            T_world_cam=np.tile(made.T_world_cam, (len(times), 1, 1)), T_world_base=made.T_world_base,
            joints=JointTrajectory(made.joints.joint_names, times, made.joints.positions[again]),
            scene_points=_taken(made.points_cam, again), robot_points=_taken(made.robot_points_cam, again),
            robot_mask=_taken(made.robot_mask, again),
        )  # fmt: skip

    def _info(self, episode_id: str, scene: Scene, made: SimulatedEpisode) -> EpisodeInfo:
        config = self._config
        drawing = f"{config.meshes} meshes, shadows {config.shadows}, {config.samples} samples"
        drawing += f", shadow map {config.shadow_map_px} px"
        return EpisodeInfo(
            episode_id, config.name, self._robot.robot.name, made.task, made.variant, scene.caption,
            describe_still(scene), made.success, made.seed,
            f"MuJoCo {version('mujoco')}, scene {scene.config.name}, {drawing}; checker: {made.verdict}",
        )  # fmt: skip

    @cached_property
    def _recipes(self) -> dict[str, Recipe]:
        config = self._config
        recipes = []
        for k in range(config.episodes):
            turn, place = divmod(k, len(config.tasks))
            task = config.tasks[place]
            variants = _variants(task) if config.with_failures else [(None, False)]
            recipes.append(Recipe(task, config.seed + k, *variants[turn % len(variants)]))
        return {recipe.episode_id: recipe for recipe in recipes}


def _taken(array: NDArray[Scalar], again: NDArray[np.intp]) -> NDArray[Scalar]:
    """The array's rows ``again``, itself where that is all of them in order."""
    return array if np.array_equal(again, np.arange(len(array))) else array[again]


def _variants(task: str) -> list[tuple[Perturbation | None, bool]]:
    """Perturbation and near miss of a task's episodes, one after the other."""
    misses: list[tuple[Perturbation | None, bool]] = [(None, True)] if task == "reach" else []
    return [(None, False), *misses, *((perturbation, False) for perturbation in PERTURBATIONS)]


def describe_still(scene: Scene) -> str:
    """What stands on the table in a scene's first frame, in one sentence."""
    layout = scene.layout
    things = [thing for thing in (layout.object, *layout.distractors) if thing is not None]
    target = f"{layout.target_colour} {'ball above it' if scene.task == 'reach' else 'disc'}"
    counts = Counter(f"{thing.colour} {thing.shape}" for thing in things)
    named = [_counted(name, count) for name, count in counts.items()]
    first = ", ".join([_counted(target, 1), *named[:-1]])
    listed = f"{first} and {named[-1]}" if named else first
    return f"A {scene.robot.robot.name} robot at a table with {listed}."


def _counted(name: str, count: int) -> str:
    if count == 1:
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return f"{count} {name}{'es' if name.endswith('x') else 's'}"
