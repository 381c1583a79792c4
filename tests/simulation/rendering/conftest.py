"""Robots, presets and scenes that the tests of drawing share."""

from pathlib import Path

import pytest

from k4d_kinematics import configured_robot, read_configuration
from k4d_simulation.episode import simulate
from k4d_simulation.scene import build_scene
from k4d_simulation.scene_config import SceneConfig

CONFIG = Path(__file__).resolve().parents[3] / "config"
HEIGHT, WIDTH = 72, 101


@pytest.fixture(scope="session")
def robots():
    return {name: configured_robot(CONFIG / "robots" / f"{name}.yaml") for name in ("panda", "ur5")}


@pytest.fixture(scope="session")
def presets():
    return {path.stem: read_configuration(path, SceneConfig) for path in (CONFIG / "scenes").glob("*.yaml")}


@pytest.fixture(scope="session")
def scene(robots, presets):
    """A Panda among distractors, one of which hides something."""
    return build_scene(robots["panda"], presets["hard"], "pick_place", 7)


@pytest.fixture(scope="session")
def motion(scene):
    return simulate(scene)
