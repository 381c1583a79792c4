"""Robots, presets and a way to build scenes from them."""

from pathlib import Path

import pytest

from k4d_kinematics import configured_robot, read_configuration
from k4d_simulation import SceneConfig, build_scene

CONFIG = Path(__file__).resolve().parents[3] / "config"


@pytest.fixture(scope="session")
def robots():
    return {name: configured_robot(CONFIG / "robots" / f"{name}.yaml") for name in ("panda", "ur5")}


@pytest.fixture(scope="session")
def presets():
    return {path.stem: read_configuration(path, SceneConfig) for path in (CONFIG / "scenes").glob("*.yaml")}


@pytest.fixture(scope="session")
def build(robots, presets):
    """Builds a scene by the names of robot, preset and task."""

    def build(robot, preset, task, seed, meshes="reduced"):
        return build_scene(robots[robot], presets[preset], task, seed, meshes=meshes)

    return build
