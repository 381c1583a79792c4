"""A small metric episode with missing points, a robot partly hidden, and pairwise different sizes."""

from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.dataset.building.manifest import Manifest, manifest_sample, write_lists, write_manifest
from k4d_world_model.dataset.building.split import scene_group
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import write_sample

FRAMES, HEIGHT, WIDTH = 9, 16, 24


def make_episode(episode_id: str, *, seed: int = 0, success: bool = True) -> Episode:
    """Random pictures and points, without a camera, so that points need not lie on rays."""
    generator = np.random.default_rng(seed)
    shape = (FRAMES, HEIGHT, WIDTH)
    scene = generator.uniform([-2.0, -1.0, 0.5], [1.0, 3.0, 4.0], (*shape, 3)).astype(np.float32)
    robot = generator.uniform([-0.3, -0.4, 0.9], [0.5, 0.2, 1.7], (*shape, 3)).astype(np.float32)
    mask = generator.random(shape) < 0.2
    scene[generator.random(shape) < 0.1] = np.nan
    robot[~mask] = np.nan
    return Episode(
        info=EpisodeInfo(episode_id, "simulation", task="push", success=success, seed=seed),
        rgb=generator.integers(0, 256, (*shape, 3), np.uint8),
        times=3.0 + 0.1 * np.arange(FRAMES) + 0.01 * generator.random(FRAMES),
        scene_points=scene,
        robot_points=robot,
        robot_mask=mask,
    )


def make_dataset(root: Path, training: int, validating: int) -> NativeLayout:
    """A native data set of samples t-0, t-1 ... to train and v-0, v-1 ... to validate."""
    layout = NativeLayout(root)
    samples = []
    for part, count in (("train", training), ("val", validating)):
        for i in range(count):
            episode = make_episode(f"{part[0]}-{i}", seed=100 * validating * (part == "val") + i)
            samples.append(manifest_sample(write_sample(layout, episode), scene_group(episode.info), part))
    manifest = Manifest({"frames": FRAMES}, {}, complete=True, samples=tuple(samples))
    write_manifest(layout, manifest)
    write_lists(layout, manifest)
    return layout


@pytest.fixture
def layout(tmp_path: Path) -> NativeLayout:
    """Three samples to train and two to validate."""
    return make_dataset(tmp_path / "dataset", 3, 2)
