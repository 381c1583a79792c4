"""A rollout to look at, what was recorded of it, and an arm."""

from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.rollout import MetricFit, Provenance, Rollout

FRAMES, HEIGHT, WIDTH = 7, 20, 30

ROBOT_YAML = "name: arm\nurdf: arm.urdf\ntool_link: tip\nhome: {turn: 0.0}\n"
ROBOT_URDF = """<robot name="arm">
  <link name="base"><visual><geometry><box size="0.2 0.2 0.1"/></geometry></visual></link>
  <link name="tip"><visual><origin xyz="0.3 0 0"/><geometry><box size="0.6 0.05 0.05"/></geometry>
    <material name="yellow"><color rgba="1 1 0 1"/></material></visual></link>
  <joint name="turn" type="revolute"><parent link="base"/><child link="tip"/><origin xyz="0 0 0.1"/>
    <axis xyz="0 0 1"/><limit lower="-3" upper="3" velocity="1" effort="1"/></joint>
</robot>"""


@pytest.fixture
def robot_yaml(tmp_path: Path) -> Path:
    (tmp_path / "arm.urdf").write_text(ROBOT_URDF)
    (tmp_path / "arm.yaml").write_text(ROBOT_YAML)
    return tmp_path / "arm.yaml"


@pytest.fixture
def rollout() -> Rollout:
    """A green wall 1 m before the camera, before which a red patch moves from left to right."""
    camera = Camera.pinhole(HEIGHT, WIDTH, 24.0, 24.0, 14.5, 9.5, frame_id="cam")
    rays = np.concatenate([camera.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
    points = np.tile(rays, (FRAMES, 1, 1, 1)).astype(np.float32)
    rgb = np.full((FRAMES, HEIGHT, WIDTH, 3), (20, 200, 20), np.uint8)
    valid = np.ones((FRAMES, HEIGHT, WIDTH), np.bool_)
    for k in range(FRAMES):
        patch = (k, slice(5, 14), slice(4 * k, 4 * k + 6))
        points[patch] *= 0.7
        rgb[patch] = (220, 20, 20)
        valid[k, 0, : k + 1] = False
    points[~valid] = np.nan
    times = 0.2 * np.arange(FRAMES)
    T_cam_base = se3.look_at((1.2, 0.0, 0.6), (0.2, 0.0, 0.4))
    return Rollout(
        rgb=rgb, points=points, valid=valid, times=times, camera=camera,
        T_cam_base=np.tile(T_cam_base, (FRAMES, 1, 1)),
        fit=MetricFit(np.ones(3), np.zeros(3), 0.0042, 99),
        provenance=Provenance("test model", "", "", 3, 8, "none", "cpu", 1.5, 0, ()),
        joints=JointTrajectory(("turn",), times, np.linspace(-1, 1, FRAMES)[:, None]),
    )  # fmt: skip


@pytest.fixture
def recorded(rollout: Rollout) -> Episode:
    """The same in blue."""
    blue = np.ascontiguousarray(rollout.rgb[..., ::-1])
    return Episode(EpisodeInfo("one", "test"), blue, rollout.times, scene_points=rollout.points)
