"""A scene and a motion in it that the tests of drawing share."""

import pytest

from k4d_simulation.episode import simulate
from k4d_simulation.scene import build_scene

HEIGHT, WIDTH = 72, 101


@pytest.fixture(scope="session")
def scene(robots, presets):
    """A Panda among distractors, one of which hides something."""
    return build_scene(robots["panda"], presets["hard"], "pick_place", 7)


@pytest.fixture(scope="session")
def motion(scene):
    return simulate(scene)
