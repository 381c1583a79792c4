"""k4d_bag_player_node: publishes a recorded bag again, stamped as recorded or as of now, and ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.task import Future
from rosbags.rosbag2 import Reader, ReaderError
from std_srvs.srv import Trigger

from k4d_bringup.errors import BagError
from k4d_bringup.played_messages import Played, Topic, played_messages, played_topics
from k4d_bringup.ros.message_classes import message_class
from k4d_bringup.schedule import Schedule
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.conversions import nanoseconds, time_message
from k4d_kinematics.ros.parameters import declare_parameters, described
from k4d_kinematics.ros.running import run_node

STAMPS = ("original", "now")
_TICK = 0.004
_ASK_PERIOD = 0.25
_DEPTH = 100


@dataclass(frozen=True)
class BagPlayerConfig:
    """Parameters of k4d_bag_player_node. Raises BagError on values outside the described ones."""

    bag: str = described("", "Folder of the rosbag2 recording.")
    rate: float = described(1.0, "Ratio of playback speed to real time.", (0.01, 100.0))
    stamps: str = described("original", f"What stamps messages get: {' or '.join(STAMPS)} (moved as their times are).")
    plan_of: str = described(
        "", "Topic of joint states to publish as one plan at the start, in place of a recorded plan."
    )
    wait_for: tuple[str, ...] = described(("",), "Topics that must have a subscriber before playback starts.")
    settle: float = described(
        2.0, "Seconds to wait after that, in which other nodes of the graph discover each other.", (0.0, 3600.0)
    )
    wait_timeout: float = described(60.0, "Seconds to wait for those subscribers.", (0.0, 3600.0))
    linger: float = described(
        2.0, "Seconds to stay after the last message, so that consumers can finish.", (0.0, 3600.0)
    )
    end_service: str = described("", "Trigger service that must answer with success before the node ends, if any.")
    end_timeout: float = described(300.0, "Seconds to wait for that answer.", (0.0, 3600.0))

    def __post_init__(self) -> None:
        if self.stamps not in STAMPS:
            raise BagError(f"stamps must be one of {', '.join(STAMPS)}, got {self.stamps!r}")


class BagPlayerNode(Node):
    """Plays one bag, lingers for its consumers, and shuts its context down."""

    def __init__(self) -> None:
        super().__init__("k4d_bag_player_node")
        self.config = declare_parameters(self, BagPlayerConfig)
        self._bag = _open(self.config.bag)
        bag, plan_of, rate = Path(self.config.bag), self.config.plan_of, self.config.rate
        self._topic_publishers = {topic.name: self._advertise(topic) for topic in played_topics(self._bag, plan_of)}
        self._messages: Iterator[Played] = played_messages(self._bag, bag, plan_of, rate)
        self._next = next(self._messages, None)
        if self._next is None:
            raise BagError(f"{self.config.bag} holds no message")
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._awaited_ns = self._steady.now().nanoseconds
        self._deadline_ns = self._steady.now().nanoseconds + round(self.config.wait_timeout * 1e9)
        self._schedule: Schedule | None = None
        self._stamps: Schedule | None = None
        self._end_ns = 0
        self._end_client = self.create_client(Trigger, self.config.end_service) if self.config.end_service else None
        self._end_answer: Future | None = None
        self._next_ask_ns = 0
        self._timer = self.create_timer(_TICK, self._tick, clock=self._steady)

    def _advertise(self, topic: Topic) -> Publisher:
        durability = DurabilityPolicy.TRANSIENT_LOCAL if topic.is_latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(depth=_DEPTH, durability=durability)
        return self.create_publisher(message_class(topic.message_type), topic.name.lstrip("/"), qos)

    def _tick(self) -> None:
        now_ns = self._steady.now().nanoseconds
        if self._schedule is None:
            self._start_when_awaited(now_ns)
        elif self._next is not None:
            self._publish_due(self._schedule, now_ns)
        elif now_ns > self._end_ns + round(self.config.linger * 1e9) and self._may_end(now_ns):
            self.get_logger().info("played to the end")
            rclpy.try_shutdown()

    def _may_end(self, now_ns: int) -> bool:
        if self._end_client is None:
            return True
        if self._end_answer is not None and self._end_answer.done():
            answer, self._end_answer = self._end_answer.result(), None
            if answer.success:
                return True
        if now_ns > self._end_ns + round((self.config.linger + self.config.end_timeout) * 1e9):
            raise BagError(f"{self.config.end_service} did not say success within {self.config.end_timeout} s")
        if self._end_answer is None and now_ns >= self._next_ask_ns and self._end_client.service_is_ready():
            self._next_ask_ns = now_ns + round(_ASK_PERIOD * 1e9)
            self._end_answer = self._end_client.call_async(Trigger.Request())
        return False

    def _start_when_awaited(self, now_ns: int) -> None:
        missing = [topic for topic in self.config.wait_for if topic and self.count_subscribers(topic) == 0]
        if missing and now_ns > self._deadline_ns:
            raise BagError(f"nobody subscribed to {', '.join(missing)} within {self.config.wait_timeout} s")
        if missing:
            self._awaited_ns = now_ns
        elif now_ns >= self._awaited_ns + round(self.config.settle * 1e9):
            start_ns = self._bag.start_time
            self._schedule = Schedule(start_ns, now_ns, self.config.rate)
            self._stamps = Schedule(start_ns, self.get_clock().now().nanoseconds, self.config.rate)

    def _publish_due(self, schedule: Schedule, now_ns: int) -> None:
        while self._next is not None and schedule.due_ns(self._next.at_ns) <= now_ns:
            message = self._next.raw if self.config.stamps == "original" else self._restamped(self._next)
            self._topic_publishers[self._next.topic].publish(message)
            self._next = next(self._messages, None)
            self._end_ns = now_ns

    def _restamped(self, played: Played) -> Any:
        message = deserialize_message(played.raw, message_class(played.message_type))
        for part in (message, *getattr(message, "transforms", ())):
            # A zero stamp means "no stamp" and stays so.
            if hasattr(part, "header") and nanoseconds(part.header.stamp) and self._stamps is not None:
                part.header.stamp = time_message(self._stamps.due_ns(nanoseconds(part.header.stamp)))
        return message


def _open(bag: str) -> Reader:
    try:
        reader = Reader(Path(bag))
        reader.open()
    except (ReaderError, OSError) as error:
        raise BagError(f"bag {bag!r} cannot be read: {error}") from error
    return reader


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(BagPlayerNode, BagPlayerConfig, __doc__, (BagError, KinematicsError))
