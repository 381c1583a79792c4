"""A robot's joint states as transforms: the node of the robot_state_publisher package, with its names and rules."""

import math
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from k4d_embedded.errors import JointStateError
from k4d_embedded.joint_transforms import JointModel, LinkTransforms
from k4d_kinematics import se3
from k4d_kinematics.errors import KinematicsError, RobotModelError
from k4d_kinematics.ros.parameters import declare_parameters, described
from k4d_kinematics.ros.running import run_node

MAX_PUBLISH_FREQUENCY = 1000.0


@dataclass(frozen=True)
class RobotStatePublisherConfig:
    """Parameters of the node, named as the real one's."""

    robot_description: str = described("", "URDF text of the robot.", changeable=True)
    publish_frequency: float = described(
        20.0, "Most often that a joint is published, Hz of its stamps, above 0 and at most 1000.", changeable=True
    )
    frame_prefix: str = described("", "Put before every frame name, such as 'left/'.", changeable=True)
    ignore_timestamp: bool = described(False, "Publish every joint state, whatever its stamp.", changeable=True)


class RobotStatePublisher(Node):
    """Publishes /tf at the joint states' stamps, /tf_static, and the description on a latched topic.

    A joint that a message does not name keeps its last transform. A joint is published again once its stamp has moved
    on by 1 / publish_frequency, or whatever its stamp is with ignore_timestamp.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("robot_state_publisher", **kwargs)
        config = declare_parameters(self, RobotStatePublisherConfig)
        self._check_frequency(config.publish_frequency)
        self._moving_broadcaster = TransformBroadcaster(self)
        self._static_broadcaster = StaticTransformBroadcaster(self)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # late viewers need it, too
        self._description_publisher = self.create_publisher(String, "robot_description", latched)
        self._published_ns: dict[str, int] = {}  # stamp of the last transform per joint name
        self._last_callback_ns = 0
        self._set_up(config.robot_description)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)
        # Sensor data: a joint state that is late is replaced by the next one.
        self.create_subscription(JointState, "joint_states", self._on_joint_state, qos_profile_sensor_data)

    def _set_up(self, urdf: str) -> None:
        self._model = JointModel.from_urdf(urdf)
        self._published_ns.clear()
        self._description_publisher.publish(String(data=urdf))
        fixed = self._messages(self._model.fixed_transforms(), self.get_clock().now().to_msg())
        self._static_broadcaster.sendTransform(fixed)
        self.get_logger().info(f"{len(self._model.moving)} moving and {len(fixed)} fixed joints")

    def _check_parameters(self, parameters: "list[Parameter[Any]]") -> SetParametersResult:
        try:
            for parameter in parameters:
                if parameter.name == "publish_frequency":
                    self._check_frequency(parameter.value)
                elif parameter.name == "robot_description":
                    JointModel.from_urdf(parameter.value)
        except (RobotModelError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take_parameters(self, parameters: "list[Parameter[Any]]") -> None:
        for parameter in parameters:
            if parameter.name == "robot_description":
                self._set_up(parameter.value)

    def _check_frequency(self, value: float) -> None:
        if not 0.0 < value <= MAX_PUBLISH_FREQUENCY:
            raise ValueError(f"publish_frequency must be above 0 and at most {MAX_PUBLISH_FREQUENCY:g}, got {value}")

    def _on_joint_state(self, state: Any) -> None:
        try:
            positions = _checked_positions(state)
        except JointStateError as error:
            self.get_logger().error(f"ignored a JointState: {error}", throttle_duration_sec=5.0)
            return
        now_ns = self.get_clock().now().nanoseconds
        if now_ns < self._last_callback_ns:
            self.get_logger().warning("time moved backwards: publishing all joints again")
            self._published_ns.clear()
        self._last_callback_ns = now_ns
        stamp_ns = state.header.stamp.sec * 1_000_000_000 + state.header.stamp.nanosec
        if self._is_due(positions, stamp_ns):
            transforms = self._model.moving_transforms(positions)
            self._moving_broadcaster.sendTransform(self._messages(transforms, state.header.stamp))
            self._published_ns.update(dict.fromkeys(positions, stamp_ns))

    def _is_due(self, positions: dict[str, float], stamp_ns: int) -> bool:
        if self.get_parameter("ignore_timestamp").value:
            return True
        oldest_ns = min((self._published_ns.get(name, 0) for name in positions), default=0)
        interval_ms = math.floor(1000.0 / self.get_parameter("publish_frequency").value)
        return bool(stamp_ns >= oldest_ns + interval_ms * 1_000_000)

    def _messages(self, transforms: LinkTransforms, stamp: TimeMessage) -> list[TransformStamped]:
        prefix = self.get_parameter("frame_prefix").value
        translations, quaternions_xyzw = se3.to_xyzw(transforms.T_parent_child)  # (N, 3), (N, 4)
        messages = []
        for index, (parent, child) in enumerate(zip(transforms.parents, transforms.children, strict=True)):
            message = TransformStamped(child_frame_id=prefix + child)
            message.header.frame_id, message.header.stamp = prefix + parent, stamp
            shift, turn = message.transform.translation, message.transform.rotation
            shift.x, shift.y, shift.z = translations[index].tolist()
            turn.x, turn.y, turn.z, turn.w = quaternions_xyzw[index].tolist()
            messages.append(message)
        return messages


def _checked_positions(state: Any) -> dict[str, float]:
    if len(state.name) != len(state.position):
        raise JointStateError(f"{len(state.name)} names and {len(state.position)} positions must be equally many")
    positions = dict(
        zip(reversed(state.name), reversed(state.position), strict=True)
    )  # of equal names the first counts
    wrong = {name: value for name, value in positions.items() if not math.isfinite(value)}
    if wrong:
        raise JointStateError(f"positions must be finite, got {wrong}")
    return positions


def main() -> int:
    """Run the node; see `run_node`. Parameters that describe no robot end it with 1."""
    return run_node(RobotStatePublisher, RobotStatePublisherConfig, __doc__, (KinematicsError, ValueError))
