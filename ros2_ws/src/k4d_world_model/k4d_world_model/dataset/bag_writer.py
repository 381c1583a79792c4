"""Episodes as rosbag2 recordings, written without ROS."""

import heapq
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from k4d_kinematics import JointTrajectory
from k4d_world_model.dataset import bag_messages as messages
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.errors import DatasetError, EpisodeError

_LARGEST_STAMP_NS = 2**31 * messages.SECOND_NS
_OFF_RAY = 1e-4  # of the depth
_NEVER = QosTime(2147483647, 4294967295)
_LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
    _NEVER, _NEVER, QosLiveliness.AUTOMATIC, _NEVER, False,
)  # fmt: skip

Stamped = tuple[str, int, Any]  # topic, stamp in nanoseconds, message
_Edge = tuple[str, str, NDArray[np.float64]]  # parent, child, T_parent_child


def write_bag(
    episode: Episode,
    folder: Path,
    config: RosbagConfig,
    *,
    picture_encoding: Literal["rgb8", "png"] = "rgb8",
    depth_encoding: Literal["32FC1", "16UC1"] = "32FC1",
    storage: Literal["mcap", "sqlite3"] = "mcap",
    compression: Literal["none", "zstd"] = "zstd",
    plan: JointTrajectory | None = None,
    plan_topic: str = "/planned_trajectory",
) -> None:
    """Writes an episode as a rosbag2 folder that ``RosbagSource`` with the same ``config`` reads back.

    Stamps are the times rounded to nanoseconds. Everything is lossless but depth in 16UC1, which is rounded to
    millimetres; robot pointmaps are not written, since they follow from joints and camera. Labels that the episode
    lacks get no topic. ``plan`` is added as one trajectory_msgs/JointTrajectory at its first time. The folder appears
    under its name when it is complete.

    Raises EpisodeError when the episode lacks what a topic or frame of ``config`` names, is not metric, or has points
    off its camera's rays, and DatasetError when the folder exists or cannot be written.
    """
    stamps_ns = [_stamp_ns(time) for time in episode.times.tolist()]
    if len(set(stamps_ns)) < len(stamps_ns):
        raise EpisodeError(f"times must differ by at least a nanosecond, got {episode.times}")
    _check_contents(episode, config)
    frame_id = _camera_frame(episode, config)
    content = [
        *_fixed_messages(episode, config, frame_id, stamps_ns),
        *_plan_messages(plan, plan_topic),
    ]
    frames = _frame_messages(episode, config, frame_id, stamps_ns, picture_encoding, depth_encoding)
    if folder.exists():
        raise DatasetError(f"{folder} exists already; a bag is written once")
    staged = folder.parent / f".{folder.name}.partial" / folder.name
    try:
        shutil.rmtree(staged.parent, ignore_errors=True)
        with _writer(staged, storage, compression) as writer:
            write_messages(writer, content, frames)
        os.replace(staged, folder)
    except OSError as error:
        raise DatasetError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(staged.parent, ignore_errors=True)


def _writer(folder: Path, storage: str, compression: str) -> Writer:
    plugin = StoragePlugin[storage.upper()]
    writer = Writer(folder, version=9, storage_plugin=plugin)
    if compression == "zstd":
        # Within MCAP whole chunks are compressed; SQLite has no such thing.
        mode = CompressionMode.STORAGE if plugin is StoragePlugin.MCAP else CompressionMode.MESSAGE
        writer.set_compression(mode, CompressionFormat.ZSTD)
    return writer


def write_messages(
    writer: Writer,
    content: Iterable[Stamped],
    frames: Iterable[Stamped],
    latched: Collection[str] = ("/tf_static",),
    types: Typestore | None = None,
) -> None:
    """Writes both in order of time, ``content``, in any order, before frames (in order) of the same stamp.

    Topics among ``latched`` are offered to late subscribers. ``types`` defines messages that are not standard.
    ``writer`` is open.
    """
    types = types or messages.message_types()
    connections: dict[str, Connection] = {}
    for topic, stamp_ns, message in heapq.merge(sorted(content, key=_stamp), frames, key=_stamp):
        kind = message.__msgtype__
        if topic not in connections:
            qos = (_LATCHED,) if topic in latched else ()
            connections[topic] = writer.add_connection(topic, kind, typestore=types, offered_qos_profiles=qos)
        writer.write(connections[topic], stamp_ns, types.serialize_cdr(message, kind))


def _stamp(item: Stamped) -> int:
    return item[1]


