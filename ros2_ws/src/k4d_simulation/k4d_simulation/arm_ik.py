"""Joint positions that bring a MuJoCo robot's tool to a pose: damped least squares, as far as the arm reaches."""

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from k4d_simulation.robot_model import PREFIX, TOOL_SITE

Array = NDArray[np.float64]

_DAMPING = 1e-4
_LONGEST_STEP = 0.3  # rad or m per joint and iteration
_LIMIT_MARGIN = 0.02
_REST_GAIN = 0.05  # how fast a redundant arm drifts to its rest posture
_CLOSE = (2e-4, 1e-3)  # m, rad


class ArmIk:
    """Solves for the arm's joints of one model; the other joints do not matter to the tool."""

    def __init__(self, model: mujoco.MjModel, arm_joints: tuple[str, ...], rest: Array) -> None:
        """``rest`` (A,) is the posture that a redundant arm prefers, in the order of ``arm_joints``."""
        joints = [model.joint(PREFIX + name) for name in arm_joints]
        self.addresses = np.array([joint.qposadr[0] for joint in joints])
        self._model, self._data, self._rest = model, mujoco.MjData(model), rest
        self._dofs = np.array([joint.dofadr[0] for joint in joints])
        self._site = model.site(TOOL_SITE).id
        limited = np.array([bool(joint.limited[0]) for joint in joints])
        ranges = np.array([joint.range for joint in joints])
        self._lower = np.where(limited, ranges[:, 0] + _LIMIT_MARGIN, -np.inf)
        self._upper = np.where(limited, ranges[:, 1] - _LIMIT_MARGIN, np.inf)

    def solve(self, T_world_tool: Array, start: Array, iterations: int) -> Array:
        """Arm positions (A,) near ``start`` whose tool is at ``T_world_tool``, or as near to it as they came."""
        q = np.clip(start, self._lower, self._upper)
        for _ in range(iterations):
            error, J = self._linearise(T_world_tool, q)
            if np.linalg.norm(error[:3]) < _CLOSE[0] and np.linalg.norm(error[3:]) < _CLOSE[1]:
                break
            damped = np.linalg.inv(J @ J.T + _DAMPING * np.eye(6))
            pull = _REST_GAIN * (self._rest - q)
            step = J.T @ (damped @ (error - J @ pull)) + pull
            q = np.clip(q + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP), self._lower, self._upper)
        return q

    def _linearise(self, T_world_tool: Array, q: Array) -> tuple[Array, Array]:
        """The tool's error (6,), position then rotation vector in the world, and its Jacobian (6, A)."""
        model, data = self._model, self._data
        data.qpos[self.addresses] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        J = np.zeros((6, model.nv))
        mujoco.mj_jacSite(model, data, J[:3], J[3:], self._site)
        R = data.site_xmat[self._site].reshape(3, 3)
        turn = Rotation.from_matrix(T_world_tool[:3, :3] @ R.T).as_rotvec()
        return np.concatenate([T_world_tool[:3, 3] - data.site_xpos[self._site], turn]), J[:, self._dofs]
