"""Parameters of k4d_pointmap_node."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.ros.kinematics_backend import BACKENDS, BackendConfig
from k4d_kinematics.ros.parameters import described

TRIGGERS = ("joint_states", "camera_info")
TOOL_PATH_TYPES = ("nav_msgs/Path", "geometry_msgs/PoseArray")

_CAMERA_NAME = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class PointmapNodeConfig:
    """Parameters of k4d_pointmap_node. Raises ConfigurationError on values outside the described ones."""

    robot: str = described("", "Path of a robot YAML as in config/robots; empty takes the topic robot_description.")
    tool_link: str = described("", "Link whose poses tool_path holds; empty takes the robot YAML's.")
    geometry: Literal["visual", "collision"] = described(
        "visual", "Meshes to render: visual or collision. A robot YAML overrides it."
    )
    triangle_fraction: float = described(
        1.0, "Part of the triangles to keep, in (0, 1]. A robot YAML overrides it.", (0.001, 1.0)
    )
    mesh_folders: tuple[str, ...] = described(
        ("",), "Folders outside of installed packages that robot_description may name meshes in; [''] for none."
    )
    surface_cache: str = described("", "Folder for prepared surfaces; empty prepares them anew at each start.")
    frame_prefix: str = described("", "Prefix of the robot's link frames in TF, as robot_state_publisher's.")
    cameras: tuple[str, ...] = described(("camera",), "Cameras: the node reads <camera>/camera_info of each.")
    trigger: str = described("camera_info", f"What a live pointmap is made for: one of {', '.join(TRIGGERS)}.")
    max_rate_hz: float = described(30.0, "Cap on live pointmaps a second and camera; 0 means none.", (0.0, 1000.0))
    transform_timeout: float = described(0.5, "Seconds to wait for what a stamp needs.", (0.0, 60.0))
    joint_history: float = described(5.0, "Seconds of joint states to remember.", (0.1, 600.0))
    plan_frames: int = described(49, "Frames that a plan is resampled to.", (2, 10_000))
    frame_patience: float = described(
        1.0, "Seconds that a consumer may hold up the frames of a plan, before it loses some.", (0.0, 600.0)
    )
    plan_rgb: bool = described(True, "Whether the frames of a plan carry the rendered robot's colour.")
    tool_path_type: str = described("nav_msgs/Path", f"Type of tool_path: one of {', '.join(TOOL_PATH_TYPES)}.")
    tool_path_rate_hz: float = described(10.0, "Poses a second of a tool path without own stamps.", (0.01, 1000.0))
    velocity_horizon: float = described(2.0, "Seconds that commanded joint velocities are held.", (0.01, 600.0))
    max_pixels: int = described(16_777_216, "Largest image of a camera_info accepted.", (1, 268_435_456))
    max_points: int = described(10_000, "Largest number of points or poses accepted in a plan.", (1, 1_000_000))
    kinematics_backend: str = described(
        "embedded", f"Who solves tool paths: one of {', '.join(BACKENDS)} (moveit is moveit_py in this process)."
    )
    planning_group: str = described("", "MoveIt's planning group of the arm; needed unless the backend is embedded.")
    moveit_configuration: str = described("", "ROS parameter file of MoveIt; needed for the backend moveit.")
    backend_timeout: float = described(10.0, "Seconds that move_group may take to answer.", (0.1, 600.0))

    @property
    def cache_dir(self) -> Path | None:
        """Where prepared surfaces are kept, None for nowhere."""
        return Path(self.surface_cache) if self.surface_cache else None

    @property
    def backend(self) -> BackendConfig:
        """Who solves tool paths. Raises ConfigurationError where the backend lacks something."""
        return BackendConfig(
            self.kinematics_backend, self.planning_group, self.moveit_configuration, self.backend_timeout
        )

    def __post_init__(self) -> None:
        _check("trigger", self.trigger, TRIGGERS)
        _check("tool_path_type", self.tool_path_type, TOOL_PATH_TYPES)
        _check("geometry", self.geometry, ("visual", "collision"))
        _ = self.backend
        check_cameras(self.cameras)


def check_cameras(names: tuple[str, ...]) -> None:
    """Raises ConfigurationError unless there is a camera and all names are different and fit into topics."""
    named = all(_CAMERA_NAME.fullmatch(name) for name in names)
    if not names or not named or len(set(names)) != len(names):
        raise ConfigurationError(f"cameras must be different names of letters, digits, _ and /, got {names}")


def _check(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ConfigurationError(f"{name} must be one of {', '.join(valid)}, got {value!r}")
