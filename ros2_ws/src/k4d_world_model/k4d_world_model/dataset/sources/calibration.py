"""A fixed camera and the robot's base in a common world frame, as a configuration file states them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, KinematicsError, se3
from k4d_world_model.dataset.sources.recorded_fields import JointField
from k4d_world_model.errors import SourceError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationConfig:
    """Intrinsics and place of the camera, and the place of the robot's root link.

    ``height``, ``width`` and ``K`` (9 numbers row by row, pixels; pixel centres at integers) are those of the recorded,
    undistorted pictures. ``xyz`` (metres) and ``quaternion_xyzw`` are T_world_cam of the optical frame, ``base_xyz``
    and ``base_quaternion_xyzw`` T_world_base; without the latter two the base is the world. Raises SourceError when one
    of them is not usable.
    """

    height: int
    width: int
    K: tuple[float, ...]
    xyz: tuple[float, float, float]
    quaternion_xyzw: tuple[float, float, float, float]
    base_xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    base_quaternion_xyzw: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        try:
            self.calibration()
        except KinematicsError as error:
            raise SourceError(f"calibration: {error}") from error

    def calibration(self) -> "Calibration":
        """The same as matrices."""
        K = np.array(self.K, np.float64)
        camera = Camera(self.height, self.width, K)
        T_world_cam = se3.from_xyzw(self.xyz, self.quaternion_xyzw)
        return Calibration(camera, T_world_cam, se3.from_xyzw(self.base_xyz, self.base_quaternion_xyzw))


@dataclass(frozen=True, eq=False)
class Calibration:
    """A standing camera: its model, T_world_cam (4, 4) and T_world_base (4, 4) of the robot's root link."""

    camera: Camera
    T_world_cam: Array
    T_world_base: Array


def check_robot_inputs(robot: str, joints: Sequence[JointField], *, is_calibrated: bool) -> None:
    """Raises SourceError when a configuration names a robot but not what its pointmaps need."""
    missing = ["joints"] * (not joints) + ["calibration"] * (not is_calibrated)
    if robot and missing:
        raise SourceError(f"robot {robot!r} needs {' and '.join(missing)} in the same file for its pointmaps")
