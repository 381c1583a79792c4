"""Rollouts as the messages of k4d_msgs, and clouds, without ROS: as rosbags writes and reads them."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from k4d_kinematics import se3
from k4d_world_model.dataset import bag_messages as standard
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_record import Entry

ROLLOUT, ROLLOUT_FRAME = "k4d_msgs/msg/Rollout", "k4d_msgs/msg/RolloutFrame"

# k4d_msgs/msg/*.msg without their comments, which say what every field means; a test holds both equal.
_DEFINITIONS = {
    ROLLOUT: """
uint8 NONE=0
uint8 INVALID_INPUT=1
uint8 ROBOT_NOT_VISIBLE=2
uint8 MODEL_UNAVAILABLE=3
uint8 BUSY=4
uint8 CANCELED=5
uint8 OUT_OF_MEMORY=6
uint8 FAILED=7
std_msgs/Header header
string sequence_id
string pointmap_sequence_id
string camera
uint32 frame_count
builtin_interfaces/Duration[] time_from_start
uint32 height
uint32 width
string model_name
string weights_sha256
string robot_sha256
uint64 seed
builtin_interfaces/Duration computation_time
bool metric
float64 metric_residual
diagnostic_msgs/KeyValue[] provenance
uint8 error_code
string error_string
""",
    ROLLOUT_FRAME: """
std_msgs/Header header
string sequence_id
uint32 index
builtin_interfaces/Duration time_from_start
string base_frame_id
geometry_msgs/Transform t_base_cam
sensor_msgs/CameraInfo camera_info
sensor_msgs/Image rgb
sensor_msgs/Image pointmap
sensor_msgs/Image mask
""",
}
_IMAGES: dict[str, tuple[np.dtype[Any], int]] = {
    "rgb8": (np.dtype(np.uint8), 3),
    "32FC3": (np.dtype("<f4"), 3),
    "mono8": (np.dtype(np.uint8), 1),
}
_FLOAT32 = 7  # sensor_msgs/PointField
_CLOUD_POINT = np.dtype([("xyz", "<f4", 3), ("rgb", "<u4")])


@lru_cache(maxsize=1)
def message_types() -> Typestore:
    """The definitions of the standard messages and of rollouts."""
    types = get_typestore(Stores.ROS2_KILTED)
    for name, text in _DEFINITIONS.items():
        types.register(get_types_from_msg(text, name))
    return types


def summary_message(rollout: Rollout, entries: tuple[Entry, ...], sequence_id: str, stamp_ns: int) -> Any:
    """A k4d_msgs/Rollout that announces ``rollout``; ``entries`` become its provenance."""
    provenance, fit = rollout.provenance, rollout.fit
    return _new(
        ROLLOUT,
        header=standard.header(stamp_ns, rollout.camera.frame_id),
        sequence_id=sequence_id,
        pointmap_sequence_id="",
        camera="",
        frame_count=len(rollout.times),
        time_from_start=[_duration(time) for time in rollout.times.tolist()],
        height=rollout.camera.image_height,
        width=rollout.camera.image_width,
        model_name=provenance.model_name,
        weights_sha256=provenance.weights_sha256,
        robot_sha256=provenance.robot_sha256,
        seed=provenance.seed,
        computation_time=_duration(provenance.computation_time),
        metric=not fit.reason,
        metric_residual=fit.residual,
        provenance=[_new("diagnostic_msgs/msg/KeyValue", key=key, value=value) for key, value in entries],
        error_code=0,
        error_string="",
    )


def frame_message(rollout: Rollout, index: int, sequence_id: str, base_frame: str, stamp_ns: int) -> Any:
    """The k4d_msgs/RolloutFrame of frame ``index``, stamped with the observation's ``stamp_ns``."""
    frame_id = rollout.camera.frame_id
    mask = rollout.valid[index].view(np.uint8) * np.uint8(255)
    return _new(
        ROLLOUT_FRAME,
        header=standard.header(stamp_ns, frame_id),
        sequence_id=sequence_id,
        index=index,
        time_from_start=_duration(float(rollout.times[index])),
        base_frame_id=base_frame,
        t_base_cam=standard.transform(se3.inverse(rollout.T_cam_base[index])),
        camera_info=standard.camera_info(rollout.camera, stamp_ns, frame_id),
        rgb=_image(rollout.rgb[index], "rgb8", stamp_ns, frame_id),
        pointmap=_image(rollout.points[index], "32FC3", stamp_ns, frame_id),
        mask=_image(mask[..., None], "mono8", stamp_ns, frame_id),
    )


def cloud(points: NDArray[np.float32], rgb: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Any:
    """A sensor_msgs/PointCloud2 of points (H, W, 3) with colours, organised as the image, NaN where there is none."""
    height, width, _ = points.shape
    content = np.empty((height, width), _CLOUD_POINT)
    content["xyz"] = points
    content["rgb"] = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    fields = [
        _new("sensor_msgs/msg/PointField", name=name, offset=4 * k, datatype=_FLOAT32, count=1)
        for k, name in enumerate(("x", "y", "z", "rgb"))
    ]
    return _new(
        "sensor_msgs/msg/PointCloud2", header=standard.header(stamp_ns, frame_id), height=height, width=width,
        fields=fields, is_bigendian=False, point_step=_CLOUD_POINT.itemsize, row_step=width * _CLOUD_POINT.itemsize,
        data=content.reshape(-1).view(np.uint8), is_dense=False,
    )  # fmt: skip


def image_values(message: Any, encoding: str) -> NDArray[Any]:
    """The values (H, W, channels) of a sensor_msgs/Image. Raises RolloutError unless it is whole and ``encoding``."""
    dtype, channels = _IMAGES[encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    row_bytes = width * channels * dtype.itemsize
    if message.encoding != encoding or (message.is_bigendian and dtype.itemsize > 1):
        raise RolloutError(f"images must be little-endian {encoding}, got {message.encoding!r}")
    if min(height, width) < 1 or step < row_bytes or len(message.data) != height * step:
        raise RolloutError(
            f"a {encoding} image of {height} rows x {width} columns must have a step of at least {row_bytes} and "
            f"height x step bytes, got a step of {step} and {len(message.data)} bytes"
        )
    rows = np.ascontiguousarray(np.asarray(message.data, np.uint8).reshape(height, step)[:, :row_bytes])
    return rows.view(dtype).reshape(height, width, channels)


def _image(values: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> Any:
    height, width, _ = values.shape
    data = np.ascontiguousarray(values, _IMAGES[encoding][0])
    return _new(
        "sensor_msgs/msg/Image", header=standard.header(stamp_ns, frame_id), height=height, width=width,
        encoding=encoding, is_bigendian=0, step=data.nbytes // height, data=data.reshape(-1).view(np.uint8),
    )  # fmt: skip


def _duration(seconds: float) -> Any:
    sec, nanosec = divmod(round(seconds * standard.SECOND_NS), standard.SECOND_NS)
    return _new("builtin_interfaces/msg/Duration", sec=sec, nanosec=nanosec)


def _new(kind: str, **fields: Any) -> Any:
    return message_types().types[kind](**fields)
