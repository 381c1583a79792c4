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
# What announces frames, by the topic of the frames.
_SUMMARIES = {"/robot/plan/frames": "/robot/plan/sequence", "/predicted/frames": "/predicted/rollout"}


@dataclass(frozen=True)
class TopicReport:
    """One topic of a recording.

    ``expected`` is how many messages should have come: one for each stamp of the camera's input or of any of its live
    outputs, or each frame of the announced plans and rollouts; ``dropped`` is how many of these did not; both are None
    where nothing says what should come. Latencies are from the message's stamp to its arrival at the recorder in
    milliseconds, None where the stamp is of another moment; ``robot_pixels`` is the mean number of robot pixels of a
    mask.
    """

    topic: str
    message_type: str
    messages: int
    rate_hz: float | None
    expected: int | None = None
    dropped: int | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    robot_pixels: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


@dataclass
class _Tally:
    message_type: str
    arrivals_ns: list[int] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    robot_pixels: list[int] = field(default_factory=list)
    frames: set[tuple[str, int]] = field(default_factory=set)  # sequence_id, index


def report_on(bag: Path, store: Typestore) -> tuple[TopicReport, ...]:
    """The topics of a recording by name. Raises BagError when it cannot be read or is empty."""
    tallies = {topic: _Tally(kind) for topic, kind in _recorded_topics(bag).items()}
    for topic, _, arrival_ns, message in recorded_messages(bag, store):
        tally = tallies[topic]
        tally.arrivals_ns.append(arrival_ns)
        tally.stamps_ns.append(stamp_ns_of(message))
        if topic.endswith("/robot/mask"):
            tally.robot_pixels.append(int(np.count_nonzero(message.data)))
        elif topic.endswith(tuple(_SUMMARIES.values())):
            tally.frames.update((message.sequence_id, index) for index in range(message.frame_count))
        elif topic.endswith(tuple(_SUMMARIES)):
            tally.frames.add((message.sequence_id, message.index))
    if not any(tally.arrivals_ns for tally in tallies.values()):
        raise BagError(f"{bag} holds no message")
    return tuple(_topic_report(topic, tallies) for topic in sorted(tallies))


def recorded_messages(bag: Path, store: Typestore, topics: tuple[str, ...] = ()) -> Iterator[tuple[str, str, int, Any]]:
    """Topic, type, arrival in nanoseconds and message of each recorded message (of ``topics``, if any are given).

    Raises BagError when the recording cannot be read.
    """
    try:
        with Reader(bag) as reader:
            wanted = [connection for connection in reader.connections if not topics or connection.topic in topics]
            # Asked for no connection, rosbags gives all.
            for connection, arrival_ns, raw in reader.messages(wanted) if wanted else ():
                message = store.deserialize_cdr(raw, connection.msgtype)
                yield connection.topic, connection.msgtype, arrival_ns, message
    except (ReaderError, OSError) as error:
        raise BagError(f"{bag} cannot be read: {error}") from error


def stamp_ns_of(message: Any) -> int:
    """The stamp of a recorded message's header in nanoseconds, 0 where it has none."""
    if not hasattr(message, "header"):
        return 0
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def recorded_types(bag: Path) -> list[str]:
    """Names of the message types in a recording. Raises BagError when it cannot be read."""
    return sorted(set(_recorded_topics(bag).values()))


def _recorded_topics(bag: Path) -> dict[str, str]:
    try:
        with Reader(bag) as reader:
            return {connection.topic: connection.msgtype for connection in reader.connections}
    except (ReaderError, OSError) as error:
        raise BagError(f"{bag} cannot be read: {error}") from error


def _topic_report(topic: str, tallies: dict[str, _Tally]) -> TopicReport:
    tally = tallies[topic]
    count = len(tally.arrivals_ns)
    span_ns = tally.arrivals_ns[-1] - tally.arrivals_ns[0] if count else 0
    latencies: list[float | None] = [None, None]
    if _is_live(topic) and count:
        delays_ms = (np.array(tally.arrivals_ns) - np.array(tally.stamps_ns)) * 1e-6
        latencies = [float(np.percentile(delays_ms, share)) for share in (50, 99)]
    expected, dropped = _expected_and_dropped(topic, tallies)
    return TopicReport(
        topic=topic,
        message_type=tally.message_type,
        messages=count,
        rate_hz=(count - 1) / (span_ns * 1e-9) if span_ns > 0 else None,
        expected=expected,
        dropped=dropped,
        latency_p50_ms=latencies[0],
        latency_p99_ms=latencies[1],
        robot_pixels=float(np.mean(tally.robot_pixels)) if tally.robot_pixels else None,
    )


def _is_live(topic: str) -> bool:
    _, separator, name = topic.partition("/robot/")
    return bool(separator) and name in _LIVE


def _expected_and_dropped(topic: str, tallies: dict[str, _Tally]) -> tuple[int, int] | tuple[None, None]:
    # The recorder may lose inputs too, so what any recorded message tells of is expected.
    if _is_live(topic):
        camera = topic.partition("/robot/")[0]
        sources = [f"{camera}/camera_info", *(f"{camera}/robot/{name}" for name in _LIVE)]
        stamps = {stamp for source in sources if source in tallies for stamp in tallies[source].stamps_ns}
        return len(stamps), len(stamps.difference(tallies[topic].stamps_ns))
    for ending, summary_ending in _SUMMARIES.items():
        if topic.endswith(ending):
            came = tallies[topic].frames
            summary = tallies.get(topic.removesuffix(ending) + summary_ending)
            frames = came | summary.frames if summary else came
            return len(frames), len(frames - came)
    return None, None
