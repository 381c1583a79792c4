"""The small model that ships: it opens everywhere, is as small as promised, and was trained by the preset."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import ToolPath, read_configuration
from k4d_world_model.errors import SamplingError
from k4d_world_model.training.config import TrainingConfig
from k4d_world_model.wan.model import WanWorldModel
from k4d_world_model.world_model import open_world_model

ROOT = Path(__file__).resolve().parents[3]
# A tool that comes near nothing.
FAR = ToolPath(np.tile(np.eye(4), (49, 1, 1)), np.zeros(49))


@pytest.fixture
def tiny() -> WanWorldModel:
    model = open_world_model(ROOT / "config" / "world_models" / "tiny.yaml")
    assert isinstance(model, WanWorldModel)
    return model


def test_it_is_small_and_has_a_card():
    files = list((ROOT / "models" / "tiny").iterdir())
    assert {path.name for path in files} == {"README.md", "architecture.json", "transformer.safetensors"}
    assert sum(path.stat().st_size for path in files) <= 25_000_000


def test_it_is_what_the_preset_trains(tiny):
    preset = read_configuration(ROOT / "config" / "training" / "tiny.yaml", TrainingConfig)
    assert tiny.architecture == preset.architecture
    assert tiny.config.sampling == preset.sampling


def test_it_predicts_49_frames_in_one_step(tiny, make_conditioning):
    start = replace(make_conditioning(49, 96, 144), tool=FAR)
    rollout = tiny.predict(start, seed=0)
    assert rollout.valid.shape == (49, 96, 144)
    assert rollout.valid.all()
    np.testing.assert_allclose(rollout.rgb[0].astype(int), start.first_frame, atol=1)
    with pytest.raises(SamplingError, match="predicts in 1 step, got 4"):
        tiny.predict(start, seed=0, steps=4)


def test_its_robot_is_where_kinematics_put_it(tiny, make_conditioning):
    start = replace(make_conditioning(49, 96, 144), tool=FAR)
    rollout = tiny.predict(start, seed=0)
    mask = start.robot_mask & np.isfinite(rollout.points[..., 2])
    assert np.median(np.linalg.norm(rollout.points[mask] - start.robot_points[mask], axis=-1)) < 0.01
