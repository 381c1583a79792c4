"""k4d_overlay_node: the robot drawn over live pictures, and each second how well both fit."""

from typing import Any

from rclpy.node import Node

from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.overlay_camera import OverlayCamera
from k4d_kinematics.ros.overlay_config import OverlayNodeConfig
from k4d_kinematics.ros.parameters import declare_parameters
from k4d_kinematics.ros.running import run_node


class OverlayNode(Node):
    """One OverlayCamera a camera."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("k4d_overlay_node", **kwargs)
        self.config = declare_parameters(self, OverlayNodeConfig)
        self.diagnostics = Diagnostics(self)
        self.cameras = [OverlayCamera(self, name, self.config, self.diagnostics) for name in self.config.cameras]


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(OverlayNode, OverlayNodeConfig, __doc__, KinematicsError)
