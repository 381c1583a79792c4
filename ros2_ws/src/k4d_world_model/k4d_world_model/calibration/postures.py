"""How a robot stood and moved at given stamps, out of recorded joint positions."""

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, se3
from k4d_world_model.dataset.sources.bag_contents import SECOND_NS
from k4d_world_model.dataset.sources.joint_samples import JointSamples

Array = NDArray[np.float64]
Stamps = NDArray[np.int64]

# Speeds are those over this time before and after a picture.
SPEED_TIME_NS = SECOND_NS // 20


def postures(joints: JointSamples, robot: ConfiguredRobot, parent_link: str, stamps_ns: Stamps) -> Array:
    """``T_parent_link`` (N, L, 4, 4) at stamps that are covered."""
    positions = joints.positions(robot.robot.joint_names, stamps_ns, continuous=_turning(robot))
    T_base_link = robot.robot.forward_kinematics(positions)
    T_parent_base = se3.inverse(T_base_link[:, robot.robot.link_index(parent_link)])
    return np.asarray(T_parent_base[:, None] @ T_base_link)


def joint_speeds(joints: JointSamples, robot: ConfiguredRobot, stamps_ns: Stamps) -> Array:
    """The largest speed (N,) of any joint just before or after each stamp, rad/s or m/s."""
    names = robot.robot.joint_names
    first, last = joints.range_ns(names)
    at = [np.clip(stamps_ns + offset, first, last) for offset in (-SPEED_TIME_NS, 0, SPEED_TIME_NS)]
    positions = [joints.positions(names, moment, continuous=_turning(robot)) for moment in at]
    speeds = np.zeros(len(stamps_ns))
    for k in (0, 1):
        passed = (at[k + 1] - at[k]) / SECOND_NS
        moved = np.abs(positions[k + 1] - positions[k]).max(axis=-1)
        speeds = np.maximum(speeds, np.divide(moved, passed, out=np.zeros_like(moved), where=passed > 0))
    return speeds


def _turning(robot: ConfiguredRobot) -> tuple[str, ...]:
    model = robot.robot
    return tuple(name for name, turning in zip(model.joint_names, model.is_continuous, strict=True) if turning)
