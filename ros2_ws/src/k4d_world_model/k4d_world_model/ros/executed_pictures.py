"""A camera's pictures and depth images while a prediction waits for its execution."""

from typing import Any

from message_filters import Subscriber
from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image

from k4d_kinematics import Camera
from k4d_kinematics.ros.camera_output import image_qos
from k4d_kinematics.ros.conversions import nanoseconds
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.moments import Moments
from k4d_world_model.comparison.execution_watch import ExecutionWatch
from k4d_world_model.dataset.rectification import Rectification
from k4d_world_model.errors import WorldModelError
from k4d_world_model.ros.compare_config import CompareNodeConfig
from k4d_world_model.ros.conversions import depth, picture
from k4d_world_model.ros.observation import calibration, lens_rectification, rectified_points

_QUEUE = 20
_STALE_AFTER = 5.0


class ExecutedPictures:
    """Gives each picture that ``watch`` wants to it, with the points of its depth image where there are any."""

    def __init__(self, node: Node, config: CompareNodeConfig, watch: ExecutionWatch, diagnostics: Diagnostics) -> None:
        self._config, self._watch, self._diagnostics = config, watch, diagnostics
        self._camera: Camera | None = None
        self._lens: tuple[Camera, Rectification] | None = None
        overridable = QoSOverridingOptions.with_default_policies()
        topics = (config.image_topic, *((config.depth_topic,) if config.depth else ()))
        heard = []
        for topic in topics:
            full = f"{config.camera}/{topic}"
            diagnostics.waiting(full, "no message has been received")
            heard.append(
                Subscriber(node, Image, full, qos_profile=image_qos(), qos_overriding_options=overridable)
            )  # fmt: skip
            heard[-1].registerCallback(
                lambda _, full=full: diagnostics.ok(full, "receiving", stale_after=_STALE_AFTER)
            )  # fmt: skip
        self._pairs: Any = heard[0]
        if config.depth:
            self._pairs = Moments(heard, _QUEUE, config.depth_tolerance)
        self._pairs.registerCallback(self._on_picture)
        full = f"{config.camera}/camera_info"
        diagnostics.waiting(full, "no message has been received")
        node.create_subscription(
            CameraInfo, full, self._on_camera_info, image_qos(), qos_overriding_options=overridable
        )  # fmt: skip

    def _on_camera_info(self, message: CameraInfo) -> None:
        name = f"{self._config.camera}/camera_info"
        self._camera = None
        try:
            self._camera = calibration(message)
        except WorldModelError as error:
            self._diagnostics.error(name, str(error))
        else:
            self._diagnostics.ok(name, "receiving", stale_after=_STALE_AFTER)

    def _on_picture(self, image: Image, depth_image: Image | None = None) -> None:
        stamp_ns = nanoseconds(image.header.stamp)
        if self._camera is None or not self._watch.wants(stamp_ns):
            return
        try:
            lens = self._rectification(self._camera)
            rgb = lens.picture(picture(image, self._camera))
            points = None if depth_image is None else rectified_points(lens, depth(depth_image, self._camera))
            self._watch.see(stamp_ns, lens.camera, rgb, points)
        except WorldModelError as error:
            self._diagnostics.error("pictures", str(error))
        else:
            self._diagnostics.ok("pictures", "usable")

    def _rectification(self, camera: Camera) -> Rectification:
        if self._lens is None or self._lens[0] != camera:
            self._lens = camera, lens_rectification(camera)
        return self._lens[1]
