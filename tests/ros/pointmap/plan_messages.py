"""Plans, tool paths and what comes back, for the tests of plans."""

from typing import Any

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from nav_msgs.msg import Path as PathMessage
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from k4d_kinematics import se3
from k4d_kinematics.robot_configuration import ConfiguredRobot
from k4d_kinematics.ros.conversions import duration_message, time_message

from .conftest import PLAN, START_NS, Graph, Received

FRAMES = 7


SEQUENCE, FRAME = PLAN.items()


ARM = tuple(f"panda_joint{index}" for index in range(1, 8))


def plan_message(names: tuple[str, ...], positions: np.ndarray, times: list[float]) -> JointTrajectory:
    message = JointTrajectory(joint_names=names)
    message.header.stamp = time_message(START_NS)
    for row, time in zip(positions, times, strict=True):
        point = JointTrajectoryPoint(positions=row.tolist(), time_from_start=duration_message(time))
        message.points.append(point)
    return message


def collect(graph: Graph, camera: str) -> tuple[Received, Received]:
    return tuple(graph.receive(kind, f"{camera}/robot/{topic}") for topic, kind in PLAN.items())


def complete(summaries: Received, frames: Received) -> bool:
    return bool(summaries.messages) and len(frames.messages) == summaries.messages[-1].frame_count > 0


def shown(frame: Any) -> np.ndarray:
    image = frame.pointmap
    return np.frombuffer(image.data, np.float32).reshape(image.height, image.width, 3)


def path_message(kind: str, frame_id: str, T_frame_tool: np.ndarray) -> PathMessage | PoseArray:
    message = PathMessage() if kind == "nav_msgs/Path" else PoseArray()
    message.header.frame_id = frame_id
    for index, T in enumerate(T_frame_tool):
        xyz, xyzw = se3.to_xyzw(T)
        item = PoseStamped()
        item.header.frame_id = frame_id
        item.header.stamp = time_message(START_NS + index * 1_000_000_000)
        item.pose.position.x, item.pose.position.y, item.pose.position.z = xyz.tolist()
        orientation = item.pose.orientation
        orientation.x, orientation.y, orientation.z, orientation.w = xyzw.tolist()
        message.poses.append(item if isinstance(message, PathMessage) else item.pose)
    return message


def simple_plan(panda: ConfiguredRobot, stamp_ns: int = START_NS) -> JointTrajectory:
    message = plan_message(ARM, np.stack([panda.home[:7], panda.home[:7] + 0.2]), [0.0, 1.0])
    message.header.stamp = time_message(stamp_ns)
    return message
