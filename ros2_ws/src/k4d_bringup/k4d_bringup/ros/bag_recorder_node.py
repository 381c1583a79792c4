"""k4d_bag_recorder_node: records topics, as they come, into a compressed rosbag2 recording (MCAP)."""

import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from std_srvs.srv import Trigger

from k4d_bringup.errors import BagError
from k4d_bringup.message_types import typestore_for
from k4d_bringup.ros.installation import share_folders
from k4d_bringup.ros.message_classes import message_class
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.parameters import declare_parameters, described
from k4d_kinematics.ros.running import run_node

_DISCOVERY_PERIOD = 0.2
_DEPTH = 200


@dataclass(frozen=True)
class BagRecorderConfig:
    """Parameters of k4d_bag_recorder_node. Raises BagError on what is no regular expression."""

    bag: str = described("", "Folder to record into; it must not exist.")
    topics: str = described(".*", "Regular expression that a topic's full name must match.")
    excluded: str = described(
        "/rosout|/parameter_events|.*/_action/.*", "Regular expression of full names to leave out."
    )
    restless: str = described("/diagnostics", "Regular expression of full names that never fall silent.")
    awaited: str = described("", "Regular expression of full names of which one must have come for ~/is_quiet.")
    quiet_after: float = described(
        5.0, "Seconds without a message, restless topics aside, after which ~/is_quiet says success.", (0.0, 3600.0)
    )

    def __post_init__(self) -> None:
        for name in ("topics", "excluded", "restless", "awaited"):
            expression = getattr(self, name)
            try:
                re.compile(expression)
            except re.error as error:
                raise BagError(f"{name} must be a regular expression, got {expression!r}: {error}") from error


class BagRecorderNode(Node):
    """Subscribes to every matching topic as it appears and writes what arrives with the time of its arrival."""

    def __init__(self) -> None:
        super().__init__("k4d_bag_recorder_node")
        self.config = declare_parameters(self, BagRecorderConfig)
        if not self.config.bag or Path(self.config.bag).exists():
            raise BagError(f"bag must name a folder that does not exist yet, got {self.config.bag!r}")
        self._writer = Writer(Path(self.config.bag), version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._recorded: set[str] = set()
        self._has_come = not self.config.awaited
        self._last_message = time.monotonic()
        self.create_service(Trigger, "~/is_quiet", self._on_is_quiet)
        self.create_timer(_DISCOVERY_PERIOD, self._discover)

    def _discover(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            wanted = re.fullmatch(self.config.topics, topic) and not re.fullmatch(self.config.excluded, topic)
            if wanted and topic not in self._recorded and self.count_publishers(topic):
                self._recorded.add(topic)
                self._record(topic, types)

    def _record(self, topic: str, types: list[str]) -> None:
        if len(types) != 1:
            self.get_logger().error(f"{topic} is not recorded: it has several types, {', '.join(types)}")
            return
        try:
            kind, store = message_class(types[0]), typestore_for(types, share_folders())
        except BagError as error:
            self.get_logger().error(f"{topic} is not recorded: {error}")
            return
        connection = self._writer.add_connection(topic, types[0], typestore=store)
        self.create_subscription(kind, topic, partial(self._write, connection), self._qos(topic), raw=True)

    def _qos(self, topic: str) -> QoSProfile:
        """Asks for as much as every publisher offers."""
        offered = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
        reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
        latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
        return QoSProfile(
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )

    def _write(self, connection: Connection, raw: bytes) -> None:
        self._writer.write(connection, self.get_clock().now().nanoseconds, raw)
        self._has_come |= re.fullmatch(self.config.awaited, connection.topic) is not None
        if not re.fullmatch(self.config.restless, connection.topic):
            self._last_message = time.monotonic()

    def _on_is_quiet(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        silence = time.monotonic() - self._last_message
        response.success = self._has_come and silence >= self.config.quiet_after
        lacking = "" if self._has_come else f"; nothing has come on {self.config.awaited}"
        response.message = f"the last message was written {silence:.1f} s ago{lacking}"
        return response

    def close(self) -> None:
        """Completes the recording, so that it can be read."""
        self._writer.close()


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(BagRecorderNode, BagRecorderConfig, __doc__, (BagError, KinematicsError))