def _frame_messages(
    episode: Episode,
    config: RosbagConfig,
    frame_id: str,
    stamps_ns: list[int],
    picture_encoding: str,
    depth_encoding: str,
) -> Iterator[Stamped]:
    is_moving = bool(config.world_frame) and not _is_still(episode)
    for index, stamp_ns in enumerate(stamps_ns):
        encode = messages.png_image if picture_encoding == "png" else messages.image
        yield config.image_topic, stamp_ns, encode(episode.rgb[index], stamp_ns, frame_id)
        if config.depth_topic and episode.scene_points is not None:
            depth = episode.scene_points[index, ..., 2]
            values = messages.millimetres(depth) if depth_encoding == "16UC1" else depth
            yield config.depth_topic, stamp_ns, messages.image(values, stamp_ns, frame_id)
        if config.camera_info_topic and episode.camera is not None:
            yield config.camera_info_topic, stamp_ns, messages.camera_info(episode.camera, stamp_ns, frame_id)
        if config.joint_topic and episode.joints is not None:
            state = messages.joint_state(episode.joints.joint_names, episode.joints.positions[index], stamp_ns)
            yield config.joint_topic, stamp_ns, state
        if is_moving and episode.T_world_cam is not None:
            edge = (config.world_frame, frame_id, episode.T_world_cam[index])
            yield "/tf", stamp_ns, messages.transforms([edge], stamp_ns)


def _fixed_messages(episode: Episode, config: RosbagConfig, frame_id: str, stamps_ns: list[int]) -> list[Stamped]:
    """Fixed transforms, seed and texts at the first stamp, the outcome at the last."""
    info, first, last = episode.info, stamps_ns[0], stamps_ns[-1]
    fixed = _fixed_edges(episode, config, frame_id)
    labels = (
        (config.success_topic, last, "Bool", info.success),
        (config.seed_topic, first, "Int64" if (info.seed or 0) < 0 else "UInt64", info.seed),
        (config.task_topic, first, "String", info.task or None),
        (config.caption_topic, first, "String", info.caption or None),
    )
    written = [
        (topic, at, messages.value(kind, data)) for topic, at, kind, data in labels if topic and data is not None
    ]
    return [*([("/tf_static", first, messages.transforms(fixed, first))] if fixed else []), *written]


def _plan_messages(plan: JointTrajectory | None, topic: str) -> list[Stamped]:
    if plan is None:
        return []
    stamp_ns = _stamp_ns(float(plan.times[0]))
    return [(topic, stamp_ns, messages.planned_trajectory(plan, stamp_ns))]


def _fixed_edges(episode: Episode, config: RosbagConfig, frame_id: str) -> list[_Edge]:
    edges: list[_Edge] = []
    if config.base_frame and config.base_frame != config.world_frame and episode.T_world_base is not None:
        edges.append((config.world_frame, config.base_frame, episode.T_world_base))
    if config.world_frame and episode.T_world_cam is not None and _is_still(episode):
        edges.append((config.world_frame, frame_id, episode.T_world_cam[0]))
    return edges


def _is_still(episode: Episode) -> bool:
    return episode.T_world_cam is not None and bool((episode.T_world_cam == episode.T_world_cam[0]).all())


def _camera_frame(episode: Episode, config: RosbagConfig) -> str:
    frame_id = config.camera_frame or (episode.camera.frame_id if episode.camera else "")
    if config.world_frame and not frame_id:
        raise DatasetError("camera_frame must be named, since the episode's camera has no frame_id")
    return frame_id


def _check_contents(episode: Episode, config: RosbagConfig) -> None:
    needs = (
        ("depth_topic", "scene_points"), ("camera_info_topic", "camera"), ("joint_topic", "joints"),
        ("world_frame", "T_world_cam"), ("base_frame", "T_world_base"),
    )  # fmt: skip
    for key, needed in needs:
        if getattr(config, key) and getattr(episode, needed) is None:
            raise EpisodeError(f"{key} is {getattr(config, key)!r}, but the episode has no {needed}")
    if config.base_frame and config.base_frame == config.world_frame:
        assert episode.T_world_base is not None
        if not np.allclose(episode.T_world_base, np.eye(4), atol=1e-9):
            raise EpisodeError(
                f"world_frame and base_frame are both {config.base_frame!r}, but T_world_base is "
                f"{episode.T_world_base.tolist()}"
            )
    if config.depth_topic:
        _check_points(episode)


def _check_points(episode: Episode) -> None:
    """Whether depth and camera say all of the points: a bag holds z-depths in metres."""
    if episode.scale != "metric":
        raise EpisodeError(f"depth in a bag is metric, the episode's scale is {episode.scale!r}")
    assert episode.camera is not None
    assert episode.scene_points is not None
    rays = episode.camera.rays()
    for points in episode.scene_points:
        depth = points[..., 2:]
        off = np.abs(points[..., :2] - rays * depth) > _OFF_RAY * np.abs(depth)
        if off.any() or (np.isnan(points).any(axis=-1) != np.isnan(points).all(axis=-1)).any() or (depth <= 0).any():
            raise EpisodeError("scene_points must lie in front of the camera on its pixels' rays, or be all NaN")


def _stamp_ns(time: float) -> int:
    """Whole nanoseconds, exact where float64 seconds are."""
    stamp_ns = round(Fraction(time) * messages.SECOND_NS)
    if not 0 <= stamp_ns < _LARGEST_STAMP_NS:
        raise EpisodeError(f"a ROS stamp is from 0 s to {_LARGEST_STAMP_NS // messages.SECOND_NS} s, got {time} s")
    return stamp_ns
