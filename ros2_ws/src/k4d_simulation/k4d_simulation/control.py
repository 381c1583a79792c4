"""Operational-space actions turned into joint targets, as LIBERO's OSC_POSE controller takes them."""

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from k4d_simulation.arm_ik import ArmIk
from k4d_simulation.robot_model import TOOL_SITE
from k4d_simulation.scene import TIMESTEP, Scene
from k4d_simulation.tasks import arm_joint_names, gripper_joint_names

Array = NDArray[np.float64]

RATE_HZ = 20
STEP_LENGTH = 0.05  # m that an action of 1 moves the tool's goal
STEP_ANGLE = 0.5  # rad that an action of 1 turns it

SUBSTEPS = round(1.0 / (RATE_HZ * TIMESTEP))
_IK_ITERATIONS = 6
# Where the tool's goal may be, in the world: a controller's workspace limits.
_LOWEST, _HIGHEST = np.array([-0.32, -0.5, 0.0]), np.array([0.28, 0.5, 0.7])


class ToolController:
    """Moves the robot of a scene by actions (7,) in [-1, 1] at RATE_HZ.

    An action holds the change of the tool's goal, position in steps of STEP_LENGTH and an axis-angle rotation in steps
    of STEP_ANGLE, both along the world's axes, which are the robot base's; then the gripper from -1 open to 1 closed,
    without effect where there is none. The goal stays in a box around the workspace; joints follow it as fast as the
    URDF allows.
    """

    def __init__(self, scene: Scene, data: mujoco.MjData) -> None:
        """Takes over ``data``, which must hold the scene's model; the goal starts at the tool's present pose."""
        robot, names = scene.robot, scene.robot.robot.joint_names
        arm = arm_joint_names(robot)
        assert robot.home is not None
        self._model, self._data = scene.model, data
        self._ik = ArmIk(scene.model, arm, np.array([robot.home[names.index(name)] for name in arm]))
        self._arm_servos = np.array([scene.servos[names.index(name)] for name in arm])
        grippers = [names.index(name) for name in gripper_joint_names(robot)]
        self._gripper_servos = scene.servos[grippers]
        self._closed, self._open = robot.robot.lower[grippers], robot.robot.upper[grippers]
        steps = robot.robot.velocity_limits / RATE_HZ
        self._arm_step, self._gripper_step = steps[[names.index(name) for name in arm]], steps[grippers]
        data.ctrl[scene.servos] = scene.positions(data.qpos)
        self._arm = data.qpos[self._ik.addresses].copy()
        self.T_world_goal = tool_pose(scene, data)

    def step(self, action: Array) -> None:
        """Moves the goal by one action, the servos' targets after it, and the simulation on by one period."""
        self.lead(action)
        mujoco.mj_step(self._model, self._data, SUBSTEPS)

    def lead(self, action: Array) -> None:
        """Moves the goal by one action and the servos' targets after it; the simulation is to go on SUBSTEPS steps."""
        T = self.T_world_goal
        T[:3, 3] = np.clip(T[:3, 3] + STEP_LENGTH * action[:3], _LOWEST, _HIGHEST)
        T[:3, :3] = Rotation.from_rotvec(STEP_ANGLE * action[3:6]).as_matrix() @ T[:3, :3]
        way = self._ik.solve(T, self._arm, _IK_ITERATIONS) - self._arm
        self._arm += np.clip(way, -self._arm_step, self._arm_step)
        self._data.ctrl[self._arm_servos] = self._arm
        openness = (1.0 - action[6]) / 2.0
        way = self._closed + openness * (self._open - self._closed) - self._data.ctrl[self._gripper_servos]
        self._data.ctrl[self._gripper_servos] += np.clip(way, -self._gripper_step, self._gripper_step)


def tool_pose(scene: Scene, data: mujoco.MjData) -> Array:
    """``T_world_tool`` (4, 4) at the positions that ``data`` holds."""
    mujoco.mj_kinematics(scene.model, data)
    site = data.site(TOOL_SITE)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = site.xmat.reshape(3, 3), site.xpos
    return T
