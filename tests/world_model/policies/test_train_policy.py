"""The command that trains a policy: what it leaves is what the harness runs, and what is made is made once."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from k4d_kinematics import configured_robot, read_configuration
from k4d_world_model.cli import train_policy
from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion_policy import DiffusionPolicy, DiffusionPolicyConfig
from k4d_world_model.policy_evaluation.opening import open_policy

ROOT = Path(__file__).resolve().parents[3]
PANDA = ROOT / "config/robots/panda.yaml"


def write_config(folder: Path) -> Path:
    architecture = PolicyArchitecture(
        height=16, width=24, rows=(2, 14), columns=(4, 20), horizon=5, keypoints=3, pixel_channels=6, grid_channels=10,
        grid_layers=1, width_of_denoiser=24, blocks=1, diffusion_steps=7,
    )  # fmt: skip
    demonstrations = {
        "scenes": [str(ROOT / "config/scenes/easy.yaml")], "tasks": ["pick_place"], "seed": 2_000_000, "count": 4,
        "frames": 3,
    }  # fmt: skip
    content = {"robot": str(PANDA), "demonstrations": demonstrations, "architecture": asdict(architecture)}
    path = folder / "train.yaml"
    path.write_text(json.dumps(content | {"steps": 2, "batch": 2, "draws": 1}))  # JSON is YAML
    return path


def test_what_it_leaves_is_what_the_harness_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = train_policy.Arguments(write_config(tmp_path), tmp_path / "out", cache=tmp_path)
    train_policy.run(arguments)
    described = arguments.out / "policy.yaml"
    assert f"k4d-evaluate-policy --policies diffusion:{described}" in capsys.readouterr().out
    assert read_configuration(described, DiffusionPolicyConfig) == DiffusionPolicyConfig("diffusion", "policy", 2, 7)
    policy = open_policy(f"diffusion:{described}", configured_robot(PANDA, tmp_path))
    assert isinstance(policy, DiffusionPolicy)
    shards = sorted((arguments.out / "demonstrations").iterdir())
    made = [path.stat().st_mtime_ns for path in shards]
    train_policy.run(arguments)
    assert [path.stat().st_mtime_ns for path in shards] == made
