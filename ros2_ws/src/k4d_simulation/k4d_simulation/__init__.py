"""A MuJoCo tabletop that makes labelled robot episodes, and the same scene live in ROS 2."""

from k4d_simulation.agreement import Agreement, agreement
from k4d_simulation.episode import Motion, simulate
from k4d_simulation.errors import SimulationError
from k4d_simulation.generation import SimulatedEpisode, generate_episode
from k4d_simulation.perturbation import PERTURBATIONS, Perturbation
from k4d_simulation.rendering import RenderingSettings, SceneImage, SceneRenderer
from k4d_simulation.scene import Scene, build_scene
from k4d_simulation.scene_config import SceneConfig
from k4d_simulation.success import Outcome
from k4d_simulation.tasks import TASKS

__all__ = [
    "PERTURBATIONS",
    "TASKS",
    "Agreement",
    "Motion",
    "Outcome",
    "Perturbation",
    "RenderingSettings",
    "Scene",
    "SceneConfig",
    "SceneImage",
    "SceneRenderer",
    "SimulatedEpisode",
    "SimulationError",
    "agreement",
    "build_scene",
    "generate_episode",
    "simulate",
]
