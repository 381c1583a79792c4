"""A press: a hammer that slides down towards a table, its shaft beside it, and what a camera would see of them.

The table's top is at z = 0. At joint value d the head's lower side is at z = 0.3 - d.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory, Renderer, RobotSurface, prepare_surface, se3
from k4d_kinematics.robot import Robot
from k4d_world_model.rollout import MetricFit, Provenance, Rollout

HEIGHT, WIDTH = 60, 80
JOINT = "slide"
URDF = """
<robot name="press">
  <link name="frame"><visual><origin xyz="0 0 0.8"/><geometry><box size="0.1 0.1 0.1"/></geometry></visual></link>
  <link name="shaft"><visual><origin xyz="0 0 0.45"/><geometry><box size="0.04 0.04 0.2"/></geometry></visual></link>
  <link name="head"><visual><origin xyz="0 0 0.325"/><geometry><box size="0.1 0.1 0.05"/></geometry></visual></link>
  <link name="tip"/>
  <joint name="slide" type="prismatic"><parent link="frame"/><child link="shaft"/><axis xyz="0 0 -1"/>
    <limit lower="0" upper="0.6" effort="1" velocity="1"/></joint>
  <joint name="mount" type="fixed"><parent link="shaft"/><child link="head"/></joint>
  <joint name="end" type="fixed"><parent link="head"/><child link="tip"/></joint>
</robot>
"""
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 90.0, 90.0, 39.5, 29.5, frame_id="front_optical")
T_CAM_BASE = se3.look_at((1.0, 0.2, 0.6), (0.0, 0.0, 0.25))


def press(folder: Path) -> tuple[Robot, RobotSurface]:
    path = folder / "press.urdf"
    path.write_text(URDF)
    robot = Robot.from_file(path)
    return robot, prepare_surface(robot)


def pressed(
    robot: Robot, surface: RobotSurface, depths: list[float], *, residual: float = 0.002, joints: bool = True
) -> Rollout:
    """What a perfect model predicts of the hammer at ``depths``, one frame each 0.5 s."""
    renderer, table = Renderer(surface, CAMERA), _table()
    frames = []
    for depth in depths:
        seen = renderer.render(T_CAM_BASE @ robot.forward_kinematics(np.array([depth])))
        frames.append(np.where(seen.mask[..., None], seen.points_cam, table))
    points = np.stack(frames).astype(np.float32)
    times = np.arange(len(depths)) * 0.5
    return Rollout(
        rgb=np.zeros(points.shape, np.uint8),
        points=points,
        valid=np.isfinite(points).all(axis=-1),
        times=times,
        camera=CAMERA,
        T_cam_base=np.broadcast_to(T_CAM_BASE, (len(depths), 4, 4)).copy(),
        fit=MetricFit(np.ones(3), np.zeros(3), residual, 50),
        provenance=Provenance("fake", "ab" * 32, robot.sha256, 3, 1, "none", "cpu", 1.0, 0, ()),
        joints=JointTrajectory((JOINT,), times, np.array(depths)[:, None]) if joints else None,
    )


def _table() -> NDArray[np.float64]:
    """Points (H, W, 3) of the plane z = 0 of the base frame in the optical frame; NaN above the horizon."""
    rays = np.concatenate([CAMERA.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
    T_base_cam = se3.inverse(T_CAM_BASE)
    down = rays @ T_base_cam[2, :3]
    scale = np.where(down < -1e-3, -T_base_cam[2, 3] / np.minimum(down, -1e-3), np.nan)
    return rays * scale[..., None]
