"""The baseline: nothing but the robot moves, and its points are the robot's own."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_world_model.errors import ConditioningError, RobotNotVisibleError, WorldModelError
from k4d_world_model.frozen_world import FrozenWorld
from k4d_world_model.world_model_config import WorldModelConfig


@pytest.fixture
def frozen():
    return FrozenWorld(WorldModelConfig("still", "frozen_world", frames=7, height=22, width=34))


def test_only_the_robot_moves(frozen, make_conditioning):
    conditioning = make_conditioning(7, 22, 34)
    assert frozen.frame_shape == (7, 22, 34)
    rollout = frozen.predict(conditioning, seed=5)
    np.testing.assert_array_equal(rollout.rgb[0], conditioning.first_frame)
    mask = conditioning.robot_mask
    np.testing.assert_array_equal(rollout.rgb[1:][mask[1:]], conditioning.robot_rgb[1:][mask[1:]])
    np.testing.assert_allclose(rollout.points[mask], conditioning.robot_points[mask], atol=1e-4)
    hole = np.zeros_like(mask[0])
    hole[4:18, 3:34] = True  # the robot's rows and columns over all frames, one pixel wider
    for t in range(7):
        np.testing.assert_array_equal(rollout.rgb[t][~hole], conditioning.first_frame[~hole])
        np.testing.assert_allclose(rollout.points[t][~hole], conditioning.first_points[~hole], atol=1e-4)
    assert rollout.valid.all()
    assert rollout.camera == conditioning.camera
    assert rollout.fit.residual < 1e-4


def test_it_says_how_it_was_made(frozen, make_conditioning):
    provenance = frozen.predict(make_conditioning(7, 22, 34), seed=5).provenance
    assert (provenance.model_name, provenance.seed, provenance.steps) == ("still", 5, 1)
    assert (provenance.weights_sha256, provenance.robot_sha256, provenance.device) == ("", "5e", "cpu")
    assert dict(provenance.versions)["k4d_world_model"]
    assert provenance.computation_time > 0


def test_seeds_do_not_matter(frozen, make_conditioning):
    first, second = (frozen.predict(make_conditioning(7, 22, 34), seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.points, second.points)


def test_its_one_step_is_told_and_may_cancel(frozen, make_conditioning):
    told = []
    frozen.predict(make_conditioning(7, 22, 34), seed=5, on_step=lambda *step: told.append(step), steps=1)
    assert told == [(0, 1), (1, 1)]
    with pytest.raises(WorldModelError, match="still takes 1 step, got 4"):
        frozen.predict(make_conditioning(7, 22, 34), seed=5, steps=4)


def test_what_it_needs_is_named(frozen, make_conditioning):
    conditioning = make_conditioning(7, 22, 34)
    with pytest.raises(ConditioningError, match="depth"):
        frozen.predict(replace(conditioning, first_points=None), seed=5)
    with pytest.raises(ConditioningError, match=r"\(7, 22, 34\).*\(7, 22, 40\)"):
        frozen.predict(make_conditioning(7, 22, 40), seed=5)
    nothing = replace(
        conditioning,
        robot_mask=np.zeros_like(conditioning.robot_mask),
        robot_points=np.full_like(conditioning.robot_points, np.nan),
    )
    with pytest.raises(RobotNotVisibleError):
        frozen.predict(nothing, seed=5)
