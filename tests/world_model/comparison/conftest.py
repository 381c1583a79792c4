"""A scene that changes with time, predicted at some moments and executed at others, and an arm that moves in it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import Camera, ConfiguredRobot, JointTrajectory, configured_robot, se3
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.rollout import MetricFit, Provenance, Rollout

FRAMES, HEIGHT, WIDTH = 9, 16, 22
STEP, START = 0.1, 1_700_000_000.25
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 20.0, 21.0, 10.2, 7.9, frame_id="cam")
T_CAM_BASE = se3.look_at((1.4, 0.0, 0.7), (0.2, 0.0, 0.1))

ROBOT_YAML = "name: arm\nurdf: arm.urdf\ntool_link: tip\nhome: {turn: 0.0}\n"
ROBOT_URDF = """<robot name="arm">
  <link name="base"><visual><geometry><box size="0.2 0.2 0.1"/></geometry></visual></link>
  <link name="tip"><visual><origin xyz="0.2 0 0"/><geometry><box size="0.4 0.1 0.1"/></geometry></visual></link>
  <joint name="turn" type="revolute"><parent link="base"/><child link="tip"/><origin xyz="0 0 0.1"/>
    <axis xyz="0 0 1"/><limit lower="-3" upper="3" velocity="1" effort="1"/></joint>
</robot>"""

See = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def robot_yaml(tmp_path: Path) -> Path:
    (tmp_path / "arm.urdf").write_text(ROBOT_URDF)
    (tmp_path / "arm.yaml").write_text(ROBOT_YAML)
    return tmp_path / "arm.yaml"


@pytest.fixture
def robot(robot_yaml: Path) -> ConfiguredRobot:
    return configured_robot(robot_yaml)


def joints(times: np.ndarray) -> np.ndarray:
    """Where the arm is at ``times``: still, a turn, still."""
    return np.interp(times, [0.1, 0.7], [-0.4, 0.6])[:, None]


@pytest.fixture
def see() -> See:
    """Pictures and points at moments: a wall 1 m away whose colour follows the time, and a patch that moves over it."""

    def at(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rays = np.concatenate([CAMERA.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
        points = np.tile(rays, (len(times), 1, 1, 1))
        texture = np.random.default_rng(5).integers(40, 160, (HEIGHT, WIDTH, 3))
        rgb = np.tile(texture, (len(times), 1, 1, 1))
        for k, time in enumerate(times):
            patch = (
                k,
                slice(3, 9),
                slice(2 + int(np.floor(10.0 * time + 1e-6)), 7 + int(np.floor(10.0 * time + 1e-6))),
            )
            points[patch] *= 0.8
            rgb[patch] = (200, 30, 30)
        points[:, 0, 0] = np.nan
        return rgb.astype(np.uint8), points.astype(np.float32)

    return at


@pytest.fixture
def rollout(see: See) -> Rollout:
    times = STEP * np.arange(FRAMES)
    rgb, points = see(times)
    return Rollout(
        rgb=rgb, points=points, valid=np.isfinite(points).all(axis=-1), times=times, camera=CAMERA,
        T_cam_base=np.tile(T_CAM_BASE, (FRAMES, 1, 1)), fit=MetricFit(np.ones(3), np.zeros(3), 0.002, 99),
        provenance=Provenance("test model", "ab" * 32, "", 3, 8, "none", "cpu", 1.5, 0, ()),
        joints=JointTrajectory(("turn",), times, joints(times)),
    )  # fmt: skip


@pytest.fixture
def executed(see: See) -> Episode:
    """The same scene and arm, at the rollout's moments (START is its 0) and one more before and after them."""
    times = STEP * np.arange(-1, FRAMES + 1)
    rgb, points = see(np.clip(times, 0.0, STEP * (FRAMES - 1)))
    stamps = START + times
    return Episode(
        EpisodeInfo("one", "test"), rgb, stamps, camera=CAMERA, scene_points=points,
        T_world_cam=np.tile(se3.inverse(T_CAM_BASE), (len(times), 1, 1)), T_world_base=np.eye(4),
        joints=JointTrajectory(("other", "turn"), stamps, np.hstack([np.zeros((len(times), 1)), joints(times)])),
    )  # fmt: skip
