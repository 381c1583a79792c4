"""A rollout of a moving camera with numbers that no rounding survives, and the episode that really happened."""

import numpy as np
import pytest

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.rollout import MetricFit, Provenance, Rollout

FRAMES, HEIGHT, WIDTH, JOINTS = 5, 6, 10, 3


@pytest.fixture
def rollout() -> Rollout:
    rng = np.random.default_rng(7)
    points = rng.normal(size=(FRAMES, HEIGHT, WIDTH, 3)).astype(np.float32)
    valid = rng.random((FRAMES, HEIGHT, WIDTH)) > 0.3
    points[~valid] = np.nan
    times = np.cumsum(rng.random(FRAMES)) / 3
    poses = se3.from_xyz_rpy(rng.normal(size=(FRAMES, 3)), rng.normal(size=(FRAMES, 3)))
    return Rollout(
        rgb=rng.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8),
        points=points,
        valid=valid,
        times=times,
        camera=Camera.pinhole(HEIGHT, WIDTH, 7.1, 1 / 3, 4.9, 2.2, frame_id="Kamera größe"),
        T_cam_base=poses,
        fit=MetricFit(rng.normal(size=3), rng.normal(size=3), 0.1 + 0.2, 17),
        provenance=Provenance(
            "tiny", "ab" * 32, "cd" * 32, 2**63 + 5, 8, "none", "cpu", 1 / 7, 3, (("torch", "2.13.0"), ("numpy", "2"))
        ),
        joints=JointTrajectory(
            ("c", "a", "b"), times, rng.normal(size=(FRAMES, JOINTS)), rng.normal(size=(FRAMES, JOINTS))
        ),
    )


@pytest.fixture
def conditioning(rollout: Rollout) -> Conditioning:
    return Conditioning(
        first_frame=rollout.rgb[0], robot_points=rollout.points, robot_mask=rollout.valid, times=rollout.times,
        camera=rollout.camera, T_cam_base=rollout.T_cam_base,
    )  # fmt: skip


@pytest.fixture
def recorded(rollout: Rollout) -> Episode:
    rng = np.random.default_rng(8)
    points = rng.normal(size=rollout.points.shape).astype(np.float32)
    points[:, 0, 0] = np.nan
    rgb = rng.integers(0, 256, rollout.rgb.shape, dtype=np.uint8)
    return Episode(EpisodeInfo("one", "test"), rgb, 1e9 + rollout.times, scene_points=points)
