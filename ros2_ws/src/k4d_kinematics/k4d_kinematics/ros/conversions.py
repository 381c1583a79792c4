"""ROS messages to and from the core's arrays and dataclasses."""

import array

import numpy as np
from builtin_interfaces.msg import Duration as DurationMessage
from builtin_interfaces.msg import Time as TimeMessage
from cv_bridge import CvBridge
from geometry_msgs.msg import Pose, PoseArray, Transform
from nav_msgs.msg import Path as PathMessage
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera, RegionOfInterest
from k4d_kinematics.errors import TrajectoryError, TransformError
from k4d_kinematics.trajectory import JointTrajectory

_NANOSECONDS = 1_000_000_000
_XYZ_FLOAT32 = [
    PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1) for index, name in enumerate("xyz")
]


def nanoseconds(moment: TimeMessage | DurationMessage) -> int:
    """A stamp or duration as whole nanoseconds."""
    return int(moment.sec) * _NANOSECONDS + int(moment.nanosec)


def seconds(duration: DurationMessage) -> float:
    """A duration in seconds."""
    return nanoseconds(duration) / _NANOSECONDS


def time_message(stamp_ns: int) -> TimeMessage:
    """A stamp from whole nanoseconds."""
    return TimeMessage(sec=stamp_ns // _NANOSECONDS, nanosec=stamp_ns % _NANOSECONDS)


def duration_message(duration: float) -> DurationMessage:
    """A duration from seconds, rounded to the nearest nanosecond."""
    total = round(duration * _NANOSECONDS)
    return DurationMessage(sec=total // _NANOSECONDS, nanosec=total % _NANOSECONDS)


def transform_from_message(transform: Transform) -> se3.Array:
    """``T_parent_child`` (4, 4). Raises TransformError on non-finite numbers or a quaternion that is not of norm 1."""
    p, q = transform.translation, transform.rotation
    return se3.from_xyzw((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))


def transform_message(T_parent_child: se3.Array) -> Transform:
    """A message from a rigid transform (4, 4)."""
    p, q = se3.to_xyzw(T_parent_child)
    message = Transform()
    message.translation.x, message.translation.y, message.translation.z = p.tolist()
    message.rotation.x, message.rotation.y, message.rotation.z, message.rotation.w = q.tolist()
    return message


def pose_from_message(pose: Pose) -> se3.Array:
    """``T_frame_pose`` (4, 4). Raises TransformError as ``transform_from_message`` does."""
    p, q = pose.position, pose.orientation
    return se3.from_xyzw((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))


def tool_path_from_message(message: PathMessage | PoseArray, rate_hz: float) -> tuple[se3.Array, NDArray[np.float64]]:
    """Poses (T, 4, 4) in the message's frame and their times (T,) in seconds from the first.

    A Path's own stamps are the times when they differ; a PoseArray, or a Path whose stamps are all the same, is played
    at ``rate_hz``. Raises TrajectoryError when it is empty or a pose is malformed.
    """
    stamped = message.poses if isinstance(message, PathMessage) else []
    poses = [item.pose for item in stamped] if stamped else list(message.poses)
    if not poses:
        raise TrajectoryError("a tool path must hold at least one pose, got none")
    for item in stamped:
        if item.header.frame_id not in ("", message.header.frame_id):
            raise TrajectoryError(
                f"all poses of a path must be in its frame {message.header.frame_id!r}, got {item.header.frame_id!r}"
            )
    stamps_ns = [nanoseconds(item.header.stamp) for item in stamped]
    if len(set(stamps_ns)) > 1:
        times = (np.array(stamps_ns) - stamps_ns[0]) / _NANOSECONDS
    else:
        times = np.arange(len(poses)) / rate_hz
    try:
        return np.stack([pose_from_message(pose) for pose in poses]), times
    except TransformError as error:
        raise TrajectoryError(f"a tool path must hold rigid poses: {error}") from error


def trajectory_from_message(message: JointTrajectoryMessage) -> JointTrajectory:
    """A planned trajectory of the joints that it names, times from its start.

    Raises TrajectoryError when it is empty, or its points have no positions or lengths that do not fit the names.
    """
    if not message.points:
        raise TrajectoryError("a planned trajectory must hold at least one point, got none")
    positions = [list(point.positions) for point in message.points]
    velocities = [list(point.velocities) for point in message.points]
    if any(velocities) and not all(velocities):
        raise TrajectoryError("a planned trajectory must have velocities at all of its points or at none")
    return JointTrajectory.from_points(
        list(message.joint_names),
        positions,
        [seconds(point.time_from_start) for point in message.points],
        velocities if all(velocities) else None,
    )


def camera_from_message(message: CameraInfo) -> Camera:
    """The camera of a CameraInfo. Raises CameraError when it is uncalibrated, empty or malformed."""
    part = message.roi
    return Camera(
        height=int(message.height),
        width=int(message.width),
        K=np.array(message.k).reshape(3, 3),
        D=tuple(message.d),
        distortion_model=message.distortion_model,
        R=np.array(message.r).reshape(3, 3),
        P=np.array(message.p).reshape(3, 4),
        binning_x=int(message.binning_x),
        binning_y=int(message.binning_y),
        roi=RegionOfInterest(part.x_offset, part.y_offset, part.height, part.width, part.do_rectify),
        frame_id=message.header.frame_id,
    )


def camera_message(camera: Camera, stamp: TimeMessage) -> CameraInfo:
    """A CameraInfo of the camera at ``stamp``."""
    message = CameraInfo(
        header=Header(stamp=stamp, frame_id=camera.frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model=camera.distortion_model,
        d=list(camera.D),
        k=camera.K.ravel(),
        r=camera.R.ravel(),
        p=camera.P.ravel(),
        binning_x=camera.binning_x,
        binning_y=camera.binning_y,
    )
    roi = camera.roi
    message.roi.x_offset, message.roi.y_offset = roi.x_offset, roi.y_offset
    message.roi.height, message.roi.width, message.roi.do_rectify = roi.height, roi.width, roi.do_rectify
    return message


def mask_message(bridge: CvBridge, mask: NDArray[np.bool_], header: Header) -> Image:
    """A mono8 image, 255 where ``mask`` (H, W) is True, 0 elsewhere."""
    return bridge.cv2_to_imgmsg(mask.view(np.uint8) * np.uint8(255), "mono8", header=header)


def cloud_message(points_cam: NDArray[np.float32], data: "array.array[int]", header: Header) -> PointCloud2:
    """An organised cloud of points (H, W, 3), NaN where there is none; ``data`` is their bytes, which are not copied.

    The rows are the image's rows: height H and width W, where sensor_msgs_py takes them the other way round.
    """
    height, width, _ = points_cam.shape
    message = PointCloud2(header=header, height=height, width=width, fields=_XYZ_FLOAT32)
    message.point_step, message.row_step = 12, 12 * width
    message.is_bigendian = False
    message.is_dense = False
    message.data = data
    return message
