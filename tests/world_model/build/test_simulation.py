"""Simulated episodes through the command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from k4d_world_model.cli.build_dataset import main
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import list_samples, read_sample, verify_sample

CONFIG = Path(__file__).resolve().parents[3] / "config"
HEIGHT, WIDTH, FRAMES = 40, 56, 4


def test_the_command_builds_simulated_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load((CONFIG / "sources" / "simulation_easy.yaml").read_text())
    content |= {"height": HEIGHT, "width": WIDTH, "tasks": ["reach"], "shadows": False, "samples": 0}
    content |= {key: str((CONFIG / "sources" / content[key]).resolve()) for key in ("robot", "scene")}
    source, out = tmp_path / "small.yaml", tmp_path / "out"
    source.write_text(yaml.safe_dump(content))
    words = ["--source", str(source), "--out", str(out), "--frames", str(FRAMES), "--episodes", "3", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["k4d-build-dataset", *words])
    assert main() == 0
    assert "3 samples (3 written, 0 kept), 2 to train and 1 to validate" in capfd.readouterr().out
    layout = NativeLayout(out)
    ids = list_samples(layout)
    assert len(ids) == 3
    for episode_id in ids:
        assert verify_sample(layout, episode_id) == ()
        episode = read_sample(layout, episode_id)
        assert episode.rgb.shape == (FRAMES, HEIGHT, WIDTH, 3)
        assert episode.robot_mask is not None
        assert np.any(episode.robot_mask)
    assert json.loads(layout.report.read_text())["rejected"] == []
