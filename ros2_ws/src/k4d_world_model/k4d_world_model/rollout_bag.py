"""Rollouts as MCAP recordings: their own messages, which lose nothing, beside standard ones that any tool shows."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from k4d_kinematics.recordings import RECORDING_DAMAGE
from k4d_world_model import rollout_messages as messages
from k4d_world_model.dataset import bag_messages as standard
from k4d_world_model.dataset.bag_writer import Stamped, write_messages
from k4d_world_model.errors import RolloutError, WorldModelError
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_record import rollout_entries, rollout_of_entries

_LATEST_NS = 2**31 * standard.SECOND_NS


def write_rollout_bag(path: Path, rollout: Rollout, *, stamp_ns: int, base_frame: str) -> None:
    """Writes a rollout as one MCAP file that ``read_rollout_bag`` and ROS read; ``path`` appears when it is complete.

    ``/predicted/rollout`` and ``/predicted/frames`` carry k4d_msgs, stamped with the observation's ``stamp_ns`` in
    nanoseconds. ``/predicted/image``, ``/predicted/points``, ``/predicted/camera_info`` and ``/joint_states`` carry
    standard messages stamped with the moments that they predict. ``base_frame`` names the robot's root link.

    Raises RolloutError as ``check_storable`` does, and when the file cannot be written.
    """
    check_storable(rollout, stamp_ns)
    staged = path.parent / f".{path.name}.partial"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        writer = Writer(staged, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        with writer:
            write_messages(writer, (), _messages(rollout, stamp_ns, base_frame), types=messages.message_types())
        (recording,) = staged.glob("*.mcap")
        os.replace(recording, path)
    except OSError as error:
        raise RolloutError(f"{path} cannot be written: {error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def read_rollout_bag(path: Path) -> Rollout:
    """The one rollout that an MCAP file or rosbag2 folder holds, equal to what was written to the last bit.

    Raises RolloutError naming the file when it cannot be read, holds no complete rollout or several, or one that says
    too little of itself.
    """
    with _open(path) as reader:
        summary = _only_summary(reader)
        frames = {
            int(item.index): item
            for item in _read(reader, messages.ROLLOUT_FRAME)
            if item.sequence_id == summary.sequence_id
        }
        missing = [k for k in range(summary.frame_count) if k not in frames]
        if missing or not frames:
            raise RolloutError(f"of the rollout's {summary.frame_count} frames {missing} are missing")
        return _rollout(summary, [frames[k] for k in range(summary.frame_count)])


def read_bag_stamp_ns(path: Path) -> int:
    """The stamp in nanoseconds of what the rollout in ``path`` starts from. Raises as ``read_rollout_bag`` does."""
    with _open(path) as reader:
        stamp = _only_summary(reader).header.stamp
    return int(stamp.sec) * standard.SECOND_NS + int(stamp.nanosec)


def check_storable(rollout: Rollout, stamp_ns: int) -> None:
    """Raises RolloutError when the camera has a lens, or a moment fits no ROS stamp."""
    if rollout.camera.is_distorted:
        raise RolloutError("a rollout's camera must be undistorted to be stored, got one with lens distortion")
    if not np.isfinite(rollout.times).all():
        raise RolloutError(f"times must be finite to be stored, got {rollout.times}")
    moments = [stamp_ns, *_moments_ns(rollout, stamp_ns)]
    if min(moments) < 0 or max(moments) >= _LATEST_NS:
        raise RolloutError(f"a ROS stamp is from 0 ns to {_LATEST_NS} ns, got {min(moments)} to {max(moments)}")


def _only_summary(reader: Reader) -> Any:
    summaries = [item for item in _read(reader, messages.ROLLOUT) if item.error_code == 0]
    if len(summaries) != 1:
        found = ", ".join(item.sequence_id for item in summaries) or "none"
        raise RolloutError(f"a recording to read must hold one rollout, got {found}")
    return summaries[0]


def _rollout(summary: Any, frames: Sequence[Any]) -> Rollout:
    rgb, points, mask = (
        np.stack([messages.image_values(getattr(frame, name), encoding) for frame in frames])
        for name, encoding in (("rgb", "rgb8"), ("pointmap", "32FC3"), ("mask", "mono8"))
    )
    entries = [(item.key, item.value) for item in summary.provenance]
    return rollout_of_entries(entries, rgb, points, mask[..., 0] > 0)


def _messages(rollout: Rollout, stamp_ns: int, base_frame: str) -> Iterator[Stamped]:
    entries = rollout_entries(rollout)
    content = (*(f"{key} {value}".encode() for key, value in entries), rollout.rgb.tobytes(), rollout.points.tobytes())
    sequence_id = hashlib.sha256(b"\n".join(content)).hexdigest()
    frame_id, joints = rollout.camera.frame_id, rollout.joints
    first_ns = _moments_ns(rollout, stamp_ns)[0]
    yield "/predicted/rollout", first_ns, messages.summary_message(rollout, entries, sequence_id, stamp_ns)
    for k, at in enumerate(_moments_ns(rollout, stamp_ns)):
        yield "/predicted/frames", at, messages.frame_message(rollout, k, sequence_id, base_frame, stamp_ns)
        yield "/predicted/image", at, standard.image(rollout.rgb[k], at, frame_id)
        yield "/predicted/points", at, messages.cloud(rollout.points[k], rollout.rgb[k], at, frame_id)
        yield "/predicted/camera_info", at, standard.camera_info(rollout.camera, at, frame_id)
        if joints is not None:
            yield "/joint_states", at, standard.joint_state(joints.joint_names, joints.positions[k], at)


def _moments_ns(rollout: Rollout, stamp_ns: int) -> list[int]:
    return [stamp_ns + round(time * standard.SECOND_NS) for time in rollout.times.tolist()]


def _read(reader: Reader, kind: str) -> list[Any]:
    types = messages.message_types()
    connections = [item for item in reader.connections if item.msgtype == kind]
    # An empty choice would mean all topics.
    return [types.deserialize_cdr(raw, kind) for _, _, raw in reader.messages(connections)] if connections else []


@contextmanager
def _open(path: Path) -> Iterator[Reader]:
    try:
        with Reader(path) as reader:
            yield reader
    except WorldModelError as error:
        raise RolloutError(f"{path}: {error}") from error
    except RECORDING_DAMAGE as error:
        raise RolloutError(f"{path}: not a readable MCAP file or rosbag2 folder: {error!r}") from error
