"""A small ablation of four variants on two small data sets, and a sweep of it that is finished."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from k4d_world_model.cli import ablate

from ..training.conftest import FRAMES, HEIGHT, WIDTH, make_dataset

PRESET = {
    "name": "small",
    "architecture": {
        "frames": FRAMES, "height": HEIGHT, "width": WIDTH, "condition": "robot_pointmap",
        "robot_in_both_halves": True, "normalization": "fixed", "normalization_margin": 1.2,
        "robot_pictures": "masked", "prior": "still", "head": "blend", "pointmap_latent_mean": 0.0,
        "pointmap_latent_std": 1.0, "reads_noise": False,
        "codec": {"kind": "pixels", "spatial": 4, "temporal": 4, "latent_channels": 192},
        "transformer": {
            "num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 1, "freq_dim": 16,
            "image_dim": 0,
        },
        "robot_tokens": {"patch": 2, "grid": [3, 1, 2]},
    },
    "optimiser": {"learning_rate": 3.0e-3},
    "loss": {"kind": "clean", "noise_only_share": 1.0, "soft_mask_share": 0.1},
    "budget": {"steps": 3, "checkpoint_every": 1, "validation_every": 0, "sheet_every": 0, "validation_clips": 0},
    "sampling": {"steps": 1, "scheduler": "euler", "flow_shift": 1.0},
    "batch_size": 2,
}  # fmt: skip
ABLATION = {
    "name": "small",
    "title": "A small one",
    "preset": "preset.yaml",
    "reference": "pointmap",
    "variants": [
        {"name": "pointmap"},
        {"name": "few", "data": ["second"], "clips": 2},
        {"name": "points", "changes": {"architecture": {"condition": "pictures"}}},
        {"name": "shifted", "model_of": "pointmap", "noise": {"shift_px": 2}, "points_by": "points"},
    ],
    "paper_order": {"psnr": ["pointmap", "few", "points"]},
}
NAMES = [str(variant["name"]) for variant in ABLATION["variants"]]


def write(folder: Path, preset: dict[str, Any] = PRESET, **changes: object) -> Path:
    """The path of the ablation and its preset, written there with these changes."""
    (folder / "preset.yaml").write_text(yaml.safe_dump(preset))
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(ABLATION | changes))
    return path


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("data")
    return tuple(make_dataset(folder / name, name, 3, 2) for name in ("first", "second"))


@pytest.fixture(scope="session")
def arguments(config: Path, data: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> ablate.Arguments:
    out, cache = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("cache")
    return ablate.Arguments((config,), data, out / "whole", seeds=(4,), cache=cache, threads=1)


@pytest.fixture(scope="session")
def whole(arguments: ablate.Arguments) -> Path:
    """A sweep without interruption."""
    ablate.run(arguments)
    return arguments.out
