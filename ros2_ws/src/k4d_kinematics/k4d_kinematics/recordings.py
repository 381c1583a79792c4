"""Joint trajectories and transforms from recordings: MCAP files and rosbag2 folders, read without ROS."""

import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from k4d_kinematics import se3
from k4d_kinematics.errors import KinematicsError, TrajectoryError, TransformError
from k4d_kinematics.trajectory import JointTrajectory
from k4d_kinematics.transforms import RecordedEdge, RecordedTransforms, StaticEdge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Array = NDArray[np.float64]

_JOINT_STATE = "sensor_msgs/msg/JointState"
_JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"

# What reading damaged records raises: the reader's own errors, and Python's where a damaged length, text or depth of
# nesting is used.
RECORDING_DAMAGE = (
    *(ReaderError, SerdeError, zstd.ZstdError, struct.error, apsw.Error),
    *(OSError, EOFError, ValueError, TypeError, LookupError, OverflowError, MemoryError, RuntimeError),
)


def read_recorded_trajectory(path: Path, topic: str | None = None) -> JointTrajectory:
    """The joint trajectory recorded in an MCAP file or rosbag2 folder, at the messages' stamps in seconds.

    ``topic`` carries sensor_msgs/JointState, or one trajectory_msgs/JointTrajectory whose stamp is added to its times;
    None means the only such topic. Raises TrajectoryError when the file cannot be read, when there is no such topic or
    a choice of several (it lists them), and on joint states that name different joints or go back in time.
    """
    with _open(path, TrajectoryError) as reader:
        chosen = _choose_topic(reader, topic)
        messages = _messages(reader, chosen)
        if not messages:
            raise TrajectoryError(f"topic {chosen!r} holds no message")
        if messages[0].__msgtype__ == _JOINT_STATE:
            return _trajectory_of_states(messages)
        if len(messages) > 1:
            raise TrajectoryError(f"topic {chosen!r} must hold one planned trajectory, got {len(messages)}")
        return _trajectory_of_plan(messages[0])


def read_recorded_transforms(path: Path) -> RecordedTransforms:
    """The transforms recorded on /tf and /tf_static in an MCAP file or rosbag2 folder.

    Samples are ordered by their stamps; of several with the same stamp the first stands, as in tf2, and of several
    static transforms of one frame the last. Raises TransformError when the file cannot be read or holds none.
    """
    with _open(path, TransformError) as reader:
        topics = sorted(reader.topics)
        moving = _messages(reader, "/tf") if "/tf" in topics else []
        fixed = _messages(reader, "/tf_static") if "/tf_static" in topics else []
        edges: list[StaticEdge | RecordedEdge] = [*_static_edges(fixed), *_recorded_edges(moving)]
        if not edges:
            raise TransformError(f"there is no transform on /tf or /tf_static; topics are {topics}")
        return RecordedTransforms(edges)


def _static_edges(messages: list[Any]) -> list[StaticEdge]:
    newest = {item.child_frame_id: item for message in messages for item in message.transforms}
    return [StaticEdge(item.header.frame_id, child, _transform(item.transform)) for child, item in newest.items()]


def _recorded_edges(messages: list[Any]) -> list[RecordedEdge]:
    samples: dict[tuple[str, str], dict[float, Array]] = {}
    for message in messages:
        for item in message.transforms:
            by_time = samples.setdefault((item.header.frame_id, item.child_frame_id), {})
            by_time.setdefault(_seconds(item.header.stamp), _transform(item.transform))
    return [
        RecordedEdge(parent, child, np.array(sorted(by_time)), np.stack([by_time[time] for time in sorted(by_time)]))
        for (parent, child), by_time in samples.items()
    ]


@contextmanager
def _open(path: Path, error_type: type[KinematicsError]) -> Iterator[Reader]:
    try:
        with Reader(path) as reader:
            yield reader
    except KinematicsError as error:
        raise error_type(f"{path}: {error}") from error
    except RECORDING_DAMAGE as error:
        raise error_type(f"{path}: not a readable MCAP file or rosbag2 folder: {error!r}") from error


def _messages(reader: Reader, topic: str) -> list[Any]:
    # Standard messages keep their layout, so the definitions that a recording carries along are not needed.
    types = get_typestore(Stores.ROS2_KILTED)
    connections = reader.topics[topic].connections
    return [types.deserialize_cdr(raw, item.msgtype) for item, _, raw in reader.messages(connections)]


def _choose_topic(reader: Reader, topic: str | None) -> str:
    types = {name: info.msgtype for name, info in reader.topics.items()}
    valid = {name: kind for name, kind in types.items() if kind in (_JOINT_STATE, _JOINT_TRAJECTORY)}
    if topic is None and len(valid) == 1:
        return next(iter(valid))
    if topic in valid:
        return topic
    listed = ", ".join(f"{name} ({kind})" for name, kind in sorted(valid.items()))
    raise TrajectoryError(
        f"choose a topic of joint states or a planned trajectory, got {topic!r}; "
        + (f"valid are {listed}" if listed else f"none is among {sorted(types)}")
    )


def _trajectory_of_states(messages: list[Any]) -> JointTrajectory:
    names = tuple(messages[0].name)
    positions = np.empty((len(messages), len(names)))
    for index, message in enumerate(messages):
        column = {name: k for k, name in enumerate(message.name)}
        if set(column) != set(names) or len(message.position) != len(message.name):
            raise TrajectoryError(
                f"joint state {index} must hold one position for each of {names}, "
                f"got names {tuple(message.name)} and {len(message.position)} positions"
            )
        positions[index] = message.position[[column[name] for name in names]]
    times = np.array([_seconds(message.header.stamp) for message in messages])
    return JointTrajectory(names, times, positions)


def _trajectory_of_plan(message: Any) -> JointTrajectory:
    points = message.points
    moving = [point.velocities.tolist() for point in points]
    return JointTrajectory.from_points(
        message.joint_names,
        [point.positions.tolist() for point in points],
        [_seconds(point.time_from_start) for point in points],
        moving if any(moving) else None,
        start_time=_seconds(message.header.stamp),
    )


def _transform(message: Any) -> Array:
    p, q = message.translation, message.rotation
    return se3.from_xyzw([p.x, p.y, p.z], [q.x, q.y, q.z, q.w])


def _seconds(stamp: Any) -> float:
    return float(stamp.sec + stamp.nanosec * 1e-9)
