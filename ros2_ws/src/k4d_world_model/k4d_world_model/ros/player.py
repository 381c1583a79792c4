"""A rollout being played: what is due goes out, stamped with the moment at which it was due."""

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from k4d_kinematics import se3
from k4d_kinematics.errors import TransformError
from k4d_kinematics.ros.conversions import time_message
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_world_model.errors import PlaybackError
from k4d_world_model.playback_clock import PlaybackClock, checked_rate
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.playback_config import PlaybackNodeConfig
from k4d_world_model.ros.predicted_topics import PredictedTopics

# Everything lies below this, so that nothing is taken for the live robot's: playback/joint_states and so on.
PREFIX = "playback"
JOINT_QOS = QoSProfile(depth=100)


class Player:
    """Plays one rollout at a time; moments are nanoseconds of the node's clock, 0 before a simulated one begins."""

    def __init__(self, node: Node, name: str, config: PlaybackNodeConfig, diagnostics: Diagnostics) -> None:
        """Publishes below ``playback/<name>``, or ``playback`` for an empty name."""
        prefix, self._label = (f"{PREFIX}/{name}", f"{name}: ") if name else (PREFIX, "")
        self._diagnostics, self._points_frame = diagnostics, config.points_frame
        self._topics = PredictedTopics(node, f"{prefix}/predicted", config.points_frame)
        self._joint_states = node.create_publisher(JointState, f"{prefix}/joint_states", JOINT_QOS)
        diagnostics.waiting(f"{self._label}rollout", "no rollout has been received")
        self._plays, self._rate, self._is_looping = config.autoplay, config.rate, config.loop
        self._rollout: Rollout | None = None
        self._clock: PlaybackClock | None = None
        self._base_frame = ""

    @property
    def is_loaded(self) -> bool:
        """Whether there is something to play."""
        return self._rollout is not None

    @property
    def duration(self) -> float:
        """Seconds from the first to the last frame, 0 where nothing is loaded."""
        return 0.0 if self._clock is None else self._clock.duration

    def refuse(self, why: str) -> None:
        """A rollout that came could not be used; what is loaded stays."""
        self._diagnostics.error(f"{self._label}rollout", why)

    def load(self, rollout: Rollout, base_frame: str, now_ns: int) -> None:
        """Begins with another rollout; while playback is paused, only its first frame is shown."""
        self._rollout, self._base_frame = rollout, base_frame
        self._clock = PlaybackClock(rollout.times.tolist(), rate=self._rate, is_looping=self._is_looping)
        self._diagnostics.ok(f"{self._label}rollout", f"{len(rollout.times)} frames of {rollout.provenance.model_name}")
        if rollout.joints is None:
            self._diagnostics.waiting(
                f"{self._label}joint_states", "the rollout does not say how the robot's joints move"
            )
        else:
            self._diagnostics.ok(f"{self._label}joint_states", f"{len(rollout.joints.joint_names)} joints")
        if self._plays:
            self._clock.resume(now_ns)
        else:
            self._publish(self._clock.seek(0.0, now_ns), now_ns)

    def tick(self, now_ns: int) -> None:
        """Publishes what has become due, late or not."""
        if self._clock is not None and self._clock.is_running and now_ns > 0:
            for index, moment_ns in self._clock.due(now_ns):
                self._publish(index, moment_ns)

    def pause(self, now_ns: int) -> None:
        """Holds the position. Raises PlaybackError, as the following do, when nothing is loaded."""
        self._loaded().pause(now_ns)
        self._plays = False

    def resume(self, now_ns: int) -> None:
        """Goes on, or begins again at the end."""
        self._loaded().resume(now_ns)
        self._plays = True

    def seek(self, position: float, now_ns: int) -> None:
        """Shows the frame at ``position`` seconds after the first and goes on from there, unless paused.

        Raises PlaybackError when there is no such moment.
        """
        self._publish(self._loaded().seek(position, now_ns), now_ns)

    def step(self, count: int, now_ns: int) -> float:
        """Pauses and shows the frame ``count`` further; its moment in seconds after the first.

        Raises PlaybackError when there is no such frame.
        """
        clock = self._loaded()
        self._plays = False
        index = clock.step(count, now_ns)
        self._publish(index, now_ns)
        return clock.moment(index)

    def set_rate(self, rate: float, now_ns: int) -> None:
        """Changes the speed, of this rollout and the next ones. Raises PlaybackError when it is out of range."""
        self._rate = checked_rate(rate)
        if self._clock is not None:
            self._clock.set_rate(rate, now_ns)

    def set_loop(self, *, is_looping: bool) -> None:
        """Whether playback, of this rollout and the next ones, begins again at the end."""
        self._is_looping = is_looping
        if self._clock is not None:
            self._clock.is_looping = is_looping

    def _loaded(self) -> PlaybackClock:
        if self._clock is None:
            raise PlaybackError("there is no rollout to play yet")
        return self._clock

    def _publish(self, index: int, stamp_ns: int) -> None:
        assert self._rollout is not None
        self._topics.publish(self._rollout, index, stamp_ns, self._place())
        joints = self._rollout.joints
        if joints is not None:
            header = Header(stamp=time_message(stamp_ns))
            names, positions = list(joints.joint_names), joints.positions[index].tolist()
            self._joint_states.publish(JointState(header=header, name=names, position=positions))

    def _place(self) -> se3.Array | None:
        try:
            T_points_base = self._topics.place(self._base_frame, 0)
        except TransformError as error:
            self._diagnostics.error(f"{self._label}points", str(error))
            return None
        if self._points_frame:
            self._diagnostics.ok(f"{self._label}points", f"in {self._points_frame}")
        return T_points_base
