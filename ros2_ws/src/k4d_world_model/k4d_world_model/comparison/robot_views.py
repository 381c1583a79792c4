"""What the camera sees of the robot as it was planned and as it moved, by forward kinematics of both."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, ConfiguredRobot, JointTrajectory, Renderer, se3
from k4d_kinematics.errors import KinematicsError
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import ComparisonError
from k4d_world_model.rollout import Rollout

Mask = NDArray[np.bool_]
Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RobotViews:
    """The robot in K frames: as planned and as executed at the moments of the executed frames, as predicted at its own.

    masks: (K, H, W) bool. points: (K, H, W, 3) float32 metres in the camera's optical frame, NaN outside of the masks.
    reason: why there is no robot, all masks being empty; empty where there is one.
    """

    planned_mask: Mask
    planned_points: Points
    executed_mask: Mask
    executed_points: Points
    predicted_mask: Mask
    reason: str = ""


def robot_views(
    rollout: Rollout,
    paired: NDArray[np.intp],
    planned_joints: JointTrajectory | None,
    executed: Episode,
    robot: ConfiguredRobot | None,
) -> RobotViews:
    """The robot at ``planned_joints``, the plan's at the moments of the K frames of ``executed``, and at theirs.

    The camera of the plan stands where it does in the predicted frames ``paired`` (K,).

    Raises ComparisonError when the joints of either are not the robot's.
    """
    reason = _lack(planned_joints, executed, robot)
    if reason or robot is None or planned_joints is None or rollout.joints is None or executed.joints is None:
        shape = executed.rgb.shape[:3]
        mask, points = np.zeros(shape, np.bool_), np.full((*shape, 3), np.nan, np.float32)
        return RobotViews(mask, points, mask, points, mask, reason)
    assert executed.T_world_cam is not None
    assert executed.T_world_base is not None
    T_cam_base = se3.inverse(executed.T_world_cam) @ executed.T_world_base  # (K, 4, 4)
    planned = _rendered(robot, rollout.camera, rollout.T_cam_base[paired], planned_joints)
    done = _rendered(robot, rollout.camera, T_cam_base, executed.joints)
    own = JointTrajectory(rollout.joints.joint_names, rollout.times[paired], rollout.joints.positions[paired])
    predicted, _ = _rendered(robot, rollout.camera, rollout.T_cam_base[paired], own)
    return RobotViews(*planned, *done, predicted)


def _lack(planned_joints: JointTrajectory | None, executed: Episode, robot: ConfiguredRobot | None) -> str:
    if robot is None:
        return "no robot is given"
    if planned_joints is None:
        return "the rollout says nothing of the robot's joints"
    missing = [name for name in ("joints", "T_world_cam", "T_world_base") if getattr(executed, name) is None]
    return f"the executed frames have no {', '.join(missing)}" if missing else ""


def _rendered(
    robot: ConfiguredRobot, camera: Camera, T_cam_base: se3.Array, joints: JointTrajectory
) -> tuple[Mask, Points]:
    try:
        positions = robot.robot.order_positions(joints.joint_names, joints.positions)
    except KinematicsError as error:
        raise ComparisonError(f"the joints do not fit the robot {robot.robot.name!r}: {error}") from error
    T_base_link = robot.robot.forward_kinematics(positions)  # (K, L, 4, 4)
    images = Renderer(robot.surface, camera).render_sequence(T_cam_base[:, None] @ T_base_link)
    return np.asarray(images.mask, np.bool_), images.points_cam
