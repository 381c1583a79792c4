"""k4d_pointmap_node: joint states, plans, tool paths and velocities in; robot pointmaps of each camera out."""

from functools import partial
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Header, String
from tf2_ros import Buffer, TransformListener

from k4d_kinematics.compilation import compile_kernels
from k4d_kinematics.errors import CameraError, JointStateError, KinematicsError, RobotModelError
from k4d_kinematics.rate_limit import RateLimit
from k4d_kinematics.robot_configuration import ConfiguredRobot, configured_robot, described_robot
from k4d_kinematics.ros.camera_output import CameraOutput
from k4d_kinematics.ros.conversions import nanoseconds, time_message
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.live_robot import LiveRobot
from k4d_kinematics.ros.parameters import declare_parameters
from k4d_kinematics.ros.plan import refusal
from k4d_kinematics.ros.plan_inputs import PlanTopic, plan_topics
from k4d_kinematics.ros.pointmap_config import PointmapNodeConfig
from k4d_kinematics.ros.running import run_node

# The description is latched by robot_state_publisher, so that a late subscriber still gets it.
LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Every sample counts for interpolation, and joint states are small: a deep queue instead of the sensor default.
JOINT_QOS = QoSProfile(depth=100)
PLAN_QOS = QoSProfile(depth=10)
# Some drivers publish best effort, which a reliable subscriber would not hear; deep, since each one is a trigger.
CAMERA_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
# Seconds without a message after which an input counts as gone.
_STALE_AFTER = 2.0


class PointmapNode(Node):
    """Turns the robot's present and future into pointmaps; wrong input is reported in diagnostics and survived."""

    def __init__(self) -> None:
        super().__init__("k4d_pointmap_node")
        self.config = declare_parameters(self, PointmapNodeConfig)
        # Loading machine code and meshes takes seconds: before anything is advertised, so that no message is lost.
        compile_kernels()
        configured = configured_robot(self.config.robot, self.config.cache_dir) if self.config.robot else None
        self.diagnostics = Diagnostics(self)
        self.transforms = Buffer(cache_time=Duration(seconds=self.config.joint_history + self.config.transform_timeout))
        self._listener = TransformListener(self.transforms, self)
        self.outputs = [CameraOutput(self, name, self.config.max_pixels) for name in self.config.cameras]
        self._limits = {name: RateLimit(self.config.max_rate_hz) for name in self.config.cameras}
        self.live: LiveRobot | None = None
        self._description = ""
        if configured is not None:
            self._use(configured)
        else:
            self.diagnostics.waiting("robot", "no robot_description has been received")
            self.create_subscription(String, "robot_description", self._on_description, LATCHED_QOS)
        self._subscribe()
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1))
        self._jump = self.get_clock().create_jump_callback(
            backwards, post_callback=lambda _: self._forget("the clock jumped back")
        )

    def _subscribe(self) -> None:
        self.diagnostics.waiting("joint_states", "no joint state has been received")
        self.create_subscription(JointState, "joint_states", self._on_joint_state, JOINT_QOS)
        for output in self.outputs:
            topic, callback = f"{output.name}/camera_info", partial(self._on_camera_info, output)
            self.diagnostics.waiting(topic, "no message has been received")
            self.create_subscription(CameraInfo, topic, callback, CAMERA_QOS)
        for plan in plan_topics(self.config.tool_path_type):
            self.create_subscription(plan.message_type, plan.name, partial(self._on_plan, plan), PLAN_QOS)

    def _on_description(self, message: String) -> None:
        if message.data == self._description and self.live is not None:
            self.diagnostics.ok("robot", self._robot_text)
            return
        try:
            self._use(
                described_robot(
                    message.data,
                    tool_link=self.config.tool_link,
                    geometry=self.config.geometry,
                    triangle_fraction=self.config.triangle_fraction,
                    mesh_folders=self.config.mesh_folders,
                    cache_dir=self.config.cache_dir,
                )
            )
        except KinematicsError as error:
            self.diagnostics.error("robot", str(error))
        else:
            self._description = message.data

    def _use(self, configured: ConfiguredRobot) -> None:
        if self.live is not None:
            self.live.close()
        self.live = LiveRobot(self, configured, self.outputs, self.transforms, self.diagnostics, self.config)
        self._robot_text = f"{configured.robot.name}: {configured.surface.triangle_count} triangles"
        self.diagnostics.ok("robot", self._robot_text)

    def _on_joint_state(self, message: JointState) -> None:
        if self.live is None:
            self.diagnostics.waiting("joint_states", "receiving, but no robot_description has been received")
            return
        stamp_ns = nanoseconds(message.header.stamp)
        try:
            self.live.joints.add(stamp_ns, message.name, message.position)
        except JointStateError as error:
            self.diagnostics.error("joint_states", str(error))
            if self.live.joints.is_left_behind:
                self._forget("joint states start anew at an earlier time")
            return
        self.diagnostics.ok("joint_states", "receiving", stale_after=_STALE_AFTER)
        if self.config.trigger == "joint_states":
            for output in self.outputs:
                self._ask(output, stamp_ns)
        self.live.stream.drain()

    def _on_camera_info(self, output: CameraOutput, message: CameraInfo) -> None:
        topic = f"{output.name}/camera_info"
        try:
            output.calibrate(message)
        except CameraError as error:
            self.diagnostics.error(topic, str(error))
            return
        self.diagnostics.ok(
            topic, f"{output.camera.image_width} x {output.camera.image_height} pixels", stale_after=_STALE_AFTER
        )
        if self.config.trigger == "camera_info":
            self._ask(output, nanoseconds(message.header.stamp))

    def _ask(self, output: CameraOutput, stamp_ns: int) -> None:
        if self.live is not None and output.is_wanted and self._limits[output.name].passes(stamp_ns):
            self.live.stream.ask(output, stamp_ns)

    def _on_plan(self, topic: PlanTopic, message: Any) -> None:
        now_ns = self.get_clock().now().nanoseconds
        if self.live is not None:
            self.live.plans.accept(topic, message, now_ns)
            return
        error = RobotModelError("no robot_description has been received")
        self.diagnostics.error(topic.name, str(error))
        for output in self.outputs:
            output.summaries.publish(refusal(error, output.name, topic.source, Header(stamp=time_message(now_ns))))

    def _forget(self, reason: str) -> None:
        self.transforms.clear()
        if self.live is not None:
            self.live.clear()
        self.get_logger().warning(f"{reason}: what was known of joints, transforms and plans is forgotten")


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(PointmapNode, PointmapNodeConfig, __doc__, KinematicsError)
