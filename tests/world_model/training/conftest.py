"""A small data set on disk, a preset that a CPU trains in seconds, and clips; sizes differ pairwise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from k4d_kinematics import Camera, se3
from k4d_world_model.dataset.building.manifest import Manifest, manifest_sample, write_lists, write_manifest
from k4d_world_model.dataset.building.split import scene_group
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import write_sample
from k4d_world_model.training.clip import TrainingClip
from k4d_world_model.training.config import (
    AugmentationSettings,
    BudgetSettings,
    LossSettings,
    OptimiserSettings,
    ScheduleSettings,
    TrainingConfig,
)
from k4d_world_model.training.preparing import clip_of
from k4d_world_model.wan.architecture import Architecture, CodecSize, RobotTokenSize, TransformerSize

FRAMES, HEIGHT, WIDTH = 9, 16, 24
ARCHITECTURE = Architecture(
    frames=FRAMES,
    height=HEIGHT,
    width=WIDTH,
    first_frame_geometry="measured",
    normalization="robot",
    robot_pictures="masked",
    prior="frozen_world",
    head="motion",
    pointmap_latent_mean=0.0,
    pointmap_latent_std=1.0,
    light_grid=3,
    continues_surfaces=True,
    codec=CodecSize("pixels", 4, 4, 192),
    transformer=TransformerSize(
        num_attention_heads=2, attention_head_dim=12, ffn_dim=32, num_layers=1, freq_dim=16, image_dim=0
    ),
    robot_tokens=RobotTokenSize(2, (3, 1, 2)),
)
# The same without what needs the motion head.
PLAIN = replace(ARCHITECTURE, light_grid=0, continues_surfaces=False)
CONFIG = TrainingConfig(
    name="small",
    architecture=ARCHITECTURE,
    optimiser=OptimiserSettings(learning_rate=3e-3, betas=(0.9, 0.99)),
    schedule=ScheduleSettings("cosine", warm_up=2),
    loss=LossSettings("clean", noise_only_share=0.5, changed_weight=3.0, modality_weights=(1.0, 2.0)),
    augmentation=AugmentationSettings(flip=True, permute_colours=True),
    budget=BudgetSettings(steps=5, checkpoint_every=2, validation_every=2, sheet_every=4, validation_clips=2),
    batch_size=2,
    ema_decay=0.9,
    seed=3,
)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Numbers that do not depend on how many cores the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_episode(episode_id: str, seed: int, *, visible: bool = True) -> Episode:
    """A slanted floor in random colours, a robot of one block that crosses it, and a hole in the measured depths."""
    generator = np.random.default_rng(seed)
    camera = Camera.pinhole(HEIGHT, WIDTH, 20.0, 22.0, 11.0, 8.5, frame_id="cam")
    rays = np.concatenate([camera.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
    floor = np.broadcast_to(np.linspace(2.0, 1.2, HEIGHT)[:, None], (HEIGHT, WIDTH)) + 0.1 * generator.random()
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), np.bool_)
    for t in range(FRAMES if visible else 0):
        column = 2 + t + seed % 4
        mask[t, 3:11, column : column + 5] = True
    depth = np.where(mask, 0.9 + 0.02 * np.arange(FRAMES)[:, None, None], floor)
    scene = (rays * depth[..., None]).astype(np.float32)
    rgb = np.broadcast_to(generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (FRAMES, HEIGHT, WIDTH, 3)).copy()
    rgb[mask] = (200, 120, 30)
    robot = np.where(mask[..., None], scene, np.float32(np.nan)).astype(np.float32)
    scene[:, 14:, :3] = np.nan
    still = np.broadcast_to(np.eye(4), (FRAMES, 4, 4)).copy()
    return Episode(
        info=EpisodeInfo(episode_id, "simulation", task="push", success=True, seed=seed),
        rgb=rgb,
        times=0.1 * np.arange(FRAMES),
        camera=camera,
        T_world_cam=still,
        T_world_base=se3.from_xyz_rpy((0.2, 0.1, 1.0), (np.pi - 0.2, 0.1, 0.4)),  # z towards the camera
        scene_points=scene,
        robot_points=robot,
        robot_mask=mask,
    )


def make_dataset(root: Path, name: str, training: int, validating: int, hidden: int = 0) -> Path:
    """A native data set; its last ``hidden`` samples to train on never show the robot."""
    layout, samples = NativeLayout(root), []
    for part, count in (("train", training), ("val", validating)):
        for i in range(count):
            seed = 10 * i + 1000 * (part == "val") + sum(map(ord, name))
            shown = part == "val" or i < training - hidden
            episode = make_episode(f"{name}-{part}-{i}", seed, visible=shown)
            samples.append(manifest_sample(write_sample(layout, episode), scene_group(episode.info), part))
    manifest = Manifest({"frames": FRAMES}, {}, complete=True, samples=tuple(samples))
    write_manifest(layout, manifest)
    write_lists(layout, manifest)
    return root


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """Five samples to train and three to validate; never changed by a test."""
    return make_dataset(tmp_path_factory.mktemp("data") / "first", "first", 5, 3)


@pytest.fixture
def config() -> TrainingConfig:
    return CONFIG


@pytest.fixture
def clip() -> TrainingClip:
    return clip_of(make_episode("clip", 7), ARCHITECTURE, None)


def steps(config: TrainingConfig, count: int, **changes: int) -> TrainingConfig:
    """The preset with another end, without validation unless asked."""
    budget = BudgetSettings(steps=count, **{"checkpoint_every": 0, "validation_every": 0, "sheet_every": 0, **changes})
    return replace(config, budget=budget)
