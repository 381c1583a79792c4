"""What rosbag2 recordings hold: one pass for stamps and small messages, one for the chosen pictures."""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from k4d_kinematics.camera import Camera, RegionOfInterest
from k4d_kinematics.errors import CameraError
from k4d_kinematics.recordings import RECORDING_DAMAGE
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.image_messages import COMPRESSED_IMAGE, IMAGE
from k4d_world_model.dataset.sources.joint_samples import JointSamples
from k4d_world_model.errors import RejectedEpisodeError, SourceError, WorldModelError

SECOND_NS = 1_000_000_000

_CAMERA_INFO = ("sensor_msgs/msg/CameraInfo",)
_JOINT_STATE = ("sensor_msgs/msg/JointState",)
_PICTURES = (IMAGE, COMPRESSED_IMAGE)
_BOOL, _STRING = ("std_msgs/msg/Bool",), ("std_msgs/msg/String",)
_SEED = ("std_msgs/msg/UInt64", "std_msgs/msg/Int64")


@dataclass
class BagContents:
    """The stamps of pictures in the order of their records, and all that is small.

    image_stamps_ns (N,) and depth_stamps_ns (M,) are whole nanoseconds; ``cameras`` are all different calibrations;
    ``absent`` are the topics of labels that this recording does not have.
    """

    image_stamps_ns: list[int] = field(default_factory=list)
    depth_stamps_ns: list[int] = field(default_factory=list)
    cameras: list[Camera] = field(default_factory=list)
    joints: JointSamples = field(default_factory=JointSamples)
    success: bool | None = None
    seed: int | None = None
    task: str = ""
    caption: str = ""
    absent: tuple[str, ...] = ()


def read_contents(path: Path, config: RosbagConfig) -> BagContents:
    """The contents of a bag without its pictures, read in one pass.

    Raises RejectedEpisodeError when a topic of ``config`` other than a label is missing, or any is of another type (it
    lists those there are), and SourceError naming the bag when it is damaged.
    """
    contents = BagContents()
    sinks = _sinks(config, contents)
    with _open(path) as reader:
        recorded = {item.topic for item in reader.connections}
        contents.absent = tuple(topic for topic in config.label_topics if topic not in recorded)
        for topic in contents.absent:
            del sinks[topic]
        chosen = _connections(reader, {topic: types for topic, (types, _) in sinks.items()})
        for connection, _, raw in reader.messages(chosen):
            sinks[connection.topic][1](connection.msgtype, raw)
    return contents


def read_chosen(path: Path, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[tuple[str, int, Any]]:
    """Topic, place in that topic's order of records, and message of just the ``wanted`` places of each topic.

    Raises SourceError naming the bag when it is damaged.
    """
    left = {topic: set(places.tolist()) for topic, places in wanted.items()}
    counts = dict.fromkeys(wanted, 0)
    with _open(path) as reader:
        for connection, _, raw in reader.messages([item for item in reader.connections if item.topic in wanted]):
            place = counts[connection.topic]
            counts[connection.topic] += 1
            if place in left[connection.topic]:
                left[connection.topic].remove(place)
                yield connection.topic, place, _message(raw, connection.msgtype)
            if not any(left.values()):
                return


def seconds(stamp_ns: int) -> float:
    """A stamp in seconds, by the same rounding as recorded transforms have."""
    return float(stamp_ns // SECOND_NS + (stamp_ns % SECOND_NS) * 1e-9)


@contextmanager
def _open(path: Path) -> Iterator[Reader]:
    try:
        with Reader(path) as reader:
            yield reader
    except RejectedEpisodeError:
        raise
    except WorldModelError as error:
        raise SourceError(f"{path}: {error}") from error
    except RECORDING_DAMAGE as error:
        raise SourceError(f"{path}: not a readable MCAP file or rosbag2 folder: {error!r}") from error


def _connections(reader: Reader, wanted: Mapping[str, tuple[str, ...]]) -> list[Connection]:
    chosen = [item for item in reader.connections if item.topic in wanted]
    missing = sorted(set(wanted) - {item.topic for item in chosen})
    if missing:
        there = ", ".join(sorted(f"{item.topic} ({item.msgtype})" for item in reader.connections))
        raise RejectedEpisodeError(f"it has no topic {', '.join(missing)}; there are {there or 'none'}")
    for item in chosen:
        if item.msgtype not in wanted[item.topic]:
            valid = " or ".join(wanted[item.topic])
            raise RejectedEpisodeError(f"topic {item.topic} must carry {valid}, got {item.msgtype}")
    return chosen


def _sinks(
    config: RosbagConfig, contents: BagContents
) -> dict[str, tuple[tuple[str, ...], Callable[[str, bytes], None]]]:
    """For each topic: the types that it may have, and what takes in one message of it."""

    def keep(name: str) -> Callable[[str, bytes], None]:
        return lambda kind, raw: setattr(contents, name, _message(raw, kind).data)

    def keep_camera(kind: str, raw: bytes) -> None:
        camera = _camera(_message(raw, kind))
        if camera not in contents.cameras:
            contents.cameras.append(camera)

    def keep_joints(kind: str, raw: bytes) -> None:
        message = _message(raw, kind)
        contents.joints.add(_stamp_ns(raw), message.name, message.position)

    sinks = {
        config.image_topic: (_PICTURES, lambda _, raw: contents.image_stamps_ns.append(_stamp_ns(raw))),
        config.depth_topic: (_PICTURES, lambda _, raw: contents.depth_stamps_ns.append(_stamp_ns(raw))),
        config.camera_info_topic: (_CAMERA_INFO, keep_camera),
        config.joint_topic: (_JOINT_STATE, keep_joints),
        config.success_topic: (_BOOL, keep("success")),
        config.seed_topic: (_SEED, keep("seed")),
        config.task_topic: (_STRING, keep("task")),
        config.caption_topic: (_STRING, keep("caption")),
    }
    return {topic: sink for topic, sink in sinks.items() if topic}


def _stamp_ns(raw: bytes) -> int:
    # The header comes first in every stamped message; reading just it leaves a picture's bytes alone.
    sec, nanosec = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return int(sec) * SECOND_NS + int(nanosec)


def _camera(message: Any) -> Camera:
    part = message.roi
    try:
        return Camera(
            height=int(message.height),
            width=int(message.width),
            K=message.k,
            D=tuple(message.d),
            distortion_model=message.distortion_model,
            R=message.r,
            P=message.p,
            binning_x=int(message.binning_x),
            binning_y=int(message.binning_y),
            roi=RegionOfInterest(part.x_offset, part.y_offset, part.height, part.width, bool(part.do_rectify)),
            frame_id=message.header.frame_id,
        )
    except CameraError as error:
        raise RejectedEpisodeError(f"its camera cannot be used: {error}") from error


def _message(raw: bytes, kind: str) -> Any:
    return _types().deserialize_cdr(raw, kind)


@lru_cache(maxsize=1)
def _types() -> Typestore:
    # Standard messages keep their layout, so the definitions that a recording carries along are not needed.
    return get_typestore(Stores.ROS2_KILTED)
