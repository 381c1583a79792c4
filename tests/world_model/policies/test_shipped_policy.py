"""The diffusion policy that ships: it is small, is what the preset trains, and finds things in scenes it never saw."""

from pathlib import Path

import numpy as np
from safetensors import safe_open

from k4d_kinematics import configured_robot, read_configuration
from k4d_world_model.policy_evaluation.diffusion.checkpoint import load_policy
from k4d_world_model.policy_evaluation.diffusion.demonstration_files import make_demonstrations
from k4d_world_model.policy_evaluation.diffusion.demonstrations import DemonstrationConfig
from k4d_world_model.policy_evaluation.diffusion.frames import Frames
from k4d_world_model.policy_evaluation.diffusion.training import PolicyTrainingConfig, held_out_error
from k4d_world_model.policy_evaluation.diffusion_policy import DiffusionPolicyConfig

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "models" / "diffusion_policy"


def test_it_is_small_and_has_a_card() -> None:
    files = list(FOLDER.iterdir())
    assert {path.name for path in files} == {"README.md", "architecture.json", "policy.safetensors"}
    assert sum(path.stat().st_size for path in files) <= 5_000_000
    config = read_configuration(ROOT / "config/policies/diffusion.yaml", DiffusionPolicyConfig)
    assert (ROOT / "config/policies" / config.checkpoint).resolve() == FOLDER


def test_it_is_what_the_preset_trains() -> None:
    preset = read_configuration(ROOT / "config/policies/train_diffusion.yaml", PolicyTrainingConfig)
    assert load_policy(FOLDER).architecture == preset.architecture
    with safe_open(FOLDER / "policy.safetensors", "pt") as file:
        told = file.metadata()
    assert int(told["steps"]) == preset.steps
    assert int(told["scenes"]) == preset.demonstrations.count
    assert int(told["first_seed"]) == preset.demonstrations.seed


def test_it_finds_object_and_target_in_scenes_that_it_never_saw(tmp_path: Path) -> None:
    policy = load_policy(FOLDER)
    scenes = DemonstrationConfig((str(ROOT / "config/scenes/medium.yaml"),), ("pick_place",), 6_000_000, 4, frames=6)
    robot = configured_robot(ROOT / "config/robots/panda.yaml", tmp_path)
    data = make_demonstrations(tmp_path, scenes, ROOT, robot, policy.architecture, lambda made, done, count: made)
    frames = Frames(data, policy.architecture)
    error = held_out_error(policy, frames, np.arange(len(data.rgb)), seed=0)
    assert error.frames >= 12
    assert error.object < 0.015
    assert error.target < 0.015
    assert error.goal < 0.03
