"""What a recording of the pointmap graph says about it: rates, drops, latencies and robot pixels by topic."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.typesys.store import Typestore

from k4d_bringup.errors import BagError

_LIVE = ("pointmap", "mask", "preview", "points", "camera_info")


@dataclass(frozen=True)
class TopicReport:
    """One topic of a recording.

    ``expected`` is how many messages its input called for, None where nothing does; latencies are from the message's
    stamp to its arrival at the recorder in milliseconds, None where the stamp is of another moment; ``robot_pixels`` is
    the mean number of robot pixels of a mask.
    """

    topic: str
    message_type: str
    messages: int
    rate_hz: float | None
    expected: int | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    robot_pixels: float | None = None

    @property
    def dropped(self) -> int | None:
        """Expected messages that did not come, None where none are expected."""
        return None if self.expected is None else self.expected - self.messages

    def as_dict(self) -> dict[str, Any]:
        """The fields and the drops, for JSON."""
        return {**asdict(self), "dropped": self.dropped}


@dataclass
class _Tally:
    message_type: str
    arrivals_ns: list[int] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    robot_pixels: list[int] = field(default_factory=list)
    planned: int = 0


def report_on(bag: Path, store: Typestore) -> tuple[TopicReport, ...]:
    """The topics of a recording by name. Raises BagError when it cannot be read or is empty."""
    tallies: dict[str, _Tally] = {}
    for topic, kind, arrival_ns, message in recorded_messages(bag, store):
        tally = tallies.setdefault(topic, _Tally(kind))
        tally.arrivals_ns.append(arrival_ns)
        stamp = message.header.stamp if hasattr(message, "header") else None
        tally.stamps_ns.append(stamp.sec * 1_000_000_000 + stamp.nanosec if stamp else 0)
        if topic.endswith("/robot/mask"):
            tally.robot_pixels.append(int(np.count_nonzero(message.data)))
        if topic.endswith("/plan/sequence"):
            tally.planned += message.frame_count
    if not tallies:
        raise BagError(f"{bag} holds no message")
    return tuple(_topic_report(topic, tallies) for topic in sorted(tallies))


def recorded_messages(bag: Path, store: Typestore, topics: tuple[str, ...] = ()) -> Iterator[tuple[str, str, int, Any]]:
    """Topic, type, arrival in nanoseconds and message of each recorded message (of ``topics``, if any are given).

    Raises BagError when the recording cannot be read.
    """
    try:
        with Reader(bag) as reader:
            wanted = [connection for connection in reader.connections if not topics or connection.topic in topics]
            for connection, arrival_ns, raw in reader.messages(wanted):
                message = store.deserialize_cdr(raw, connection.msgtype)
                yield connection.topic, connection.msgtype, arrival_ns, message
    except (ReaderError, OSError) as error:
        raise BagError(f"{bag} cannot be read: {error}") from error


def recorded_types(bag: Path) -> list[str]:
    """Names of the message types in a recording. Raises BagError when it cannot be read."""
    try:
        with Reader(bag) as reader:
            return sorted({connection.msgtype for connection in reader.connections})
    except (ReaderError, OSError) as error:
        raise BagError(f"{bag} cannot be read: {error}") from error


def _topic_report(topic: str, tallies: dict[str, _Tally]) -> TopicReport:
    tally = tallies[topic]
    count, span_ns = len(tally.arrivals_ns), tally.arrivals_ns[-1] - tally.arrivals_ns[0]
    latencies: list[float | None] = [None, None]
    expected = None
    camera, separator, name = topic.partition("/robot/")
    if separator and name in _LIVE:
        source = tallies.get(f"{camera}/camera_info")
        expected = len(source.arrivals_ns) if source else None
        delays_ms = (np.array(tally.arrivals_ns) - np.array(tally.stamps_ns)) * 1e-6
        latencies = [float(np.percentile(delays_ms, share)) for share in (50, 99)]
    elif name == "plan/frames":
        summary = tallies.get(f"{camera}/robot/plan/sequence")
        expected = summary.planned if summary else None
    return TopicReport(
        topic=topic,
        message_type=tally.message_type,
        messages=count,
        rate_hz=(count - 1) / (span_ns * 1e-9) if span_ns > 0 else None,
        expected=expected,
        latency_p50_ms=latencies[0],
        latency_p99_ms=latencies[1],
        robot_pixels=float(np.mean(tally.robot_pixels)) if tally.robot_pixels else None,
    )
