"""Named errors of the kinematics half: one per cause, each message states the offending and the valid values."""

import math


class KinematicsError(ValueError):
    """Base of everything that k4d_kinematics raises on wrong input."""


class ConfigurationError(KinematicsError):
    """A configuration file or parameter holds an unknown key, a wrong type or a value out of range."""


class RobotModelError(KinematicsError):
    """A robot description cannot be read: malformed XML, entities, cycles, unsupported joints."""


class MeshError(KinematicsError):
    """A mesh or texture of a robot description is missing, unreadable or empty."""


class JointStateError(KinematicsError):
    """Joint names or positions do not fit the robot: missing, short, non-finite."""


class TrajectoryError(KinematicsError):
    """A trajectory is empty, goes back in time, is non-finite or is sampled outside its range."""


class InverseKinematicsError(KinematicsError):
    """A tool pose is malformed, or cannot be reached from the given seed.

    ``reason`` is "invalid_input", or why the pose was not reached: "not_converged", "joint_limits" or "joint_jump".
    ``position_residual`` (m) and ``rotation_residual`` (rad) are the best attempt's errors, NaN without an attempt.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "invalid_input",
        position_residual: float = math.nan,
        rotation_residual: float = math.nan,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.position_residual = position_residual
        self.rotation_residual = rotation_residual


class PlanningError(KinematicsError):
    """A start or a goal is invalid or cannot be reached."""


class ToolPathError(PlanningError):
    """A tool path can be followed in part only; ``fraction`` in [0, 1) of it was, by the planner's own measure."""

    def __init__(self, message: str, *, fraction: float) -> None:
        super().__init__(message)
        self.fraction = fraction


class KinematicsBackendError(KinematicsError):
    """A kinematics backend is not installed, does not answer in time, or does not know this robot's joints."""


class SupersededError(KinematicsError):
    """A newer plan came while this one was still being solved, so that nobody waits for it any more."""


class ModelMismatchError(KinematicsError):
    """A kinematics backend puts a link elsewhere than this robot's own forward kinematics does."""


class CameraError(KinematicsError):
    """A camera is uncalibrated, of zero size, non-finite or of an unknown distortion model."""


class NotReadyError(CameraError):
    """A camera's renderer is still being made; it will be there in a while."""


class TransformError(KinematicsError):
    """A transform between two frames is not known at the asked time."""


class SurfaceError(KinematicsError):
    """A robot surface is empty or does not fit the robot it is rendered with."""


class RenderingError(KinematicsError):
    """Link poses or render settings do not fit the surface or the camera."""


class AlignmentError(KinematicsError):
    """A reconstruction cannot be aligned to a robot: no surface to align to, no link found, open3d missing."""


class PoorAlignmentError(AlignmentError):
    """The best alignment of a reconstruction is too far from the robot's surface: other joints or another robot."""


class AmbiguousAlignmentError(AlignmentError):
    """Two different alignments of a reconstruction are about as good, so neither can be trusted."""


class CalibrationError(KinematicsError):
    """What a calibration starts from does not fit together, or it did not come to an end."""


class PoseSetError(CalibrationError):
    """A calibration has too few usable poses, or too few that differ; the message states how many and the limits."""


class IllConditionedError(CalibrationError):
    """The poses or the masks leave a direction of the camera's pose open; the message says which, and the limit."""
