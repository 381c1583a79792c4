"""What the prediction node says of one camera: summaries, frames one by one, and the standard topics of each frame."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions

from k4d_kinematics import se3
from k4d_kinematics.errors import TransformError
from k4d_kinematics.ros.camera_output import frames_qos, summaries_qos
from k4d_kinematics.ros.conversions import nanoseconds
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.predicted_topics import PredictedTopics
from k4d_world_model.ros.rollout_messages import frame_message


@dataclass(eq=False)
class Delivery:
    """A rollout on its way to the consumers; ``on_done`` is called once, when its last frame is out."""

    rollout: Rollout
    summary: RolloutMessage
    base_frame_id: str
    on_done: Callable[["Delivery"], None]
    T_points_base: se3.Array | None = None  # of predicted/points, where that was known when the prediction began
    index: int = 0
    lost: bool = False
    sent_at: float | None = None  # seconds of the monotonic clock; when its turn came, at first

    @property
    def has_begun(self) -> bool:
        """Whether its turn has come."""
        return self.sent_at is not None


class RolloutOutput:
    """Publishes rollouts of one camera under ``<camera>/predicted/``, one after the other.

    rollout and frames carry the observation's stamp; image, points and camera_info, which have no other field for it,
    carry the moment that they predict: the observation's stamp plus the frame's time_from_start.
    """

    def __init__(
        self, node: Node, camera: str, diagnostics: Diagnostics, *, points_frame: str, patience: float
    ) -> None:
        """``patience``: seconds that a consumer may hold up the others at each frame."""
        self._diagnostics, self._camera, self._patience = diagnostics, camera, patience
        overridable = QoSOverridingOptions.with_default_policies()
        prefix = f"{camera}/predicted"
        self._summaries = node.create_publisher(
            RolloutMessage, f"{prefix}/rollout", summaries_qos(), qos_overriding_options=overridable
        )
        self._frames = node.create_publisher(
            RolloutFrame, f"{prefix}/frames", frames_qos(), qos_overriding_options=overridable
        )
        self._topics = PredictedTopics(node, prefix, points_frame)
        self._waiting: deque[Delivery] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether all frames are out."""
        return not self._waiting

    def place(self, base_frame_id: str, stamp_ns: int) -> se3.Array | None:
        """T_points_base (4, 4) of a delivery to come: its moment may be gone from TF once it is predicted.

        None where it is not known yet, which is looked for again then, or where points stay in the camera's frame.
        """
        try:
            return self._topics.place(base_frame_id, stamp_ns)
        except TransformError:
            return None

    def tell(self, summary: RolloutMessage) -> None:
        """Publishes the summary of a prediction that did not come about."""
        self._summaries.publish(summary)

    def deliver(self, delivery: Delivery) -> None:
        """Takes a rollout whose frames ``step`` publishes, after those of the rollouts before it."""
        self._waiting.append(delivery)

    def withdraw(self, delivery: Delivery) -> None:
        """Publishes no more of a rollout."""
        self._waiting.remove(delivery)

    def step(self) -> None:
        """Publishes the next frame once the last has arrived, or has not while the patience lasted."""
        if not self._waiting:
            return
        delivery = self._waiting[0]
        if delivery.sent_at is None:
            delivery.sent_at = time.monotonic()
        if not self._arrived():
            if time.monotonic() < delivery.sent_at + self._patience:
                return
            delivery.lost = True
        if delivery.index == delivery.summary.frame_count:
            self._waiting.popleft()
            self._report(delivery)
            delivery.on_done(delivery)
            return
        self._publish(delivery)
        delivery.sent_at = time.monotonic()
        delivery.index += 1

    def _report(self, delivery: Delivery) -> None:
        name = f"{self._camera}/predicted"
        if delivery.lost:
            self._diagnostics.error(name, "a consumer does not take its frames; some may be lost")
        else:
            self._diagnostics.ok(name, f"{delivery.summary.frame_count} frames")

    def _arrived(self) -> bool:
        publishers = [self._frames, *self._topics.publishers]
        return all(publisher.wait_for_all_acked(Duration()) for publisher in publishers)

    def _publish(self, delivery: Delivery) -> None:
        rollout, summary, index = delivery.rollout, delivery.summary, delivery.index
        stamp_ns = nanoseconds(summary.header.stamp)
        if index == 0:
            self._summaries.publish(summary)
            self._place(delivery, stamp_ns)
        if self._frames.get_subscription_count():
            self._frames.publish(frame_message(rollout, index, summary, delivery.base_frame_id))
        moment_ns = stamp_ns + nanoseconds(summary.time_from_start[index])
        self._topics.publish(rollout, index, moment_ns, delivery.T_points_base)

    def _place(self, delivery: Delivery, stamp_ns: int) -> None:
        name = f"{self._camera}/predicted/points"
        try:
            if delivery.T_points_base is None:
                delivery.T_points_base = self._topics.place(delivery.base_frame_id, stamp_ns)
        except TransformError as error:
            self._diagnostics.error(name, str(error))
        else:
            self._diagnostics.ok(name, "their frame is known")
