"""One camera of the pointmap node: its calibration in, its topics out."""

from concurrent.futures import Future, ThreadPoolExecutor

from cv_bridge import CvBridge
from k4d_msgs.msg import PointmapFrame, PointmapSequence
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import CameraError, NotReadyError
from k4d_kinematics.rendering import Renderer, RenderSettings, RobotImage
from k4d_kinematics.ros.conversions import (
    camera_from_message,
    camera_message,
    cloud_message,
    mask_message,
    time_message,
)
from k4d_kinematics.surface import RobotSurface

# Longest wait for a renderer within a callback; most are made in milliseconds.
_PREPARATION_PATIENCE = 0.1
_LIVE_TOPICS = {"pointmap": Image, "mask": Image, "preview": Image, "points": PointCloud2, "camera_info": CameraInfo}


def image_qos() -> QoSProfile:
    """Reliable, because best effort loses most messages of 4 MB; shallow, because an old pointmap is of no use.

    A new profile each time: rclpy writes overridden policies into the one that it is given.
    """
    return QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def frames_qos() -> QoSProfile:
    """For frames that are of use only together: what a busy consumer has yet to take waits, four sequences by default.

    DDS acknowledges what it has received, taken or not, so that the sender's pace spares no consumer.
    """
    return QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)


def summaries_qos() -> QoSProfile:
    """Several are kept: a refusal may follow at once on a summary whose frames a busy consumer has yet to take."""
    return QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def summary_qos() -> QoSProfile:
    """The newest message reaches late consumers."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class CameraOutput:
    """Publishes a camera's robot pointmaps under ``<camera>/robot/`` and plans under ``<camera>/robot/plan/``."""

    def __init__(self, node: Node, name: str, max_pixels: int) -> None:
        self.name, self._max_pixels = name, max_pixels
        self._bridge = CvBridge()
        self._camera: Camera | None = None
        self._renderers: dict[bool, tuple[RobotSurface, Future[Renderer]]] = {}
        self._worker = ThreadPoolExecutor(1)
        self._images: dict[bool, RobotImage] = {}
        overridable = QoSOverridingOptions.with_default_policies()

        def publisher(kind: type, topic: str, qos: QoSProfile) -> Publisher:
            return node.create_publisher(kind, f"{name}/robot/{topic}", qos, qos_overriding_options=overridable)

        self._live = {topic: publisher(kind, topic, image_qos()) for topic, kind in _LIVE_TOPICS.items()}
        self.summaries = publisher(PointmapSequence, "plan/sequence", summaries_qos())
        self.frames = publisher(PointmapFrame, "plan/frames", frames_qos())

    @property
    def camera(self) -> Camera:
        """The newest calibration. Raises CameraError when none has been received."""
        if self._camera is None:
            raise CameraError(f"no calibrated {self.name}/camera_info has been received")
        return self._camera

    @property
    def is_wanted(self) -> bool:
        """Whether anybody listens to a live topic."""
        return any(publisher.get_subscription_count() for publisher in self._live.values())

    def calibrate(self, message: CameraInfo) -> None:
        """Takes over a calibration. Raises CameraError, and forgets the old one, when it is not usable."""
        known, self._camera = self._camera, None
        pixels = int(message.height) * int(message.width)
        if pixels > self._max_pixels:
            size = f"{message.width} x {message.height} = {pixels}"
            raise CameraError(f"an image may have at most {self._max_pixels} pixels (max_pixels), got {size}")
        camera = camera_from_message(message)
        if camera != known:
            self._renderers.clear()
            self._images.clear()
        self._camera = camera

    def renderer(self, surface: RobotSurface, *, rgb: bool) -> Renderer:
        """The renderer of this camera, made at first use of a surface in a thread: a large lens takes seconds.

        Raises CameraError without a calibration, NotReadyError while the renderer is being made.
        """
        known = self._renderers.get(rgb)
        if known is None or known[0] is not surface:
            self._images.pop(rgb, None)
            made = self._worker.submit(Renderer, surface, self.camera, RenderSettings(rgb=rgb))
            known = self._renderers[rgb] = (surface, made)
        try:
            return known[1].result(timeout=_PREPARATION_PATIENCE)
        except TimeoutError as error:
            raise NotReadyError(f"the lens of camera {self.name} is being prepared") from error

    def publish_live(self, surface: RobotSurface, T_cam_link: se3.Array, stamp_ns: int) -> None:
        """Renders the robot at link poses (L, 4, 4) and publishes what is listened to, stamped ``stamp_ns``."""
        wanted = {topic for topic, publisher in self._live.items() if publisher.get_subscription_count()}
        image = self._render(surface, T_cam_link, rgb="preview" in wanted)
        header = Header(stamp=time_message(stamp_ns), frame_id=self.camera.frame_id)
        if {"pointmap", "points"} & wanted:
            pointmap = self._bridge.cv2_to_imgmsg(image.points_cam, "32FC3", header=header)
            if "pointmap" in wanted:
                self._live["pointmap"].publish(pointmap)
            if "points" in wanted:
                self._live["points"].publish(cloud_message(image.points_cam, pointmap.data, header))
        if "mask" in wanted:
            self._live["mask"].publish(mask_message(self._bridge, image.mask, header))
        if "preview" in wanted:
            self._live["preview"].publish(self._bridge.cv2_to_imgmsg(image.rgb, "rgb8", header=header))
        if "camera_info" in wanted:
            self._live["camera_info"].publish(camera_message(self.camera, header.stamp))

    def _render(self, surface: RobotSurface, T_cam_link: se3.Array, *, rgb: bool) -> RobotImage:
        """The robot's image in arrays that the next call overwrites; messages hold copies."""
        image = self.renderer(surface, rgb=rgb).render(T_cam_link, reuse=self._images.get(rgb))
        self._images[rgb] = image
        return image
