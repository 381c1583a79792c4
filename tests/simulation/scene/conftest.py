"""A way to build scenes by names."""

import pytest

from k4d_simulation import build_scene


@pytest.fixture(scope="session")
def build(robots, presets):
    """Builds a scene by the names of robot, preset and task."""

    def build(robot, preset, task, seed, meshes="reduced"):
        return build_scene(robots[robot], presets[preset], task, seed, meshes=meshes)

    return build
