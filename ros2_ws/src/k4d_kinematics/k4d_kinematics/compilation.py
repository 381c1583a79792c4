"""Compiles every numba kernel once, so that nodes start without the delay: ``python -m k4d_kinematics.compilation``."""

import logging
import time

import numpy as np

from k4d_kinematics.camera import Camera
from k4d_kinematics.cast_shadows import cast_shadows
from k4d_kinematics.ik import DampedLeastSquaresIk
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot import Robot
from k4d_kinematics.scene_planes import find_planes
from k4d_kinematics.surface import prepare_surface
from k4d_kinematics.tool_contact import carried
from k4d_kinematics.tool_path import tool_path

_logger = logging.getLogger(__name__)

_ONE_JOINT = """<robot name="one_joint">
  <link name="base"><visual><geometry><box size="0.1 0.1 0.1"/></geometry></visual></link>
  <link name="tip"><visual><geometry><sphere radius="0.05"/></geometry></visual></link>
  <joint name="turn" type="continuous"><parent link="base"/><child link="tip"/>
    <origin xyz="0.2 0 0"/><axis xyz="0 0 1"/></joint>
</robot>"""


def compile_kernels() -> float:
    """Runs a small robot through every kernel, whose machine code numba keeps on disk; returns the seconds it took."""
    started = time.monotonic()
    robot = Robot.from_urdf(_ONE_JOINT)
    surface = prepare_surface(robot, cache_dir=None)
    T_cam_base = np.eye(4)
    T_cam_base[2, 3] = 1.0
    T_cam_link = T_cam_base @ robot.forward_kinematics(np.zeros((2, 1)))
    K = np.array([[20.0, 0.0, 15.5], [0.0, 20.0, 11.5], [0.0, 0.0, 1.0]])
    distorted = Camera(24, 32, K, (-0.1, 0.01, 0.0, 0.0), "plumb_bob")
    for camera in (Camera.pinhole(24, 32, 20.0, 20.0, 15.5, 11.5), distorted):
        for settings in (RenderSettings(), RenderSettings(rgb=True, link_ids=True)):
            Renderer(surface, camera, settings).render_sequence(T_cam_link)
    lit = np.ones((2, 2, 2, 3), np.float32)
    cast_shadows(lit, np.ones((2, 2, 2), np.bool_), lit[0], [[0.0, 0.0, 1.0]])
    find_planes(np.ones((24, 32)), np.ones((24, 32), np.bool_))
    tool = tool_path(robot, "tip", np.zeros((2, 1)))
    carried(tool, [np.zeros((1, 3))] * 2, np.zeros((1, 3)), np.full(1, 0.02), np.full(1, 0.05))
    solver = DampedLeastSquaresIk(robot, "tip")
    solver.solve(solver.tool_pose(np.array([0.1])), np.zeros(1))
    return time.monotonic() - started


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    _logger.info("kernels are compiled after %.1f s", compile_kernels())
