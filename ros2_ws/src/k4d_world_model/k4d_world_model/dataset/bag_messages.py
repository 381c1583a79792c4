"""Standard ROS messages of pictures, cameras, joints and transforms, as rosbags writes them."""

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.errors import EpisodeError

SECOND_NS = 1_000_000_000

_IMAGE_ENCODINGS = {np.dtype(np.uint8): "rgb8", np.dtype(np.uint16): "16UC1", np.dtype(np.float32): "32FC1"}
_LARGEST_MILLIMETRES = 65535


@lru_cache(maxsize=1)
def message_types() -> Typestore:
    """The standard messages' definitions."""
    return get_typestore(Stores.ROS2_KILTED)


def image(values: NDArray[Any], stamp_ns: int, frame_id: str) -> Any:
    """A sensor_msgs/Image: rgb8 of (H, W, 3) uint8, 16UC1 of (H, W) uint16, 32FC1 of (H, W) float32."""
    height, width = values.shape[:2]
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return _new(
        "sensor_msgs/msg/Image", header=header(stamp_ns, frame_id), height=height, width=width,
        encoding=_IMAGE_ENCODINGS[values.dtype], is_bigendian=0, step=little.nbytes // height,
        data=little.reshape(-1).view(np.uint8),
    )  # fmt: skip


def png_image(rgb: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Any:
    """A sensor_msgs/CompressedImage in PNG of a picture (H, W, 3)."""
    encoded = BytesIO()
    Image.fromarray(rgb).save(encoded, "PNG")
    data = np.frombuffer(encoded.getvalue(), np.uint8)
    kind, form = "sensor_msgs/msg/CompressedImage", "rgb8; png compressed bgr8"
    return _new(kind, header=header(stamp_ns, frame_id), format=form, data=data)


def millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Z-depths (H, W) in metres, NaN where there is none, as 16UC1 states them: rounded, 0 where there is none.

    Raises EpisodeError where a depth is not within 1 mm to 65.535 m.
    """
    rounded = np.round(depth.astype(np.float64) * 1000.0)
    wrong = np.isfinite(rounded) & ((rounded < 1) | (rounded > _LARGEST_MILLIMETRES))
    if wrong.any():
        raise EpisodeError(f"16UC1 holds depths from 0.001 m to 65.535 m, got {depth[wrong][0]} m; use 32FC1")
    return np.nan_to_num(rounded, nan=0.0).astype(np.uint16)


def camera_info(camera: Camera, stamp_ns: int, frame_id: str) -> Any:
    """A sensor_msgs/CameraInfo of an undistorted camera's delivered image, which is its own rectified one."""
    K = camera.matrix
    whole = _new("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return _new(
        "sensor_msgs/msg/CameraInfo", header=header(stamp_ns, frame_id), height=camera.image_height,
        width=camera.image_width, distortion_model="plumb_bob", d=np.zeros(5), k=K.reshape(-1),
        r=np.eye(3).reshape(-1), p=np.hstack([K, np.zeros((3, 1))]).reshape(-1), binning_x=0, binning_y=0, roi=whole,
    )  # fmt: skip


def joint_state(names: tuple[str, ...], positions: NDArray[np.float64], stamp_ns: int) -> Any:
    """A sensor_msgs/JointState of positions (J,)."""
    empty = np.zeros(0)
    return _new(
        "sensor_msgs/msg/JointState", header=header(stamp_ns), name=list(names), position=positions.copy(),
        velocity=empty, effort=empty,
    )  # fmt: skip


def planned_trajectory(plan: JointTrajectory, stamp_ns: int) -> Any:
    """A trajectory_msgs/JointTrajectory whose points' times count from its own stamp, the plan's first time."""
    empty = np.zeros(0)
    points = []
    for index, time in enumerate(plan.times):
        sec, nanosec = divmod(round((time - plan.times[0]) * SECOND_NS), SECOND_NS)
        points.append(
            _new(
                "trajectory_msgs/msg/JointTrajectoryPoint",
                positions=plan.positions[index].copy(),
                velocities=empty if plan.velocities is None else plan.velocities[index].copy(),
                accelerations=empty,
                effort=empty,
                time_from_start=_new("builtin_interfaces/msg/Duration", sec=sec, nanosec=nanosec),
            )
        )
    kind = "trajectory_msgs/msg/JointTrajectory"
    return _new(kind, header=header(stamp_ns), joint_names=list(plan.joint_names), points=points)


def transform(T_parent_child: NDArray[np.float64]) -> Any:
    """A geometry_msgs/Transform of a rigid transform (4, 4)."""
    position, quaternion_xyzw = se3.to_xyzw(T_parent_child)
    return _new(
        "geometry_msgs/msg/Transform",
        translation=_new("geometry_msgs/msg/Vector3", **dict(zip("xyz", position.tolist(), strict=True))),
        rotation=_new("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", quaternion_xyzw.tolist(), strict=True))),
    )


def transforms(edges: list[tuple[str, str, NDArray[np.float64]]], stamp_ns: int) -> Any:
    """A tf2_msgs/TFMessage of (parent, child, T_parent_child (4, 4))."""
    kind = "geometry_msgs/msg/TransformStamped"
    stamped = [
        _new(kind, header=header(stamp_ns, parent), child_frame_id=child, transform=transform(T_parent_child))
        for parent, child, T_parent_child in edges
    ]
    return _new("tf2_msgs/msg/TFMessage", transforms=stamped)


def value(kind: str, data: bool | int | str) -> Any:
    """A std_msgs message of one value, such as ``Bool``."""
    return _new(f"std_msgs/msg/{kind}", data=data)


def header(stamp_ns: int, frame_id: str = "") -> Any:
    """A std_msgs/Header of a stamp in nanoseconds."""
    sec, nanosec = divmod(stamp_ns, SECOND_NS)
    stamp = _new("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return _new("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def _new(kind: str, **fields: Any) -> Any:
    return message_types().types[kind](**fields)
