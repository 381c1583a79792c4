"""A small world in closed form: a tilted floor, a box that hides what is behind it, a robot that slides sideways."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from k4d_kinematics import Camera, JointTrajectory
from k4d_world_model.dataset.building.manifest import Manifest, manifest_sample, write_lists, write_manifest
from k4d_world_model.dataset.building.split import Part, scene_group
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import write_sample

FRAMES, HEIGHT, WIDTH = 9, 26, 38
BOX_DEPTH, ROBOT_DEPTH = 0.9, 1.2


def make_episode(episode_id: str = "simulated-0", *, seed: int | None = 0, success: bool | None = True) -> Episode:
    """A sound metric episode; another ``seed`` is another texture and another place of the robot."""
    generator = np.random.default_rng(seed)
    camera = Camera.pinhole(HEIGHT, WIDTH, 40.0, 41.0, 18.5, 12.5)
    depth = np.broadcast_to(2.0 - 0.02 * np.arange(HEIGHT)[:, None], (FRAMES, HEIGHT, WIDTH)).copy()
    texture = np.clip(np.linspace(40, 200, WIDTH)[None, :, None] + generator.normal(0, 10, (HEIGHT, 1, 3)), 0, 255)
    rgb = np.broadcast_to(texture, (FRAMES, HEIGHT, WIDTH, 3)).copy()
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    start = int(generator.integers(2, 8))
    for t in range(FRAMES):
        mask[t, 4:16, start + 2 * t : start + 2 * t + 7] = True
        depth[t][mask[t]], rgb[t][mask[t]] = ROBOT_DEPTH, (230, 90, 20)
        depth[t, 12:22, 20:30], rgb[t, 12:22, 20:30] = BOX_DEPTH, (20, 60, 160)  # hides the robot where they meet
    rays = np.concatenate([camera.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)  # (H, W, 3)
    times = 5.0 + 0.1 * np.arange(FRAMES)
    positions = np.stack([0.1 * np.arange(FRAMES), np.full(FRAMES, -0.7)], axis=1)
    return Episode(
        info=EpisodeInfo(episode_id, "simulation", task="push", success=success, seed=seed),
        rgb=rgb.astype(np.uint8),
        times=times,
        camera=camera,
        T_world_cam=np.tile(np.eye(4), (FRAMES, 1, 1)),
        T_world_base=np.eye(4),
        joints=JointTrajectory(("shoulder", "slide"), times, positions),
        scene_points=(depth[..., None] * rays).astype(np.float32),
        robot_points=np.where(mask[..., None], ROBOT_DEPTH * rays, np.nan).astype(np.float32),
        robot_mask=mask,
    )


def make_dataset(root: Path, episodes: Sequence[Episode], validating: Collection[str] = ()) -> NativeLayout:
    """A native data set of these episodes at ``root``."""
    layout = NativeLayout(root)
    samples = []
    for episode in sorted(episodes, key=lambda e: e.info.episode_id):
        part: Part = "val" if episode.info.episode_id in validating else "train"
        samples.append(manifest_sample(write_sample(layout, episode), scene_group(episode.info), part))
    manifest = Manifest({"frames": FRAMES}, {}, complete=True, samples=tuple(samples))
    write_manifest(layout, manifest)
    write_lists(layout, manifest)
    return layout
