"""Exact robot pointmap streams from joint states, plans, velocities or tool poses. Conventions: docs/conventions.md."""

from k4d_kinematics.camera import Camera
from k4d_kinematics.cast_shadows import cast_shadows, light_directions
from k4d_kinematics.composition import complete, concatenate, hold_velocities
from k4d_kinematics.configuration import CameraConfig, RobotConfig, read_configuration
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ik import DampedLeastSquaresIk, IkSettings, IkSolver, follow_tool_path
from k4d_kinematics.integration import integrate_velocities
from k4d_kinematics.joint_buffer import JointBuffer
from k4d_kinematics.pipeline import render_trajectory
from k4d_kinematics.planning import InterpolationPlanner, JointGoal, Planner, PlanningSettings, ToolGoal
from k4d_kinematics.pointmap import PointmapSequence
from k4d_kinematics.recordings import read_recorded_transforms
from k4d_kinematics.rendering import Renderer, RenderSettings, RobotImage
from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_configuration import ConfiguredRobot, configured_robot
from k4d_kinematics.surface import RobotSurface, prepare_surface
from k4d_kinematics.tool_path import ToolPath, tool_path
from k4d_kinematics.trajectory import JointTrajectory
from k4d_kinematics.trajectory_files import read_trajectory, write_trajectory
from k4d_kinematics.transforms import RecordedTransforms, StaticEdge, StaticTransforms, TransformSource

__all__ = [
    "Camera",
    "CameraConfig",
    "ConfiguredRobot",
    "DampedLeastSquaresIk",
    "IkSettings",
    "IkSolver",
    "InterpolationPlanner",
    "JointBuffer",
    "JointGoal",
    "JointTrajectory",
    "KinematicsError",
    "Planner",
    "PlanningSettings",
    "PointmapSequence",
    "RecordedTransforms",
    "RenderSettings",
    "Renderer",
    "Robot",
    "RobotConfig",
    "RobotImage",
    "RobotSurface",
    "StaticEdge",
    "StaticTransforms",
    "ToolGoal",
    "ToolPath",
    "TransformSource",
    "cast_shadows",
    "complete",
    "concatenate",
    "configured_robot",
    "follow_tool_path",
    "hold_velocities",
    "integrate_velocities",
    "light_directions",
    "prepare_surface",
    "read_configuration",
    "read_recorded_transforms",
    "read_trajectory",
    "render_trajectory",
    "tool_path",
    "write_trajectory",
]
