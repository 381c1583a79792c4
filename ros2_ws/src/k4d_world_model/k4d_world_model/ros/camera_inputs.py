"""What the prediction node hears of one camera: pictures, depth, calibration, and the pointmaps of plans."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from k4d_msgs.msg import PointmapFrame
from k4d_msgs.msg import PointmapSequence as PointmapSequenceMessage
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image

from k4d_kinematics.ros.camera_output import frames_qos, image_qos, summaries_qos
from k4d_kinematics.ros.conversions import nanoseconds
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_world_model.errors import ConditioningError
from k4d_world_model.ros.observation import Observation
from k4d_world_model.ros.prediction_config import PredictionNodeConfig
from k4d_world_model.ros.sequence_collector import SequenceCollector
from k4d_world_model.ros.stamped_history import StampedHistory

# Seconds without a message after which an input counts as gone.
_STALE_AFTER = 2.0
# Seconds that a judgement of the calibration, which comes each second, stays valid.
_CALIBRATION_AGE = 5.0


def news_qos() -> QoSProfile:
    """Only what comes from now on: a verdict that its publisher still holds may be of hours ago."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)


class CameraInputs:
    """Listens as long as it lives; ``on_plan`` is called with this camera's name when a plan's pointmaps are whole.

    Pictures are listened to reliably, since best effort loses most large ones; a driver that only offers best effort
    is heard with ``qos_overrides./<camera>/<image_topic>.subscription.reliability: best_effort``.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        config: PredictionNodeConfig,
        diagnostics: Diagnostics,
        on_plan: Callable[[str], None],
    ) -> None:
        self._node, self._name, self._config = node, name, config
        self._diagnostics, self._on_plan = diagnostics, on_plan
        self._plans: SequenceCollector[PointmapSequenceMessage, PointmapFrame] = SequenceCollector(
            partial(diagnostics.error, f"{name}/robot/plan/frames")
        )
        self._images: StampedHistory[Image] = StampedHistory(config.image_history)
        self._depths: StampedHistory[Image] = StampedHistory(config.image_history)
        self._camera_info: CameraInfo | None = None
        self._calibration: tuple[DiagnosticStatus, float] | None = None  # and when it came, monotonic seconds
        overridable = QoSOverridingOptions.with_default_policies()

        def listen(kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> Any:
            diagnostics.waiting(f"{name}/{topic}", "no message has been received")
            return node.create_subscription(kind, f"{name}/{topic}", callback, qos, qos_overriding_options=overridable)

        checked = config.require_calibration
        self._subscriptions = [
            listen(Image, config.image_topic, self._on_image, image_qos()),
            listen(CameraInfo, "camera_info", self._on_camera_info, image_qos()),
            listen(PointmapSequenceMessage, "robot/plan/sequence", self._on_summary, summaries_qos()),
            listen(PointmapFrame, "robot/plan/frames", self._on_frame, frames_qos()),
            *([listen(DiagnosticStatus, "robot/calibration", self._on_calibration, news_qos())] if checked else []),
            *([listen(Image, config.depth_topic, self._on_depth, image_qos())] if config.depth else []),
        ]

    def observation(self, sequence_id: str = "") -> Observation:
        """What a plan starts from, by default the newest whole one.

        Raises ConditioningError when the plan's pointmaps, or a picture (and depth image) of its start, are missing,
        or when ``require_calibration`` is set and k4d_overlay_node does not find the camera where it should be.
        """
        try:
            summary, frames = self._plans.take(sequence_id)
        except ConditioningError as error:
            raise ConditioningError(f"pointmaps of camera {self._name}: {error}") from error
        if self._camera_info is None:
            raise ConditioningError(f"no {self._name}/camera_info has been received")
        if self._config.require_calibration:
            self._check_calibration()
        start_ns, tolerance = nanoseconds(summary.header.stamp), self._config.image_tolerance
        image = self._images.nearest(start_ns, tolerance, f"{self._name}/{self._config.image_topic}")
        depth = None
        if self._config.depth:
            depth = self._depths.nearest(start_ns, tolerance, f"{self._name}/{self._config.depth_topic}")
        return Observation(summary, frames, image, self._camera_info, depth)

    def _check_calibration(self) -> None:
        topic = f"{self._name}/robot/calibration"
        if self._calibration is None or time.monotonic() - self._calibration[1] > _CALIBRATION_AGE:
            raise ConditioningError(
                f"require_calibration: {topic} has been silent for {_CALIBRATION_AGE:g} s; is k4d_overlay_node running?"
            )
        status = self._calibration[0]
        if status.level != DiagnosticStatus.OK:
            raise ConditioningError(f"require_calibration: {topic} says {status.message!r}")

    def close(self) -> None:
        """Stops listening and forgets what was heard."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._plans.clear()
        self._images.clear()
        self._depths.clear()

    def _on_image(self, message: Image) -> None:
        self._images.add(nanoseconds(message.header.stamp), message)
        self._receiving(self._config.image_topic, message)

    def _on_depth(self, message: Image) -> None:
        self._depths.add(nanoseconds(message.header.stamp), message)
        self._receiving(self._config.depth_topic, message)

    def _on_calibration(self, message: DiagnosticStatus) -> None:
        self._calibration = message, time.monotonic()
        name = f"{self._name}/robot/calibration"
        if message.level == DiagnosticStatus.OK:
            self._diagnostics.ok(name, message.message, stale_after=_CALIBRATION_AGE)
        else:
            self._diagnostics.waiting(name, message.message)

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message
        self._receiving("camera_info", message)

    def _receiving(self, topic: str, message: Image | CameraInfo) -> None:
        text = f"{message.width} x {message.height} pixels"
        self._diagnostics.ok(f"{self._name}/{topic}", text, stale_after=_STALE_AFTER)

    def _on_summary(self, message: PointmapSequenceMessage) -> None:
        topic = f"{self._name}/robot/plan/sequence"
        if message.error_code not in (PointmapSequenceMessage.NONE, PointmapSequenceMessage.UNREACHABLE):
            self._diagnostics.error(topic, f"a plan has no pointmaps: {message.error_string}")
            return
        self._diagnostics.ok(topic, f"{message.frame_count} frames of {message.width} x {message.height} pixels")
        self._collect(self._plans.announce, message, "robot/plan/sequence")

    def _on_frame(self, message: PointmapFrame) -> None:
        self._collect(self._plans.add, message, "robot/plan/frames")

    def _collect(self, take: Callable[[Any], bool], message: Any, topic: str) -> None:
        try:
            is_whole = take(message)
        except ConditioningError as error:
            self._diagnostics.error(f"{self._name}/{topic}", str(error))
            return
        moments_ns = {nanoseconds(summary.header.stamp) for summary in self._plans.summaries}
        self._images.watch(moments_ns)
        self._depths.watch(moments_ns)
        if is_whole:
            self._diagnostics.ok(f"{self._name}/robot/plan/frames", "the newest sequence has come as a whole")
            self._on_plan(self._name)
