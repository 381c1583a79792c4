"""Episodes with every field filled, of any size: a wall, a moving block for a robot, holes, a moving camera."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout

MakeEpisode = Callable[..., Episode]


def unproject(camera: Camera, depth: np.ndarray) -> np.ndarray:
    """Points (T, H, W, 3) by the pinhole's definition with pixel centres at integers."""
    fx, fy, cx, cy = camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]
    v, u = np.mgrid[: depth.shape[1], : depth.shape[2]]
    return np.stack([(u - cx) / fx * depth, (v - cy) / fy * depth, depth], axis=-1).astype(np.float32)


def make(frames: int = 5, height: int = 12, width: int = 18, seed: int = 0, **changes: Any) -> Episode:
    """An episode of these sizes; ``changes`` replace its fields."""
    rng = np.random.default_rng(seed)
    camera = Camera.pinhole(height, width, 0.9 * width, 0.8 * width, 0.47 * width, 0.53 * height, frame_id="front")
    depth = np.broadcast_to(np.linspace(2.5, 0.9, height)[:, None], (frames, height, width)).copy()
    depth += rng.uniform(0.0, 0.2, depth.shape)
    mask = np.zeros(depth.shape, bool)
    for t in range(frames):
        mask[t, height // 3 : height // 3 * 2 + 1, t % width : t % width + width // 3 + 1] = True
    robot_depth = np.where(mask, rng.uniform(0.6, 0.8, depth.shape), np.nan)
    depth = np.where(mask & (rng.uniform(size=depth.shape) < 0.8), robot_depth, depth)
    depth[rng.uniform(size=depth.shape) < 0.05] = np.nan
    times = 100.0 + np.cumsum(rng.uniform(0.01, 0.1, frames))
    joints = JointTrajectory(("a", "b_ä", "c"), times, rng.normal(size=(frames, 3)), rng.normal(size=(frames, 3)))
    T_world_cam = np.stack([se3.look_at((1.5, 0.1 * t, 0.8), (0.3, 0.0, 0.2)) for t in range(frames)])
    info = EpisodeInfo(
        "take_1", "simulation", "panda", "push", "expert", "Pushes the “box”.", "A table\nwith things", True, 7, "v1, x"
    )
    episode = Episode(
        info=info,
        rgb=rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8),
        times=times,
        camera=camera,
        T_world_cam=T_world_cam,
        T_world_base=se3.from_xyz_rpy((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        joints=joints,
        scene_points=unproject(camera, depth),
        robot_points=unproject(camera, robot_depth),
        robot_mask=mask,
    )
    return replace(episode, **changes)


@pytest.fixture(scope="session")
def make_episode() -> MakeEpisode:
    return make


@pytest.fixture(scope="session")
def points_of_depth() -> Callable[[Camera, np.ndarray], np.ndarray]:
    return unproject


@pytest.fixture
def layout(tmp_path: Path) -> NativeLayout:
    return NativeLayout(tmp_path / "data")
