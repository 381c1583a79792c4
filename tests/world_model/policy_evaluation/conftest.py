"""A gantry with a gripper over a table of boxes, and what a camera sees of it, by intersecting rays and boxes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from k4d_kinematics import Camera, ConfiguredRobot, JointTrajectory, configured_robot, se3
from k4d_world_model.policy_evaluation.policy import Observation
from k4d_world_model.policy_evaluation.world import Footage, Goal

HEIGHT, WIDTH = 60, 80
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 90.0, 90.0, 39.5, 29.5, frame_id="optical")
T_CAM_BASE = se3.look_at(np.array([1.3, 0.1, 0.8]), np.array([0.5, 0.0, 0.0]))
TABLE, RED, BLUE, GREEN = (0.6, 0.55, 0.5), (0.82, 0.16, 0.13), (0.13, 0.38, 0.78), (0.16, 0.6, 0.27)


def _slider(name: str, parent: str, axis: str, size: float, speed: float = 2.0, upper: float = 1.0) -> str:
    return f"""<link name="{name}"><visual><geometry><box size="{size} {size} {size}"/></geometry></visual></link>
    <joint name="slide_{name}" type="prismatic"><parent link="{parent}"/><child link="{name}"/><axis xyz="{axis}"/>
    <limit lower="{upper - 2.0 if upper == 1.0 else 0.0}" upper="{upper}" velocity="{speed}" effort="1"/></joint>"""


URDF = f"""<robot name="gantry"><link name="base"><visual><geometry><box size="0.1 0.1 0.1"/></geometry></visual></link>
{_slider("x", "base", "1 0 0", 0.02)}{_slider("y", "x", "0 1 0", 0.02)}{_slider("tool", "y", "0 0 1", 0.02)}
{_slider("left", "tool", "0 1 0", 0.01, 0.4, 0.04)}{_slider("right", "tool", "0 -1 0", 0.01, 0.4, 0.04)}</robot>"""
HOME = {"slide_x": 0.3, "slide_y": 0.2, "slide_tool": 0.4, "slide_left": 0.04, "slide_right": 0.04}


@pytest.fixture(scope="session")
def gantry(tmp_path_factory: pytest.TempPathFactory) -> ConfiguredRobot:
    """Joints x, y, tool (z), then the two fingers, 4 cm each; the tool is where the first three say."""
    folder: Path = tmp_path_factory.mktemp("gantry")
    (folder / "gantry.urdf").write_text(URDF)
    config = {"name": "gantry", "urdf": "gantry.urdf", "tool_link": "tool", "home": HOME}
    (folder / "gantry.yaml").write_text(yaml.safe_dump(config))
    return configured_robot(folder / "gantry.yaml", folder)


@dataclass(frozen=True)
class Block:
    """An upright box whose bottom is at ``bottom`` metres."""

    xy: tuple[float, float]
    half: tuple[float, float, float]
    rgb: tuple[float, float, float]
    bottom: float = 0.0


def picture(blocks: list[Block]) -> tuple[np.ndarray, np.ndarray]:
    """What is seen: rgb (H, W, 3) uint8, points_cam (H, W, 3) float32; the table is the plane z = 0."""
    T_base_cam = se3.inverse(T_CAM_BASE)
    rays_cam = np.concatenate([CAMERA.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
    rays, eye = rays_cam @ T_base_cam[:3, :3].T, T_base_cam[:3, 3]
    depth = np.where(rays[..., 2] < 0, -eye[2] / rays[..., 2], np.nan)
    rgb = np.broadcast_to(np.array(TABLE), (HEIGHT, WIDTH, 3)).copy()
    for block in blocks:
        middle = np.array([*block.xy, block.bottom + block.half[2]])
        near, far = (
            np.sort([(middle + s * np.array(block.half) - eye) / rays for s in (-1, 1)], axis=0)[k] for k in (0, 1)
        )
        enter, leave = near.max(axis=-1), far.min(axis=-1)
        hit = (enter < leave) & (enter > 0) & ~(enter >= depth)
        depth[hit], rgb[hit] = enter[hit], block.rgb
    return np.round(255 * rgb).astype(np.uint8), (rays_cam * depth[..., None]).astype(np.float32)


def observe(robot: ConfiguredRobot, blocks: list[Block], task: str = "", time: float = 0.0) -> Observation:
    """What a policy sees of blocks with the gantry at home, which is drawn nowhere."""
    rgb, points = picture(blocks)
    names = robot.robot.joint_names
    return Observation(
        rgb, points, CAMERA, T_CAM_BASE, names, np.array([HOME[name] for name in names]), 0.08, time, task
    )


def film(robot: ConfiguredRobot, scenes: list[list[Block]], tools: list[tuple[float, float, float]]) -> Footage:
    """The footage of these scenes with the gantry's tool at ``tools``."""
    seen = [picture(blocks) for blocks in scenes]
    positions = np.array([[*tool, 0.04, 0.04] for tool in tools], np.float64)
    joints = JointTrajectory(robot.robot.joint_names, 0.4 * np.arange(len(scenes)), positions)
    rgb, points = (np.stack(part) for part in zip(*seen, strict=True))
    return Footage(rgb, points, joints, CAMERA, T_CAM_BASE)


HALF = (0.026, 0.021, 0.028)
GOAL = Goal((0.45, 0.12, HALF[2]), 0.033, 2 * HALF[2], (0.5, -0.1, 0.0), 0.05)
