"""Everything that one prediction starts from, as it was received, and the conditioning that it makes."""

from dataclasses import dataclass, replace

import numpy as np
from k4d_msgs.msg import PointmapFrame
from k4d_msgs.msg import PointmapSequence as PointmapSequenceMessage
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image

from k4d_kinematics import Camera, PointmapSequence
from k4d_kinematics.errors import CameraError
from k4d_kinematics.ros.conversions import camera_from_message
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.rectification import Rectification, rectification
from k4d_world_model.errors import ConditioningError, RejectedEpisodeError
from k4d_world_model.ros.conversions import depth, picture, pointmaps


@dataclass(frozen=True)
class Observation:
    """A plan's robot pointmaps, and the picture, calibration and depth image nearest to its start."""

    summary: PointmapSequenceMessage
    frames: list[PointmapFrame]
    image: Image
    camera_info: CameraInfo
    depth: Image | None = None

    @property
    def remark(self) -> str:
        """What is not in it and which parameter brings it, for a model that asks for it; empty where all is there."""
        remarks = []
        if not self.frames[0].rgb.height:
            remarks.append("the pointmaps came without colours (plan_rgb of k4d_pointmap_node)")
        if self.depth is None:
            remarks.append("there is no depth image (depth of k4d_prediction_node)")
        return "".join(f"; {remark}" for remark in remarks)

    def conditioning(self) -> Conditioning:
        """The conditioning of these messages, without lens distortion.

        Raises ConditioningError when they do not fit each other, or the lens cannot be rectified.
        """
        robot = pointmaps(self.summary, self.frames)
        camera = calibration(self.camera_info)
        if camera != robot.camera:
            raise ConditioningError(
                f"picture and pointmaps must be of one camera with one calibration; the pointmaps' is "
                f"{_named(robot.camera)}, the picture's is {_named(camera)}"
            )
        rectified = lens_rectification(camera)
        first_points = None if self.depth is None else rectified_points(rectified, depth(self.depth, camera))
        return Conditioning.from_pointmaps(
            rectified.picture(picture(self.image, camera)),
            _rectified(robot, rectified),
            first_points=first_points,
            robot_sha256=self.summary.robot_sha256,
        )


def calibration(message: CameraInfo) -> Camera:
    """The camera of a picture's camera_info. Raises ConditioningError when it is not usable."""
    try:
        return camera_from_message(message)
    except CameraError as error:
        raise ConditioningError(f"the picture's camera_info is not usable: {error}") from error


def lens_rectification(camera: Camera) -> Rectification:
    """What takes the lens out of pictures; the camera must stay where it is, since its points name its frame.

    Raises ConditioningError when that is not possible.
    """
    try:
        rectified = rectification(camera)
    except RejectedEpisodeError as error:
        raise ConditioningError(f"the camera's lens cannot be rectified: {error}") from error
    if not np.allclose(rectified.T_cam_rect, np.eye(4), atol=1e-9):
        raise ConditioningError(
            "a distorted camera's R must be the identity: one eye of a stereo pair is not supported"
        )
    return rectified


def _rectified(robot: PointmapSequence, rectified: Rectification) -> PointmapSequence:
    if rectified.source_px is None:
        return replace(robot, camera=rectified.camera)
    points = np.stack([rectified_points(rectified, frame[..., 2]) for frame in robot.points_cam])
    rgb = None if robot.rgb is None else np.stack([rectified.picture(frame) for frame in robot.rgb])
    return replace(
        robot, camera=rectified.camera, points_cam=points, mask=np.isfinite(points[..., 2]), rgb=rgb, link_ids=None
    )


def rectified_points(rectified: Rectification, raw_depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points (H, W, 3) on the rays of the undistorted camera, of z-depths (H, W) of the raw one."""
    z = rectified.depth(raw_depth)[..., None]  # (H, W, 1)
    return np.concatenate([rectified.camera.rays().astype(np.float32) * z, z], axis=-1)


def _named(camera: Camera) -> str:
    M = camera.matrix
    lens = "distorted" if camera.is_distorted else "undistorted"
    return (
        f"{camera.frame_id!r} {camera.image_height} x {camera.image_width} fx {M[0, 0]:.6g} fy {M[1, 1]:.6g} "
        f"cx {M[0, 2]:.6g} cy {M[1, 2]:.6g}, {lens}"
    )
