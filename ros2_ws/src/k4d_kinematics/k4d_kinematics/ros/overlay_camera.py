"""One camera of the overlay node: its pictures with the robot drawn over them, and whether it is where it should be."""

import time

import numpy as np
from cv_bridge import CvBridge, CvBridgeError
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from message_filters import Subscriber
from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image

from k4d_kinematics.calibration.edge_figure import EdgeFigure, edge_figure
from k4d_kinematics.calibration.overlay import overlay
from k4d_kinematics.ros.camera_output import image_qos, summary_qos
from k4d_kinematics.ros.conversions import camera_from_message, nanoseconds
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.moments import Moments
from k4d_kinematics.ros.overlay_config import OverlayNodeConfig

_QUEUE = 20
_STALE_AFTER = 5.0


class OverlayCamera:
    """Pairs a camera's pictures with k4d_pointmap_node's pointmaps of the same moments, and draws and judges them."""

    def __init__(self, node: Node, name: str, config: OverlayNodeConfig, diagnostics: Diagnostics) -> None:
        self._name, self._config, self._diagnostics = name, config, diagnostics
        self._bridge = CvBridge()
        self._judged_at = -np.inf  # seconds of the monotonic clock
        overridable = QoSOverridingOptions.with_default_policies()
        self._overlays = node.create_publisher(
            Image, f"{name}/overlay", image_qos(), qos_overriding_options=overridable
        )
        self._judgements = node.create_publisher(DiagnosticStatus, f"{name}/robot/calibration", summary_qos())
        topics = ((Image, config.image_topic), (Image, "robot/pointmap"), (CameraInfo, "robot/camera_info"))
        self._heard = []
        for kind, topic in topics:
            full = f"{name}/{topic}"
            diagnostics.waiting(full, "no message has been received")
            heard = Subscriber(node, kind, full, qos_profile=image_qos(), qos_overriding_options=overridable)
            heard.registerCallback(lambda _, full=full: diagnostics.ok(full, "receiving", stale_after=_STALE_AFTER))
            self._heard.append(heard)
        diagnostics.waiting(f"{name}: calibration", "no picture and pointmap of one moment have been received")
        self._pairs = Moments(self._heard, _QUEUE, config.image_tolerance)
        self._pairs.registerCallback(self._on_pair)

    def _on_pair(self, image: Image, pointmap: Image, camera_info: CameraInfo) -> None:
        is_due = time.monotonic() - self._judged_at >= self._config.period
        is_seen = self._overlays.get_subscription_count() > 0
        if not is_due and not is_seen:
            return
        try:
            rgb = self._bridge.imgmsg_to_cv2(image, "rgb8")
            points_cam = self._bridge.imgmsg_to_cv2(pointmap, "32FC3")
            if is_seen:
                drawn = overlay(rgb, points_cam, self._config.opacity)
                self._overlays.publish(self._bridge.cv2_to_imgmsg(drawn, "rgb8", header=image.header))
            if is_due:
                self._judged_at = time.monotonic()
                figure = edge_figure(rgb, points_cam, camera_from_message(camera_info), reach_px=self._config.reach_px)
                self._judge(figure, image)
        except (CvBridgeError, ValueError, TypeError) as error:
            # KinematicsError is a ValueError; cv_bridge raises TypeError on too little data, numpy ValueError where a
            # picture is too small to have slopes.
            self._diagnostics.error(f"{self._name}: calibration", str(error))

    def _judge(self, figure: EdgeFigure, image: Image) -> None:
        level, message = judged(figure, self._config)
        name = f"{self._name}: calibration"
        if level == DiagnosticStatus.OK:
            self._diagnostics.ok(name, message, stale_after=_STALE_AFTER)
        elif level == DiagnosticStatus.ERROR:
            self._diagnostics.error(name, message)
        else:
            self._diagnostics.waiting(name, message)
        values = {
            "distance_px": f"{figure.distance_px:.2f}",
            "shift_px": f"{figure.shift_px:.2f}",
            "distance_mm": f"{figure.distance * 1000:.1f}",
            "confidence": f"{figure.confidence:.2f}",
            "points": str(figure.points),
            "stamp_ns": str(nanoseconds(image.header.stamp)),
        }
        self._judgements.publish(
            DiagnosticStatus(
                level=level,
                name=f"{self._name}/robot/calibration",
                message=message,
                hardware_id=image.header.frame_id,
                values=[KeyValue(key=key, value=value) for key, value in values.items()],
            )
        )


def judged(figure: EdgeFigure, config: OverlayNodeConfig) -> tuple[bytes, str]:
    """Level and words for an edge figure; STALE where it says nothing, as when the robot is out of sight."""
    if not figure.confidence >= config.min_confidence or np.isnan(figure.distance_px):
        return (
            DiagnosticStatus.STALE,
            f"too little of the robot's outline has an edge (confidence {figure.confidence:.2f})",
        )
    text = f"outline and edges are {figure.distance_px:.1f} px apart, {figure.distance * 1000:.0f} mm at the robot"
    if figure.distance_px >= config.error_px:
        return DiagnosticStatus.ERROR, f"{text} or more: the camera is not where TF says"
    if figure.distance_px >= config.warn_px:
        return DiagnosticStatus.WARN, text
    return DiagnosticStatus.OK, text
