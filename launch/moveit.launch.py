"""move_group of a MoveIt configuration package, and the pointmap node with MoveIt as its kinematics. Lab only.

Example: ros2 launch k4d_bringup moveit.launch.py moveit_package:=panda_moveit_config robot_name:=panda
"""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

SHARE = Path(get_package_share_directory("k4d_bringup"))
# What pointmaps.launch.xml takes as well, by the same names.
POINTMAPS = {
    "camera": ("front", "Camera: its pictures are on CAMERA/image_raw, its calibration on CAMERA/camera_info"),
    "plan_frames": ("49", "Frames that a plan is resampled to: as many as the model predicts"),
    "tool_link": ("panda_hand", "Link whose poses tool_path holds"),
    "kinematics_backend": ("move_group", "Who solves tool paths: embedded, moveit or move_group"),
    "planning_group": ("panda_arm", "Planning group of the arm, as the SRDF names it"),
    "overlay": ("true", "Whether the robot is drawn over the live pictures, and the calibration judged"),
    "surface_cache": ("", "Folder for prepared robot surfaces"),
    "namespace": ("", "Namespace of all nodes; their topics are relative"),
    "params_file": (str(SHARE / "config" / "parameters" / "stack.yaml"), "YAML with further parameters"),
    "use_sim_time": ("false", "Whether time comes from /clock"),
    "log_level": ("info", "Log level of all nodes"),
}
ARGUMENTS = {
    "robot_name": ("panda", "Name that the files of the MoveIt configuration package begin with"),
    "moveit_package": ("moveit_resources_panda_moveit_config", "MoveIt configuration package"),
    "pointmaps": ("true", "Whether to start the pointmap node; false beside stack.launch.xml, which has one"),
    **POINTMAPS,
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, and the nodes once their values are known."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_entities)])


def _entities(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    # Imported here, so that the arguments can be shown where MoveIt is not installed.
    from moveit_configs_utils import MoveItConfigsBuilder

    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    builder = MoveItConfigsBuilder(value["robot_name"], package_name=value["moveit_package"])
    moveit = builder.planning_pipelines(pipelines=["ompl"]).to_moveit_configs().to_dict()
    entities: list[LaunchDescriptionEntity] = [
        _node(
            "robot_state_publisher", "robot_state_publisher", {"robot_description": moveit["robot_description"]}, value
        ),
        _node("moveit_ros_move_group", "move_group", moveit, value),
    ]
    if value["pointmaps"] == "true":
        entities.append(_pointmaps(moveit, value))
    return entities


def _node(package: str, executable: str, parameters: dict[str, Any], value: dict[str, str]) -> Node:
    return Node(
        package=package,
        executable=executable,
        namespace=value["namespace"],
        parameters=[parameters, {"use_sim_time": value["use_sim_time"] == "true"}],
        ros_arguments=["--enclave", f"/{executable}", "--log-level", value["log_level"]],
        output="screen",
    )


def _pointmaps(moveit: dict[str, Any], value: dict[str, str]) -> IncludeLaunchDescription:
    """The pointmap node of the robot that robot_description holds."""
    given = {"use_robot_description": "true", **{name: value[name] for name in POINTMAPS}}
    if value["kinematics_backend"] == "moveit":
        given["moveit_configuration"] = str(_parameter_file(moveit))
    file = SHARE / "launch" / "pointmaps.launch.xml"
    return IncludeLaunchDescription(AnyLaunchDescriptionSource(str(file)), launch_arguments=list(given.items()))


def _parameter_file(moveit: dict[str, Any]) -> Path:
    """MoveIt's parameters for moveit_py, which has them from a file of its own: the node knows no others than its own.

    moveit_py wants the pipelines' names in a list of that name.
    """
    names = moveit.get("planning_pipelines", ["ompl"])
    parameters = {**moveit, "planning_pipelines": {"pipeline_names": names}}
    path = Path(tempfile.mkdtemp(prefix="k4d_moveit_")) / "moveit.yaml"
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    return path
