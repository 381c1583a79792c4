"""move_group of a MoveIt configuration package, and the pointmap node with MoveIt as its kinematics. Lab only.

Example: ros2 launch k4d_bringup moveit.launch.py moveit_package:=panda_moveit_config robot_name:=panda group:=panda_arm
"""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    "robot_name": ("panda", "Name that the files of the MoveIt configuration package begin with"),
    "moveit_package": ("moveit_resources_panda_moveit_config", "MoveIt configuration package"),
    "group": ("panda_arm", "Planning group of the arm, as the SRDF names it"),
    "tool_link": ("panda_hand", "Link whose poses tool_path holds"),
    "cameras": ("front", "Camera: its calibration is on CAMERA/camera_info"),
    "kinematics_backend": ("move_group", "Who solves tool paths: embedded, moveit or move_group"),
    "use_sim_time": ("false", "Whether time comes from /clock"),
    "log_level": ("info", "Log level of all nodes"),
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, and the nodes once their values are known."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    # Imported here, so that the arguments can be shown where MoveIt is not installed.
    from moveit_configs_utils import MoveItConfigsBuilder

    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    builder = MoveItConfigsBuilder(value["robot_name"], package_name=value["moveit_package"])
    moveit = builder.planning_pipelines(pipelines=["ompl"]).to_moveit_configs().to_dict()
    shared = {"use_sim_time": value["use_sim_time"] == "true"}
    verbosity = ["--ros-args", "--log-level", value["log_level"]]
    pointmaps = {
        "tool_link": value["tool_link"],
        "cameras": [value["cameras"]],
        "kinematics_backend": value["kinematics_backend"],
        "planning_group": value["group"],
    }
    if value["kinematics_backend"] == "moveit":
        pointmaps["moveit_configuration"] = str(_parameter_file(moveit))
    return [
        Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            parameters=[{"robot_description": moveit["robot_description"]}, shared],
            arguments=verbosity,
        ),
        Node(
            package="moveit_ros_move_group",
            executable="move_group",
            parameters=[moveit, shared],
            arguments=verbosity,
            output="screen",
        ),
        Node(
            package="k4d_kinematics",
            executable="k4d_pointmap_node",
            parameters=[pointmaps, shared],
            arguments=verbosity,
            output="screen",
        ),
    ]


def _parameter_file(moveit: dict[str, Any]) -> Path:
    """MoveIt's parameters for moveit_py, which has them from a file of its own: the node knows no others than its own.

    moveit_py wants the pipelines' names in a list of that name.
    """
    names = moveit.get("planning_pipelines", ["ompl"])
    parameters = {**moveit, "planning_pipelines": {"pipeline_names": names}}
    path = Path(tempfile.mkdtemp(prefix="k4d_moveit_")) / "moveit.yaml"
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    return path
