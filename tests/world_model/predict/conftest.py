"""A one-jointed arm above a table: robot, camera and model as files, and what the camera sees as a recording."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from k4d_kinematics import (
    CameraConfig,
    JointTrajectory,
    Renderer,
    RenderSettings,
    configured_robot,
    read_configuration,
    render_trajectory,
    se3,
    write_trajectory,
)
from k4d_world_model.dataset.bag_writer import write_bag
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.sources.bag_config import RosbagConfig

FRAMES, HEIGHT, WIDTH, SCALE = 5, 32, 48, 2
START = 1_760_000_000.25
BAG = RosbagConfig(
    "bag", "/image", camera_info_topic="/camera_info", depth_topic="/depth", joint_topic="/joint_states",
    robot="arm.yaml", world_frame="world", base_frame="base",
)  # fmt: skip

URDF = """<robot name="arm">
  <link name="base"><visual><geometry><box size="0.2 0.2 0.1"/></geometry></visual></link>
  <link name="tip"><visual><origin xyz="0.3 0 0"/><geometry><box size="0.6 0.2 0.2"/></geometry>
    <material name="yellow"><color rgba="1 1 0 1"/></material></visual></link>
  <joint name="turn" type="revolute"><parent link="base"/><child link="tip"/><origin xyz="0 0 0.1"/>
    <axis xyz="0 0 1"/><limit lower="-3" upper="3" velocity="1" effort="1"/></joint>
</robot>"""


@dataclass(frozen=True)
class World:
    """Where the files are, and the episode that they were made from."""

    folder: Path
    episode: Episode

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture
def world(tmp_path: Path) -> World:
    T_base_cam = se3.inverse(se3.look_at((0.9, 0.1, 1.0), (0.25, 0.0, 0.0)))
    xyz, xyzw = se3.to_xyzw(T_base_cam)
    height, width = SCALE * HEIGHT, SCALE * WIDTH
    files = {
        "arm.yaml": {"name": "arm", "urdf": "arm.urdf", "tool_link": "tip", "home": {"turn": 0.0}},
        "camera.yaml": {
            "name": "cam", "frame_id": "cam", "parent_frame": "base", "xyz": xyz.tolist(),
            "quaternion_xyzw": xyzw.tolist(), "height": height, "width": width,
            "K": [60.0, 0.0, 47.5, 0.0, 60.0, 31.5, 0.0, 0.0, 1.0],
        },
        "model.yaml": {
            "name": "still", "model": "frozen_world", "frames": FRAMES, "height": HEIGHT, "width": WIDTH
        },
        "source.yaml": {"source": "rosbag", **{key: value for key, value in vars(BAG).items() if value != ""}},
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    (tmp_path / "arm.urdf").write_text(URDF)
    joints = JointTrajectory(("turn",), START + np.arange(9) / 4, np.linspace(-0.8, 0.8, 9)[:, None])
    write_trajectory(tmp_path / "motion.csv", joints)
    episode = _episode(tmp_path, joints)
    write_bag(episode, tmp_path / "bag", BAG)
    return World(tmp_path, episode)


def _episode(folder: Path, joints: JointTrajectory) -> Episode:
    """The yellow arm over a grey table at z = 0."""
    configured = configured_robot(folder / "arm.yaml")
    config = read_configuration(folder / "camera.yaml", CameraConfig)
    renderer = Renderer(configured.surface, config.camera(), RenderSettings(rgb=True, shading="none"))
    seen = render_trajectory(configured.robot, joints, renderer, config.transforms())
    assert seen.rgb is not None
    T_base_cam = config.T_parent_cam()
    rays = np.concatenate([config.camera().rays(), np.ones((*seen.mask.shape[1:], 1))], axis=-1)
    depth = -T_base_cam[2, 3] / (rays @ T_base_cam[2, :3])  # where a ray meets z = 0
    table = (rays * depth[..., None]).astype(np.float32)
    return Episode(
        EpisodeInfo("bag", "bag"),
        np.where(seen.mask[..., None], seen.rgb, np.uint8(120)),
        joints.times,
        camera=config.camera(),
        T_world_cam=np.tile(T_base_cam, (len(joints), 1, 1)),
        T_world_base=np.eye(4),
        joints=joints,
        scene_points=np.where(seen.mask[..., None], seen.points_cam, table),
    )
