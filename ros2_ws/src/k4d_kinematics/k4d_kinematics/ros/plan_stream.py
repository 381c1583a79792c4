"""Plans of the pointmap node: from a trajectory to a published sequence, one frame at a time."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from k4d_msgs.msg import PointmapSequence
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from k4d_kinematics import se3
from k4d_kinematics.errors import CameraError, JointStateError, KinematicsError, RobotModelError, TransformError
from k4d_kinematics.pipeline import camera_transforms
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.camera_output import CameraOutput
from k4d_kinematics.ros.conversions import duration_message, time_message, transform_message
from k4d_kinematics.surface import RobotSurface
from k4d_kinematics.trajectory import JointTrajectory
from k4d_kinematics.transforms import TransformSource

_TICK = 0.002
_ERROR_CODES: dict[type[KinematicsError], int] = {
    CameraError: PointmapSequence.CAMERA_UNAVAILABLE,
    TransformError: PointmapSequence.TRANSFORM_UNAVAILABLE,
    RobotModelError: PointmapSequence.ROBOT_UNAVAILABLE,
    JointStateError: PointmapSequence.ROBOT_UNAVAILABLE,
}


@dataclass(frozen=True)
class Plan:
    """A future of the robot: its trajectory in the robot's joint order, and where it came from.

    ``transform_stamp_ns`` is when tf2 is asked for the cameras' places: the plan's own stamp, or 0 for the newest
    transforms where it has none. ``source`` is a SOURCE constant of PointmapSequence; ``held_frames`` are the frames
    whose tool pose could not be reached; ``remark`` says what an operator should know about the trajectory.
    """

    stamp_ns: int
    transform_stamp_ns: int
    trajectory: JointTrajectory
    source: int
    held_frames: tuple[int, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class CameraView:
    """How one camera looks at a plan: its output, and where tf2 had it relative to the link that it rides on."""

    output: CameraOutput
    mount_link: str
    transforms: TransformSource


def refusal(error: KinematicsError, camera: str, stamp_ns: int) -> PointmapSequence:
    """The summary of a plan that cannot be shown, with the reason."""
    code = _ERROR_CODES.get(type(error), PointmapSequence.INVALID_INPUT)
    header = Header(stamp=time_message(stamp_ns))
    return PointmapSequence(header=header, camera=camera, error_code=code, error_string=str(error))


class PlanStream:
    """Publishes the pointmaps of the newest plan without blocking: the next frame goes when the last has arrived."""

    def __init__(self, node: Node, robot: Robot, surface: RobotSurface, *, rgb: bool) -> None:
        self._robot, self._surface, self._rgb = robot, surface, rgb
        self._frames: Iterator[CameraOutput] | None = None
        self._last: CameraOutput | None = None
        self._timer = node.create_timer(_TICK, self._tick, autostart=False)

    @property
    def is_busy(self) -> bool:
        """Whether frames of a plan are still to be published."""
        return self._frames is not None

    def start(self, plan: Plan, views: list[CameraView]) -> None:
        """Replaces whatever is being published by ``plan``. Raises TransformError when a camera has no place."""
        T_base_link = self._robot.forward_kinematics(plan.trajectory.positions)  # (T, L, 4, 4)
        T_cam_base = [self._camera_transforms(plan, view, T_base_link) for view in views]
        summaries = [self._summary(plan, view) for view in views]
        for view, summary in zip(views, summaries, strict=True):
            view.output.summaries.publish(summary)
        outputs = [view.output for view in views]
        self._frames = self._publish_frames(plan, list(zip(outputs, summaries, T_cam_base, strict=True)), T_base_link)
        self._last = None
        self._timer.reset()

    def stop(self) -> None:
        """Drops the frames that have not been published."""
        self._frames = None
        self._timer.cancel()

    def _camera_transforms(self, plan: Plan, view: CameraView, T_base_link: se3.Array) -> se3.Array:
        frame = view.output.camera.frame_id
        times = plan.trajectory.times
        return camera_transforms(self._robot, T_base_link, times, frame, view.transforms, view.mount_link)

    def _tick(self) -> None:
        if self._frames is None:
            self._timer.cancel()
        elif self._last is None or self._last.frames.wait_for_all_acked(Duration()):
            self._last = next(self._frames, None)
            if self._last is None:
                self.stop()

    def _publish_frames(
        self, plan: Plan, announced: list[tuple[CameraOutput, PointmapSequence, se3.Array]], T_base_link: se3.Array
    ) -> Iterator[CameraOutput]:
        """Publishes one frame a step, camera by camera, and yields whose it was."""
        for output, summary, T_cam_base in announced:
            for index in range(len(plan.trajectory)):
                self._publish_frame(plan, output, summary, index, T_base_link[index], T_cam_base[index])
                yield output

    def _publish_frame(
        self,
        plan: Plan,
        output: CameraOutput,
        summary: PointmapSequence,
        index: int,
        T_base_link: se3.Array,
        T_cam_base: NDArray[np.float64],
    ) -> None:
        header = Header(stamp=summary.header.stamp, frame_id=output.camera.frame_id)
        frame = output.frame(self._surface, T_cam_base @ T_base_link, header, rgb=self._rgb)
        frame.sequence_id = summary.sequence_id
        frame.index = index
        frame.time_from_start = summary.time_from_start[index]
        frame.base_frame_id = summary.header.frame_id
        frame.t_base_cam = transform_message(se3.inverse(T_cam_base))
        frame.joint_state = JointState(
            header=Header(stamp=header.stamp),
            name=self._robot.joint_names,
            position=plan.trajectory.positions[index],
        )
        output.frames.publish(frame)

    def _summary(self, plan: Plan, view: CameraView) -> PointmapSequence:
        camera, root = view.output.camera, self._robot.link_names[0]
        return PointmapSequence(
            header=Header(stamp=time_message(plan.stamp_ns), frame_id=root),
            sequence_id=str(uuid.uuid4()),
            camera=view.output.name,
            source=plan.source,
            frame_count=len(plan.trajectory),
            time_from_start=[duration_message(float(time)) for time in plan.trajectory.times],
            height=camera.image_height,
            width=camera.image_width,
            camera_on_robot=view.mount_link != root,
            robot_name=self._robot.name,
            robot_sha256=self._robot.sha256,
            held_frames=list(plan.held_frames),
            error_code=PointmapSequence.UNREACHABLE if plan.held_frames else PointmapSequence.NONE,
            error_string=plan.remark,
        )
