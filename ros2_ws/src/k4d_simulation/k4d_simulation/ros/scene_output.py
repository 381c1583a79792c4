"""What a live scene publishes: joints, the camera's images, fixed transforms, and how its task stands."""

from dataclasses import replace

from cv_bridge import CvBridge
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, Header, UInt64
from tf2_ros import StaticTransformBroadcaster

from k4d_kinematics.ros.camera_output import image_qos
from k4d_kinematics.ros.conversions import camera_message, time_message, transform_message
from k4d_kinematics.se3 import Array
from k4d_simulation.live_scene import Moment
from k4d_simulation.rendering import SceneImage
from k4d_simulation.ros.simulated_robot_config import SimulatedRobotConfig
from k4d_simulation.scene import Scene

# What changes seldom reaches those who come late.
LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
JOINT_QOS = QoSProfile(depth=100)


class SceneOutput:
    """The publishers of one scene; images and joint states of one moment carry the same stamp."""

    def __init__(self, node: Node, scene: Scene, config: SimulatedRobotConfig) -> None:
        self._bridge = CvBridge()
        self._joint_names = list(scene.robot.robot.joint_names)
        self._camera = replace(scene.camera(config.height, config.width), frame_id=config.camera_frame)
        self._joint_states = node.create_publisher(JointState, "joint_states", JOINT_QOS)
        self._image = node.create_publisher(Image, f"{config.camera}/image_raw", image_qos())
        self._depth = node.create_publisher(Image, f"{config.camera}/depth", image_qos())
        self._camera_info = node.create_publisher(CameraInfo, f"{config.camera}/camera_info", image_qos())
        self._success = node.create_publisher(Bool, "success", LATCHED_QOS)
        self._seed = node.create_publisher(UInt64, "seed", LATCHED_QOS)
        self._said_success: bool | None = None
        self._seed.publish(UInt64(data=scene.seed))
        root = scene.robot.robot.link_names[0]
        self._static = StaticTransformBroadcaster(node)
        self._static.sendTransform(
            [
                _fixed(config.world_frame, root, scene.T_world_base, node),
                _fixed(config.world_frame, config.camera_frame, scene.T_world_cam, node),
            ]
        )

    @property
    def is_image_wanted(self) -> bool:
        """Whether anybody listens to what has to be drawn."""
        return bool(self._image.get_subscription_count() or self._depth.get_subscription_count())

    def publish_moment(self, moment: Moment) -> None:
        """Publishes the joints, and the success where it changed."""
        self._joint_states.publish(
            JointState(
                header=Header(stamp=time_message(moment.stamp_ns)),
                name=self._joint_names,
                position=moment.positions.tolist(),
                velocity=moment.velocities.tolist(),
            )
        )
        if moment.success != self._said_success:
            self._said_success = moment.success
            self._success.publish(Bool(data=moment.success))

    def publish_camera_info(self, stamp_ns: int) -> None:
        """Publishes the camera's calibration."""
        self._camera_info.publish(camera_message(self._camera, time_message(stamp_ns)))

    def publish_image(self, stamp_ns: int, image: SceneImage) -> None:
        """Publishes what the camera saw at a moment: image, depth in metres (NaN where nothing is), calibration."""
        header = Header(stamp=time_message(stamp_ns), frame_id=self._camera.frame_id)
        self._image.publish(self._bridge.cv2_to_imgmsg(image.rgb, "rgb8", header=header))
        self._depth.publish(self._bridge.cv2_to_imgmsg(image.depth, "32FC1", header=header))
        self.publish_camera_info(stamp_ns)


def _fixed(parent: str, child: str, T_parent_child: Array, node: Node) -> TransformStamped:
    header = Header(stamp=node.get_clock().now().to_msg(), frame_id=parent)
    return TransformStamped(header=header, child_frame_id=child, transform=transform_message(T_parent_child))
