"""Robots and presets that the tests of scenes and of drawing share; both are read once a session."""

from pathlib import Path

import pytest

from k4d_kinematics import configured_robot, read_configuration
from k4d_simulation import SceneConfig

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture(scope="session")
def robots():
    return {name: configured_robot(CONFIG / "robots" / f"{name}.yaml") for name in ("panda", "ur5")}


@pytest.fixture(scope="session")
def presets():
    return {path.stem: read_configuration(path, SceneConfig) for path in (CONFIG / "scenes").glob("*.yaml")}
