"""One frame of a rollout on standard topics: picture, coloured cloud and calibration."""

import numpy as np
from cv_bridge import CvBridge
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_ros import Buffer, TransformListener

from k4d_kinematics import se3
from k4d_kinematics.ros.camera_output import image_qos
from k4d_kinematics.ros.conversions import camera_message, time_message
from k4d_kinematics.ros.tf_transforms import TfSnapshot
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.conversions import coloured_cloud


class PredictedTopics:
    """Publishes ``<prefix>/image``, ``<prefix>/points`` and ``<prefix>/camera_info``, all three with the same stamp.

    points_frame: TF frame of the cloud; empty is the camera's optical frame. Into any other one it goes through the
    robot's base frame, by the camera's known place in it at each frame, so that a camera on the robot is right, too.
    """

    def __init__(self, node: Node, prefix: str, points_frame: str) -> None:
        self._bridge = CvBridge()
        self._points_frame = points_frame
        self._transforms = Buffer(node=node) if points_frame else None
        self._listener = TransformListener(self._transforms, node) if self._transforms is not None else None
        overridable = QoSOverridingOptions.with_default_policies()

        def publisher(kind: type, topic: str) -> Publisher:
            return node.create_publisher(kind, f"{prefix}/{topic}", image_qos(), qos_overriding_options=overridable)

        self._image, self._points = publisher(Image, "image"), publisher(PointCloud2, "points")
        self._camera_info = publisher(CameraInfo, "camera_info")

    @property
    def publishers(self) -> list[Publisher]:
        """Those whose arrival is worth waiting for: Fast DDS acknowledges small messages seconds later."""
        return [self._image, self._points]

    def place(self, base_frame_id: str, stamp_ns: int) -> se3.Array | None:
        """T_points_base (4, 4) in TF at a stamp, 0 for the newest; None where points stay in the camera's frame.

        Raises TransformError as tf2 says.
        """
        if self._transforms is None:
            return None
        return TfSnapshot(self._transforms, stamp_ns).lookup(self._points_frame, base_frame_id, 0.0)

    def publish(self, rollout: Rollout, index: int, stamp_ns: int, T_points_base: se3.Array | None) -> None:
        """Publishes a frame, as far as somebody listens; no points where their place is not known."""
        header = Header(stamp=time_message(stamp_ns), frame_id=rollout.camera.frame_id)
        if self._image.get_subscription_count():
            self._image.publish(self._bridge.cv2_to_imgmsg(rollout.rgb[index], "rgb8", header=header))
        if self._camera_info.get_subscription_count():
            self._camera_info.publish(camera_message(rollout.camera, header.stamp))
        if self._points.get_subscription_count() and (self._transforms is None or T_points_base is not None):
            points = _placed(rollout, index, T_points_base)
            frame_id = self._points_frame or rollout.camera.frame_id
            self._points.publish(
                coloured_cloud(points, rollout.rgb[index], Header(stamp=header.stamp, frame_id=frame_id))
            )


def _placed(rollout: Rollout, index: int, T_points_base: se3.Array | None) -> NDArray[np.float32]:
    points_cam = rollout.points[index]
    if T_points_base is None:
        return points_cam
    T_points_cam = T_points_base @ se3.inverse(rollout.T_cam_base[index])
    return se3.transform_points(T_points_cam, points_cam.reshape(-1, 3)).reshape(points_cam.shape).astype(np.float32)
