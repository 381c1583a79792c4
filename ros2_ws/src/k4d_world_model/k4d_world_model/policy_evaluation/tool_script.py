"""Straight ways of a tool, one after the other, as the joint targets that lead along them."""

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, DampedLeastSquaresIk
from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.commands import PERIOD
from k4d_world_model.policy_evaluation.policy import ActionChunk, Observation

Array = NDArray[np.float64]


class ToolScript:
    """A way for the tool from where it is, its orientation kept. Metres and m/s in the robot's base frame.

    ``open`` is a share: 0 the gripper closed, 1 open; a robot without one has none to move.
    """

    def __init__(self, robot: ConfiguredRobot, observation: Observation) -> None:
        self._robot, self._observation = robot, observation
        self._ik = DampedLeastSquaresIk(robot.robot, robot.tool_link)
        chain = set(self._ik.chain.joint_indices.tolist())
        self._gripper = [k for k in range(len(robot.robot.joint_names)) if k not in chain]
        self._T_base_tool = self._ik.tool_pose(observation.positions)
        self.place = self._T_base_tool[:3, 3].copy()
        self._places: list[Array] = []
        self._open: list[float] = []

    def move(self, goal: Array, *, speed: float, open: float) -> None:
        """To ``goal`` (3,) in equal steps."""
        count = int(np.ceil(np.linalg.norm(goal - self.place) / (speed * PERIOD)))
        for share in np.arange(1, count + 1) / max(count, 1):
            self._places.append(self.place + share * (goal - self.place))
            self._open.append(open)
        self.place = np.array(goal, np.float64)

    def hold(self, seconds: float, *, open: float) -> None:
        """To stand still."""
        count = round(seconds / PERIOD)
        self._places += [self.place] * count
        self._open += [open] * count

    def chunk(self, *, done: bool = False) -> ActionChunk:
        """The script as joint targets. Raises PolicyError where the tool cannot follow it."""
        robot, poses = self._robot.robot, np.tile(self._T_base_tool, (len(self._places), 1, 1))
        poses[:, :3, 3] = self._places
        start = np.clip(self._observation.positions, robot.lower, robot.upper)
        solution = self._ik.solve_path(poses, start)
        if solution.failures:
            worst = max(solution.failures, key=lambda failure: failure.position_residual)
            raise PolicyError(
                f"{len(solution.failures)} of {len(poses)} tool poses cannot be reached; the worst is "
                f"{poses[worst.frame, :3, 3].round(3).tolist()} ({worst.reason})"
            )
        targets = solution.positions
        share = np.array(self._open)[:, None]
        lower, upper = robot.lower[self._gripper], robot.upper[self._gripper]
        targets[:, self._gripper] = lower + share * (upper - lower)
        return ActionChunk(robot.joint_names, targets, PERIOD, done)
