"""ROS messages to and from conditionings and rollouts."""

import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from cv_bridge import CvBridge, CvBridgeError
from k4d_msgs.msg import PointmapFrame
from k4d_msgs.msg import PointmapSequence as PointmapSequenceMessage
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from k4d_kinematics import Camera, PointmapSequence, ToolPath, se3
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.conversions import camera_from_message, seconds, transform_from_message
from k4d_world_model.errors import ConditioningError

PICTURE_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8")
_MILLIMETRE = np.float32(0.001)
_FIELDS = [
    PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
    for index, name in enumerate(("x", "y", "z", "rgb"))
]


def picture(message: Image, camera: Camera) -> NDArray[np.uint8]:
    """The colours (H, W, 3) of a picture that ``camera`` took; grey ones become equal in all three channels.

    Raises ConditioningError on another encoding, another size than the camera's, or data that does not fit.
    """
    return _pixels(message, camera, "picture", PICTURE_ENCODINGS, "rgb8").astype(np.uint8, copy=False)


def depth(message: Image, camera: Camera) -> NDArray[np.float32]:
    """The z-depths (H, W) in metres of a depth image on ``camera``'s pixels, NaN where it measured nothing.

    Source: REP 118 (16UC1 is millimetres, 32FC1 metres). Raises ConditioningError as ``picture`` does.
    """
    values = _pixels(message, camera, "depth image", ("32FC1", "16UC1"))
    depth = values * _MILLIMETRE if message.encoding == "16UC1" else values.astype(np.float32)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def pointmaps(summary: PointmapSequenceMessage, frames: Sequence[PointmapFrame]) -> PointmapSequence:
    """The robot pointmaps of a whole sequence; ``rgb`` is None where its frames carry no colours.

    Raises ConditioningError when frames differ in camera, joints or size, or are malformed.
    """
    first = frames[0]
    try:
        camera = camera_from_message(first.camera_info)
        T_cam_base = se3.inverse(np.stack([transform_from_message(frame.t_base_cam) for frame in frames]))
        for frame in frames:
            _check_alike(frame, first, camera)
        return PointmapSequence(
            points_cam=np.stack([_pixels(frame.pointmap, camera, "pointmap", ("32FC3",)) for frame in frames]),
            mask=np.stack([_pixels(frame.mask, camera, "mask", ("mono8",)) > 0 for frame in frames]),
            times=np.array([seconds(frame.time_from_start) for frame in frames]),
            T_cam_base=T_cam_base,
            positions=np.array([list(frame.joint_state.position) for frame in frames], np.float64),
            joint_names=tuple(first.joint_state.name),
            camera=camera,
            rgb=np.stack([picture(frame.rgb, camera) for frame in frames]) if first.rgb.height else None,
            tool=_tool_path(frames) if first.tool_frame_id else None,
        )
    except (KinematicsError, ValueError) as error:
        raise ConditioningError(f"pointmap sequence {summary.sequence_id!r}: {error}") from error


def _tool_path(frames: Sequence[PointmapFrame]) -> ToolPath:
    T_base_tool = np.stack([transform_from_message(frame.t_base_tool) for frame in frames])
    return ToolPath(T_base_tool, np.array([frame.gripper_opening for frame in frames], np.float64))


def coloured_cloud(points: NDArray[np.float32], rgb: NDArray[np.uint8], header: Header) -> PointCloud2:
    """An organised cloud of points (H, W, 3) in ``header``'s frame, NaN where there is none, and colours (H, W, 3).

    The colour is packed as PCL and RViz read it: 0x00RRGGBB in the bits of the float32 field ``rgb``.
    """
    height, width, _ = points.shape
    values = np.empty((height, width, 4), np.float32)
    values[..., :3] = points
    channels = rgb.astype(np.uint32)
    values.view(np.uint32)[..., 3] = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
    message = PointCloud2(header=header, height=height, width=width, fields=_FIELDS)
    message.point_step, message.row_step = 16, 16 * width
    message.is_bigendian = False
    message.is_dense = False
    data = array.array("B")
    data.frombytes(values.reshape(-1).view(np.uint8).data)
    message.data = data
    return message


def _check_alike(frame: PointmapFrame, first: PointmapFrame, camera: Camera) -> None:
    names, positions = list(frame.joint_state.name), frame.joint_state.position
    if names != list(first.joint_state.name) or len(positions) != len(names):
        raise ConditioningError(
            f"all frames must have positions of the joints {', '.join(first.joint_state.name)}, frame {frame.index} "
            f"has {len(positions)} of {', '.join(names)}"
        )
    if frame.tool_frame_id != first.tool_frame_id:
        raise ConditioningError(
            f"all frames must have the tool {first.tool_frame_id!r}, frame {frame.index} has {frame.tool_frame_id!r}"
        )
    if camera_from_message(frame.camera_info) != camera:
        raise ConditioningError(f"all frames must be of one camera, frame {frame.index} is of another")


def _pixels(
    message: Image, camera: Camera, what: str, encodings: tuple[str, ...], wanted: str = "passthrough"
) -> NDArray[Any]:
    """The pixels (H, W) or (H, W, C) of an image in one of ``encodings`` that has the camera's size."""
    if message.encoding not in encodings:
        raise ConditioningError(f"a {what} must be encoded as {' or '.join(encodings)}, got {message.encoding!r}")
    size = (camera.image_height, camera.image_width)
    if (message.height, message.width) != size:
        raise ConditioningError(
            f"a {what} must have the camera's size of {size[0]} rows x {size[1]} columns, got {message.height} x "
            f"{message.width}"
        )
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, wanted))
    except (CvBridgeError, ValueError, TypeError) as error:
        raise ConditioningError(f"a {what} is malformed: {error}") from error
