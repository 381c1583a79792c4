"""Everything of the pointmap node that exists once the robot is known."""

from rclpy.node import Node
from tf2_ros import Buffer

from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.joint_buffer import JointBuffer
from k4d_kinematics.robot_configuration import ConfiguredRobot
from k4d_kinematics.ros.camera_output import CameraOutput
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.kinematics_backend import BackendConfig, Kinematics, OpenedKinematics, open_kinematics
from k4d_kinematics.ros.live_stream import LiveStream
from k4d_kinematics.ros.plan_inputs import PlanInputs
from k4d_kinematics.ros.plan_stream import PlanStream
from k4d_kinematics.ros.pointmap_config import PointmapNodeConfig


class LiveRobot:
    """A robot's recent joints, its live pointmaps and its plans."""

    def __init__(
        self,
        node: Node,
        configured: ConfiguredRobot,
        outputs: list[CameraOutput],
        transforms: Buffer,
        diagnostics: Diagnostics,
        config: PointmapNodeConfig,
    ) -> None:
        robot, surface = configured.robot, configured.surface
        self._node = node
        self.robot = robot
        self.joints = JointBuffer(robot, round(config.joint_history * 1e9))
        self.stream = LiveStream(node, robot, surface, self.joints, transforms, diagnostics, config)
        tool_link = config.tool_link or configured.tool_link
        self._kinematics = self._backend(tool_link, diagnostics, config.backend) if tool_link else None
        inputs = PlanInputs(robot, tool_link, self.joints, transforms, config, self._kinematics)
        self.plans = PlanStream(node, robot, surface, inputs, outputs, transforms, diagnostics, config)
        if self._kinematics is not None:
            # MoveIt may keep a caller waiting, so it is opened and compared by the thread that converts plans.
            self.plans.prepare(self._kinematics.open)

    def clear(self) -> None:
        """Forgets joints, waiting pointmaps and unfinished plans, as when the clock jumps back."""
        self.joints.clear()
        self.stream.clear()
        self.plans.stop()

    def close(self) -> None:
        """Forgets everything and stops its timers, as when another robot takes its place."""
        self.clear()
        # The thread that opens MoveIt also ends it: else one could miss what the other is making, or wait for it here.
        self.plans.close(self._kinematics.close if self._kinematics is not None else lambda: None)
        for timer in (self.stream.timer, self.plans.timer):
            self._node.destroy_timer(timer)

    def _backend(self, tool_link: str, diagnostics: Diagnostics, config: BackendConfig) -> OpenedKinematics:
        def opened() -> Kinematics:
            try:
                kinematics = open_kinematics(
                    config, self.robot, tool_link, self._node, is_superseded=lambda: self.plans.is_superseded()
                )
            except KinematicsError as error:
                diagnostics.error("kinematics", str(error))
                raise
            diagnostics.ok("kinematics", f"{config.name}: tool {tool_link}")
            return kinematics

        self.robot.chain(tool_link)
        diagnostics.waiting("kinematics", f"{config.name} is being opened")
        return OpenedKinematics(opened)
