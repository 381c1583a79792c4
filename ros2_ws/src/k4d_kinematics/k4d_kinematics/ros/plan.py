"""A robot's future as the node knows it, and the answer where there is none."""

from dataclasses import dataclass

from k4d_msgs.msg import PointmapSequence
from std_msgs.msg import Header

from k4d_kinematics.errors import (
    CameraError,
    JointStateError,
    KinematicsBackendError,
    KinematicsError,
    ModelMismatchError,
    NotReadyError,
    RobotModelError,
    TransformError,
)
from k4d_kinematics.trajectory import JointTrajectory

_ERROR_CODES: dict[type[KinematicsError], int] = {
    CameraError: PointmapSequence.CAMERA_UNAVAILABLE,
    NotReadyError: PointmapSequence.CAMERA_UNAVAILABLE,
    TransformError: PointmapSequence.TRANSFORM_UNAVAILABLE,
    RobotModelError: PointmapSequence.ROBOT_UNAVAILABLE,
    JointStateError: PointmapSequence.ROBOT_UNAVAILABLE,
    KinematicsBackendError: PointmapSequence.ROBOT_UNAVAILABLE,
    ModelMismatchError: PointmapSequence.ROBOT_UNAVAILABLE,
}


@dataclass(frozen=True)
class Plan:
    """A future of the robot: its trajectory in the robot's joint order, and where it came from.

    ``transform_stamp_ns`` is when tf2 is asked for the cameras' places: the plan's own stamp, or 0 for the newest
    transforms where it has none. ``source`` is a SOURCE constant of PointmapSequence; ``held_frames`` are the frames
    whose tool pose could not be reached; ``remark`` says what an operator should know about the trajectory.
    """

    stamp_ns: int
    transform_stamp_ns: int
    trajectory: JointTrajectory
    source: int
    held_frames: tuple[int, ...] = ()
    remark: str = ""


def refusal(error: KinematicsError, camera: str, source: int, header: Header) -> PointmapSequence:
    """The summary of a plan that cannot be shown, with the reason."""
    code = _ERROR_CODES.get(type(error), PointmapSequence.INVALID_INPUT)
    return PointmapSequence(header=header, camera=camera, source=source, error_code=code, error_string=str(error))
