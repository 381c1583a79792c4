"""One camera's pointmaps of a plan, published frame by frame as the consumers take them."""

import time
import uuid

from cv_bridge import CvBridge
from k4d_msgs.msg import PointmapFrame, PointmapSequence
from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from k4d_kinematics import se3
from k4d_kinematics.pipeline import camera_transforms
from k4d_kinematics.rendering import RobotImage
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.camera_output import CameraOutput
from k4d_kinematics.ros.conversions import (
    camera_message,
    duration_message,
    mask_message,
    time_message,
    transform_message,
)
from k4d_kinematics.ros.plan import Plan
from k4d_kinematics.surface import RobotSurface
from k4d_kinematics.tool_path import tool_path
from k4d_kinematics.transforms import TransformSource


class CameraSequence:
    """The frames of one plan for one camera; what the plan was accepted with stays, even if the camera changes."""

    def __init__(
        self,
        plan: Plan,
        robot: Robot,
        surface: RobotSurface,
        output: CameraOutput,
        transforms: TransformSource,
        *,
        mount_link: str,
        tool_link: str,
        frame_prefix: str,
        rgb: bool,
        patience: float,
    ) -> None:
        """``patience``: seconds that a consumer may hold up the others at each frame.

        Raises CameraError without a calibration, TransformError where the camera's place is not known.
        """
        self.output = output
        self.lost = False
        self._plan, self._robot, self._rgb, self._patience = plan, robot, rgb, patience
        self._renderer = output.renderer(surface, rgb=rgb)
        self._bridge = CvBridge()
        self._image: RobotImage | None = None
        camera = self._renderer.camera
        self._T_base_link = robot.forward_kinematics(plan.trajectory.positions)  # (T, L, 4, 4)
        self._T_cam_base = camera_transforms(
            robot, self._T_base_link, plan.trajectory.times, camera.frame_id, transforms, mount_link
        )
        self._tool_frame = frame_prefix + tool_link if tool_link else ""
        self._tool = tool_path(robot, tool_link, plan.trajectory.positions) if tool_link else None
        self._index = 0
        self._sent_at = time.monotonic()
        root = robot.link_names[0]
        self.summary = PointmapSequence(
            header=Header(stamp=time_message(plan.stamp_ns), frame_id=frame_prefix + root),
            sequence_id=str(uuid.uuid4()),
            camera=output.name,
            source=plan.source,
            frame_count=len(plan.trajectory),
            time_from_start=[duration_message(float(moment)) for moment in plan.trajectory.times],
            height=camera.image_height,
            width=camera.image_width,
            camera_on_robot=mount_link != root,
            robot_name=robot.name,
            robot_sha256=robot.sha256,
            held_frames=list(plan.held_frames),
            error_code=PointmapSequence.UNREACHABLE if plan.held_frames else PointmapSequence.NONE,
            error_string=plan.remark,
        )

    @property
    def is_done(self) -> bool:
        """Whether all frames have been published."""
        return self._index == len(self._plan.trajectory)

    def step(self) -> None:
        """Publishes the next frame once the last has arrived; renders nothing while nobody listens.

        Once the patience with a consumer is over the frame goes out all the same, and ``lost`` tells that one may be
        lost.
        """
        publisher = self.output.frames
        if not publisher.wait_for_all_acked(Duration()):
            if time.monotonic() < self._sent_at + self._patience:
                return
            self.lost = True
        if publisher.get_subscription_count():
            publisher.publish(self._frame(self._index))
            self._sent_at = time.monotonic()
        self._index += 1

    def _frame(self, index: int) -> PointmapFrame:
        T_cam_base = self._T_cam_base[index]
        self._image = self._renderer.render(T_cam_base @ self._T_base_link[index], reuse=self._image)
        camera, stamp = self._renderer.camera, self.summary.header.stamp
        header = Header(stamp=stamp, frame_id=camera.frame_id)
        frame = PointmapFrame(
            header=header,
            sequence_id=self.summary.sequence_id,
            index=index,
            time_from_start=self.summary.time_from_start[index],
            base_frame_id=self.summary.header.frame_id,
            t_base_cam=transform_message(se3.inverse(T_cam_base)),
            camera_info=camera_message(camera, stamp),
            pointmap=self._bridge.cv2_to_imgmsg(self._image.points_cam, "32FC3", header=header),
            mask=mask_message(self._bridge, self._image.mask, header),
        )
        frame.joint_state = JointState(
            header=Header(stamp=stamp), name=self._robot.joint_names, position=self._plan.trajectory.positions[index]
        )
        if self._tool is not None:
            frame.tool_frame_id = self._tool_frame
            frame.t_base_tool = transform_message(self._tool.T_base_tool[index])
            frame.gripper_opening = float(self._tool.opening[index])
        if self._rgb:
            frame.rgb = self._bridge.cv2_to_imgmsg(self._image.rgb, "rgb8", header=header)
        return frame
