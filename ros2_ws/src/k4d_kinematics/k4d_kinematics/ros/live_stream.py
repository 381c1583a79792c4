"""Live pointmaps: each waits until the joints and the camera's place at its stamp are known, and is then published."""

import time
from collections import deque
from dataclasses import dataclass

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from tf2_ros import Buffer

from k4d_kinematics import se3
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.joint_buffer import JointBuffer
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.camera_output import CameraOutput
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.pointmap_config import PointmapNodeConfig
from k4d_kinematics.ros.tf_transforms import TfSnapshot
from k4d_kinematics.surface import RobotSurface

_RETRY_PERIOD = 0.005
_STALE_AFTER = 2.0


@dataclass(frozen=True)
class _Pending:
    output: CameraOutput
    stamp_ns: int
    deadline: float  # seconds of the monotonic clock, which also runs where the simulated one is paused


class LiveStream:
    """Publishes pointmaps of asked stamps in order, or reports why one could not be made within the timeout."""

    def __init__(
        self,
        node: Node,
        robot: Robot,
        surface: RobotSurface,
        joints: JointBuffer,
        transforms: Buffer,
        diagnostics: Diagnostics,
        config: PointmapNodeConfig,
    ) -> None:
        self._robot, self._surface, self._joints = robot, surface, joints
        self._transforms, self._diagnostics = transforms, diagnostics
        self._frame_prefix, self._timeout = config.frame_prefix, config.transform_timeout
        self._pending: deque[_Pending] = deque()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.timer = node.create_timer(_RETRY_PERIOD, self.drain, clock=steady, autostart=False)

    def ask(self, output: CameraOutput, stamp_ns: int) -> None:
        """Asks for the pointmap of one camera at one stamp."""
        self._pending.append(_Pending(output, stamp_ns, time.monotonic() + self._timeout))
        self.drain()

    def drain(self) -> None:
        """Publishes what can be published now; called again by a timer while anything waits."""
        waiting: deque[_Pending] = deque()
        for item in self._pending:
            condition = f"camera {item.output.name}"
            try:
                self._publish(item)
            except KinematicsError as error:
                if time.monotonic() < item.deadline:
                    waiting.append(item)
                else:
                    self._diagnostics.error(condition, f"dropped a pointmap after {self._timeout} s: {error}")
            else:
                self._diagnostics.ok(condition, "publishing", stale_after=_STALE_AFTER)
        self._pending = waiting
        if waiting and self.timer.is_canceled():
            self.timer.reset()
        elif not waiting:
            self.timer.cancel()

    def clear(self) -> None:
        """Forgets what waits, as when the clock jumps back."""
        self._pending.clear()

    def _publish(self, item: _Pending) -> None:
        T_base_link = self._robot.forward_kinematics(self._joints.at(item.stamp_ns))  # (L, 4, 4)
        snapshot = TfSnapshot(self._transforms, item.stamp_ns, self._frame_prefix)
        T_base_cam = snapshot.lookup(self._robot.link_names[0], item.output.camera.frame_id, 0.0)
        item.output.publish_live(self._surface, se3.inverse(T_base_cam) @ T_base_link, item.stamp_ns)
