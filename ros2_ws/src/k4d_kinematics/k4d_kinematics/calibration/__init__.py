"""Calibration that can be seen: where a camera is from masks of the robot, and how far a live picture is off."""

from k4d_kinematics.calibration.calibration import Calibration, CalibrationSettings, ViewResidual, calibrate
from k4d_kinematics.calibration.pose_sets import PoseSetLimits
from k4d_kinematics.calibration.views import CalibrationView

__all__ = [
    "Calibration",
    "CalibrationSettings",
    "CalibrationView",
    "PoseSetLimits",
    "ViewResidual",
    "calibrate",
]
