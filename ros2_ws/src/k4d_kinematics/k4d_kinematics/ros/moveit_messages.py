"""What MoveIt is asked and what it answers, between its messages and the core's arrays.

MoveIt is imported where it is used: most installations of this package have none.
"""

import importlib
from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import Pose
from sensor_msgs.msg import JointState
from shape_msgs.msg import SolidPrimitive

from k4d_kinematics import se3
from k4d_kinematics.errors import KinematicsBackendError
from k4d_kinematics.ik import IkSettings

# MoveIt samples goals inside their constraints; a joint's must have some width.
_JOINT_TOLERANCE = 1e-6
_APT_PACKAGES = {"moveit": "moveit-py", "moveit_msgs": "moveit-msgs"}


def moveit_module(name: str) -> Any:
    """The module ``name`` of MoveIt. Raises KinematicsBackendError naming the apt package where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = _APT_PACKAGES[name.split(".")[0]]
        raise KinematicsBackendError(
            f"module {name!r} cannot be imported ({error}); on a machine with ROS 2 install the apt package "
            f"ros-$ROS_DISTRO-{package}, elsewhere use kinematics_backend embedded"
        ) from error


def pose_message(T_frame_pose: se3.Array) -> Pose:
    """A message from a rigid transform (4, 4)."""
    position, quaternion_xyzw = se3.to_xyzw(T_frame_pose)
    message = Pose()
    message.position.x, message.position.y, message.position.z = position.tolist()
    turn = message.orientation
    turn.x, turn.y, turn.z, turn.w = quaternion_xyzw.tolist()
    return message


def robot_state(joint_names: Sequence[str], positions: se3.Array) -> Any:
    """A moveit_msgs/RobotState of joint positions (J,); all else, attached objects too, stays as MoveIt knows it."""
    state = moveit_module("moveit_msgs.msg").RobotState(is_diff=True)
    state.joint_state = JointState(name=list(joint_names), position=[float(q) for q in positions])
    return state


def joint_goal(joint_names: Sequence[str], positions: se3.Array) -> Any:
    """moveit_msgs/Constraints that are met at joint positions (n,) of a planning group."""
    messages = moveit_module("moveit_msgs.msg")
    constraints = messages.Constraints()
    for name, position in zip(joint_names, positions, strict=True):
        constraints.joint_constraints.append(
            messages.JointConstraint(
                joint_name=name,
                position=float(position),
                tolerance_above=_JOINT_TOLERANCE,
                tolerance_below=_JOINT_TOLERANCE,
                weight=1.0,
            )
        )
    return constraints


def tool_goal(frame_id: str, link: str, T_frame_tool: se3.Array, settings: IkSettings) -> Any:
    """moveit_msgs/Constraints that are met where ``link`` is at the pose within half of the settings' tolerances.

    MoveIt samples the whole region, whose far ends would lie just outside ours after rounding.
    """
    messages = moveit_module("moveit_msgs.msg")
    pose = pose_message(T_frame_tool)
    place = messages.PositionConstraint(link_name=link, weight=1.0)
    place.header.frame_id = frame_id
    ball = SolidPrimitive(type=SolidPrimitive.SPHERE)
    ball.dimensions = [0.5 * settings.position_tolerance]
    place.constraint_region.primitives = [ball]
    place.constraint_region.primitive_poses = [Pose(position=pose.position)]
    turn = messages.OrientationConstraint(link_name=link, orientation=pose.orientation, weight=1.0)
    turn.header.frame_id = frame_id
    # Per axis; three of them together stay below the tolerance of the whole turn.
    tolerance = 0.25 * settings.rotation_tolerance
    turn.absolute_x_axis_tolerance = turn.absolute_y_axis_tolerance = turn.absolute_z_axis_tolerance = tolerance
    return messages.Constraints(position_constraints=[place], orientation_constraints=[turn])


def outcome(error_code: Any) -> str:
    """The name of a moveit_msgs/MoveItErrorCodes and its number, as "NO_IK_SOLUTION (-31)"."""
    kind = type(error_code)
    names = [name for name in dir(kind) if name.isupper() and getattr(kind, name) == error_code.val]
    return f"{' or '.join(names) or 'unknown outcome'} ({error_code.val})"
