"""Episodes to annotate, a data set of them, and tools written on the spot."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import Camera
from k4d_world_model.dataset.annotation.command_annotator import CommandAnnotator
from k4d_world_model.dataset.building.manifest import Manifest, manifest_sample, write_lists, write_manifest
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import write_sample

FRAMES, HEIGHT, WIDTH = 5, 12, 18

TOOL_START = """
import json, sys
from pathlib import Path
import numpy as np
from PIL import Image
from safetensors.numpy import save_file
source, out = Path(sys.argv[1]), Path(sys.argv[2])
about = json.loads((source / "episode.json").read_text())
shape = (about["frames"], about["height"], about["width"])
points = np.ones((*shape, 3), np.float32)
mask = np.zeros(shape, bool)
mask[:, 2:5, 3:9] = True
"""


@pytest.fixture
def episode() -> Episode:
    """Pictures of noise, times and a camera: what a recording without depth has."""
    rng = np.random.default_rng(11)
    return Episode(
        EpisodeInfo("run_0", "lab", robot="panda", task="push", provenance="a recording", success=True),
        rng.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8),
        np.arange(FRAMES) * 0.1 + 2.0,
        camera=Camera.pinhole(HEIGHT, WIDTH, 20.0, 21.0, 8.5, 5.5),
    )


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    mask[:, 3:8, 4:11] = True
    return mask


@pytest.fixture
def tool(tmp_path: Path) -> Callable[..., CommandAnnotator]:
    """A command annotator whose script goes on from ``TOOL_START``."""

    def make(script: str, timeout: float = 120.0) -> CommandAnnotator:
        path = tmp_path / "tool.py"
        path.write_text(TOOL_START + script)
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return CommandAnnotator((sys.executable, str(path), "{input}", "{output}"), timeout, work)

    return make


@pytest.fixture
def dataset(episode: Episode, tmp_path: Path) -> NativeLayout:
    """A data set of three episodes, the second of which validates."""
    layout = NativeLayout(tmp_path / "dataset")
    layout.root.mkdir()
    samples = []
    for index, part in enumerate(("train", "val", "train")):
        name = f"run_{index}"
        record = write_sample(layout, replace(episode, info=replace(episode.info, episode_id=name)))
        samples.append(manifest_sample(record, name, part))
    manifest = Manifest({"frames": FRAMES}, {}, complete=True, samples=tuple(samples))
    write_manifest(layout, manifest)
    write_lists(layout, manifest)
    return layout
