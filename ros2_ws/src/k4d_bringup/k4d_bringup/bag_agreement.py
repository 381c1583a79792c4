"""How far the robot pointmaps of a recording agree with the depth images recorded beside them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from k4d_bringup.bag_report import recorded_messages, stamp_ns_of
from k4d_bringup.errors import BagError

# Metres by which something must be nearer than the robot to count as hiding it.
_HIDING = 0.005
_DEPTH_TYPES = {"32FC1": (np.float32, 1.0), "16UC1": (np.uint16, 0.001)}


@dataclass(frozen=True)
class DepthAgreement:
    """Robot pointmaps of one camera against its depth images of the same stamps.

    ``frames`` is how many pairs there were, ``pixels`` how many robot pixels with a depth in front of which nothing
    stands; over these, the median and the 99th percentile of the depth's difference in millimetres.
    """

    camera: str
    frames: int
    pixels: int
    median_mm: float
    p99_mm: float

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def depth_agreement(bag: Path, store: Typestore, camera: str) -> DepthAgreement | None:
    """The agreement of one camera, None where the recording holds no robot pointmap and depth image of one stamp.

    Depth images are /<camera>/depth in 32FC1 (metres) or 16UC1 (millimetres; the 0 of pixels without a depth counts
    as hiding). Raises BagError for another encoding or size, and when the recording cannot be read.
    """
    depth_topic, pointmap_topic = f"/{camera}/depth", f"/{camera}/robot/pointmap"
    waiting: dict[tuple[str, int], NDArray[np.floating[Any]]] = {}
    differences: list[NDArray[np.floating[Any]]] = []
    for topic, _, _, message in recorded_messages(bag, store, (depth_topic, pointmap_topic)):
        stamp_ns = stamp_ns_of(message)
        depths = _depth_image(message) if topic == depth_topic else _robot_depths(message)
        other = waiting.pop((depth_topic if topic == pointmap_topic else pointmap_topic, stamp_ns), None)
        if other is None:
            waiting[topic, stamp_ns] = depths
            continue
        seen, robot = (depths, other) if topic == depth_topic else (other, depths)
        differences.append(_visible_differences(seen, robot))
    if not differences or not any(map(len, differences)):
        return None
    sizes = np.abs(np.concatenate(differences)) * 1000.0
    median, p99 = np.percentile(sizes, [50, 99])
    return DepthAgreement(camera, len(differences), len(sizes), float(median), float(p99))


def _visible_differences(
    seen: NDArray[np.floating[Any]], robot: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    if seen.shape != robot.shape:
        raise BagError(f"depth image and pointmap must have one size, got {seen.shape} and {robot.shape}")
    difference = (seen - robot)[np.isfinite(robot) & np.isfinite(seen)]  # (n,)
    return np.asarray(difference[difference > -_HIDING])


def _robot_depths(message: Any) -> NDArray[np.float32]:
    return np.array(message.data.view(np.float32).reshape(message.height, message.width, 3)[..., 2])


def _depth_image(message: Any) -> NDArray[np.floating[Any]]:
    if message.encoding not in _DEPTH_TYPES:
        raise BagError(f"a depth image must be one of {', '.join(_DEPTH_TYPES)}, got {message.encoding!r}")
    kind, unit = _DEPTH_TYPES[message.encoding]
    values = message.data.view(kind).reshape(message.height, message.width)
    return np.asarray(values * unit)
