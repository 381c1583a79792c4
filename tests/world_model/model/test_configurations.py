"""The files in config/world_models say what their models need, and what they need is there or named."""

from pathlib import Path

import pytest
import torch

from k4d_kinematics import read_configuration
from k4d_world_model.wan.acceleration import check_switches
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.preflight import GIB, estimate
from k4d_world_model.wan.sampler import check_guidance
from k4d_world_model.world_model_config import WorldModelConfig

FOLDER = Path(__file__).resolve().parents[3] / "config" / "world_models"
PUBLISHED = sorted(FOLDER.glob("kinema4d_*.yaml"))


def test_every_file_is_read():
    names = {path.stem: read_configuration(path, WorldModelConfig).name for path in FOLDER.glob("*.yaml")}
    assert {"tiny", "frozen_world", "kinema4d_act", "kinema4d_pmcond", "kinema4d_fast"} <= set(names)
    assert all(stem == name for stem, name in names.items())


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_models_fit_their_architecture_and_each_other(path, monkeypatch):
    config = read_configuration(path, WorldModelConfig)
    architecture = read_configuration(FOLDER / config.architecture, Architecture)
    condition = "robot_pointmap" if "pmcond" in path.stem else "robot_rgb_and_pointmap"
    assert architecture == Architecture(49, 480, 720, condition=condition)
    check_guidance(config.sampling.guidance, architecture)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    check_switches(config.runtime, torch.device("cuda"))
    assert estimate(architecture, config.runtime).peak < 40 * GIB


def test_the_baseline_has_the_small_models_size():
    config = read_configuration(FOLDER / "frozen_world.yaml", WorldModelConfig)
    assert (config.frames, config.height, config.width) == (49, 96, 144)
