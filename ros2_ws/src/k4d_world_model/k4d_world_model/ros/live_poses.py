"""Poses of a running robot for a calibration, recorded as what k4d-calibrate --bag reads."""

import time
from collections.abc import Callable
from pathlib import Path

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rosbags.rosbag2 import StoragePlugin, Writer

from k4d_kinematics.errors import PoseSetError
from k4d_world_model.calibration.pose_collection import PoseCollection
from k4d_world_model.calibration.recorded_poses import LEAST_POSES
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.errors import RejectedEpisodeError, SourceError
from k4d_world_model.ros.pose_recorder import PoseRecorder

_WAITING_PERIOD, _DISCOVERY_PERIOD = 5.0, 0.2


def record_poses(
    folder: Path, topics: RosbagConfig, collection: PoseCollection, most_seconds: float, say: Callable[[str], None]
) -> None:
    """Records poses of the running robot into ``folder`` until the collection is complete or the time is over.

    What is taken, and why something is not, is told to ``say``, a sentence each. Raises SourceError when the folder
    exists or cannot be written, and RejectedEpisodeError when the camera cannot be used or nothing was heard.
    """
    if folder.exists():
        raise SourceError(f"{folder} exists already: give another --out, or --bag {folder} to use what it holds")
    context = Context()
    context.init()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            node = PoseRecorder(topics, collection, writer, say, context)
            _spin(node, context, collection, most_seconds, say)
    except OSError as error:
        raise SourceError(f"{folder} cannot be written: {error}") from error
    finally:
        context.try_shutdown()
    if node.unheard:
        raise RejectedEpisodeError(f"in {most_seconds:g} s nothing has come on {', '.join(node.unheard)}")
    if collection.count < LEAST_POSES:
        raise PoseSetError(
            f"{LEAST_POSES} still and different poses are needed, got {collection.count} in {most_seconds:g} s"
        )


def _spin(
    node: PoseRecorder, context: Context, collection: PoseCollection, most_seconds: float, say: Callable[[str], None]
) -> None:
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    start = told = looked = time.monotonic()
    while not collection.is_complete and (now := time.monotonic()) - start < most_seconds:
        if now - looked >= _DISCOVERY_PERIOD:
            looked = now
            node.listen()
        executor.spin_once(timeout_sec=_DISCOVERY_PERIOD)
        if node.unheard and now - told >= _WAITING_PERIOD:
            told = now
            say(f"waiting for {', '.join(node.unheard)}")
    executor.shutdown()
    node.destroy_node()
