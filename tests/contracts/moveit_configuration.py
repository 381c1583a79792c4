"""A Panda as MoveIt is told about it: ROS parameters of moveit_py and of move_group."""

import re
from pathlib import Path
from typing import Any

import yaml

from k4d_kinematics import resources
from k4d_kinematics.robot import Robot

HERE = Path(__file__).parent
GROUP = "arm"


def with_mesh_paths(robot: Robot) -> str:
    """The robot's URDF with meshes as file:// URIs, which MoveIt opens without knowing the package."""

    def path(match: re.Match[str]) -> str:
        return f'filename="file://{resources.resolve(match[1], robot.base_folder, robot.package_paths)}"'

    return re.sub(r'filename="(package://[^"]+)"', path, robot.urdf)


def moveit_parameters(robot: Robot) -> dict[str, Any]:
    """Robot, kinematics and one OMPL pipeline."""
    limits = {
        name: {"has_acceleration_limits": True, "max_acceleration": 5.0, "has_jerk_limits": False}
        for name in robot.joint_names
    }
    pipeline = {
        "planning_plugins": ["ompl_interface/OMPLPlanner"],
        "request_adapters": [
            "default_planning_request_adapters/ResolveConstraintFrames",
            "default_planning_request_adapters/ValidateWorkspaceBounds",
            "default_planning_request_adapters/CheckStartStateBounds",
            "default_planning_request_adapters/CheckStartStateCollision",
        ],
        "response_adapters": [
            "default_planning_response_adapters/AddTimeOptimalParameterization",
            "default_planning_response_adapters/ValidateSolution",
            "default_planning_response_adapters/DisplayMotionPath",
        ],
    }
    return {
        "robot_description": with_mesh_paths(robot),
        "robot_description_semantic": (HERE / "panda.srdf").read_text(),
        "robot_description_kinematics": {
            GROUP: {
                "kinematics_solver": "kdl_kinematics_plugin/KDLKinematicsPlugin",
                "kinematics_solver_search_resolution": 0.005,
                "kinematics_solver_timeout": 0.05,
            }
        },
        "robot_description_planning": {"joint_limits": limits},
        "planning_pipelines": {"pipeline_names": ["ompl"]},
        "ompl": pipeline,
        "planning_scene_monitor_options": {"wait_for_initial_state_timeout": 0.0},
        "publish_robot_description_semantic": False,
    }


def write_parameters(path: Path, robot: Robot, *, for_move_group: bool) -> Path:
    """A parameter file for any node; move_group names its pipelines otherwise than moveit_py."""
    parameters = moveit_parameters(robot)
    if for_move_group:
        parameters.update(
            planning_pipelines=["ompl"], default_planning_pipeline="ompl", allow_trajectory_execution=False
        )
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    return path
