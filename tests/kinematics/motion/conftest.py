"""Panda and UR5 with their tools, and pinocchio's model of each as the oracle."""

from dataclasses import dataclass

import numpy as np
import pinocchio
import pytest

from k4d_kinematics import resources
from k4d_kinematics.ik import DampedLeastSquaresIk
from k4d_kinematics.robot import Robot

ROBOTS = {
    "panda": ("package://example-robot-data/robots/panda_description/urdf/panda.urdf", "panda_hand_tcp"),
    "ur5": ("package://example-robot-data/robots/ur_description/urdf/ur5_robot.urdf", "tool0"),
}


@dataclass(frozen=True)
class Arm:
    """A robot, its tool link, a comfortable posture inside the limits, and pinocchio's model."""

    robot: Robot
    tip: str
    home: np.ndarray
    model: pinocchio.Model

    def solver(self, settings=None):
        return DampedLeastSquaresIk(self.robot, self.tip, settings=settings)

    def oracle_pose(self, q):
        """T_base_tool (4, 4) by pinocchio."""
        data = self.model.createData()
        pinocchio.framesForwardKinematics(self.model, data, self._oracle_positions(q))
        return data.oMf[self.model.getFrameId(self.tip)].homogeneous

    def random_positions(self, generator, count, part=1.0):
        """Joint positions (count, J), uniform in the middle ``part`` of the limits (at most half a turn each way)."""
        lower, upper = np.maximum(self.robot.lower, -np.pi), np.minimum(self.robot.upper, np.pi)
        middle, half = 0.5 * (lower + upper), 0.5 * part * (upper - lower)
        return generator.uniform(middle - half, middle + half, (count, len(lower)))

    def _oracle_positions(self, q):
        positions = pinocchio.neutral(self.model)
        for name, value in zip(self.robot.joint_names, q, strict=True):
            positions[self.model.joints[self.model.getJointId(name)].idx_q] = value
        return positions


@pytest.fixture(scope="session", params=sorted(ROBOTS))
def arm(request):
    return _arm(request.param)


@pytest.fixture(scope="session")
def panda():
    return _arm("panda")


@pytest.fixture(scope="session")
def ur5():
    return _arm("ur5")


def _arm(name):
    uri, tip = ROBOTS[name]
    file = resources.resolve(uri, None, ())
    robot = Robot.from_file(file)
    homes = {
        "panda": {"panda_joint2": -0.4, "panda_joint4": -2.2, "panda_joint6": 1.9, "panda_joint7": 0.8},
        "ur5": {"shoulder_lift_joint": -1.3, "elbow_joint": 1.6, "wrist_1_joint": -1.8, "wrist_2_joint": -1.5},
    }
    home = np.array([homes[name].get(joint, 0.01) for joint in robot.joint_names])
    return Arm(robot, tip, home, pinocchio.buildModelFromUrdf(str(file)))
