"""Messages that describe a robot's future, as plans of the whole robot."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseArray
from k4d_msgs.msg import PointmapSequence
from moveit_msgs.msg import DisplayTrajectory
from nav_msgs.msg import Path as PathMessage
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from tf2_ros import Buffer
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics.composition import complete, concatenate, hold_velocities, sampled_from
from k4d_kinematics.errors import JointStateError, TrajectoryError
from k4d_kinematics.ik import follow_tool_path
from k4d_kinematics.joint_buffer import JointBuffer
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import nanoseconds, tool_path_from_message, trajectory_from_message
from k4d_kinematics.ros.kinematics_backend import OpenedKinematics
from k4d_kinematics.ros.plan import Plan
from k4d_kinematics.ros.pointmap_config import PointmapNodeConfig
from k4d_kinematics.ros.tf_transforms import TfSnapshot
from k4d_kinematics.trajectory import JointTrajectory


class PlanInputs:
    """Turns messages into plans that start at the newest joint state; raises KinematicsError on what is not usable.

    ``kinematics`` is None where no tool is known.
    A message without a stamp starts at ``now_ns``, as it does for trajectory controllers.
    """

    def __init__(
        self,
        robot: Robot,
        tool_link: str,
        joints: JointBuffer,
        transforms: Buffer,
        config: PointmapNodeConfig,
        kinematics: OpenedKinematics | None,
    ) -> None:
        self._robot, self._joints, self._transforms, self._config = robot, joints, transforms, config
        self.tool_link = tool_link
        self._kinematics = kinematics

    def planned_trajectory(self, message: JointTrajectoryMessage, now_ns: int) -> Plan:
        """A planned trajectory; joints that it does not name keep their positions."""
        self._check_size(len(message.points))
        trajectory = complete(trajectory_from_message(message), self._robot, self._joints.newest)
        return self._plan(message.header, now_ns, trajectory, PointmapSequence.SOURCE_PLANNED_TRAJECTORY)

    def displayed_path(self, message: DisplayTrajectory, now_ns: int) -> Plan:
        """A moveit_msgs/DisplayTrajectory: its trajectories one after the other, from its own start state.

        Joints that neither the trajectories nor the start state name keep their positions.
        """
        self._check_size(displayed_points(message))
        whole = displayed_trajectory(message, self._robot, self._joints.newest)
        return self._plan(Header(), now_ns, whole, PointmapSequence.SOURCE_DISPLAYED_PATH)

    def tool_path(self, message: PathMessage | PoseArray, now_ns: int) -> Plan:
        """A path of tool poses in any frame that tf2 knows, solved by inverse kinematics."""
        if self._kinematics is None:
            raise TrajectoryError("a tool path needs the parameter tool_link, or a robot YAML that names one")
        self._check_size(len(message.poses))
        T_frame_tool, times = tool_path_from_message(message, self._config.tool_path_rate_hz)
        snapshot = TfSnapshot(self._transforms, nanoseconds(message.header.stamp), self._config.frame_prefix)
        T_base_frame = snapshot.lookup(self._robot.link_names[0], message.header.frame_id, 0.0)
        result = follow_tool_path(self._kinematics.solver, T_base_frame @ T_frame_tool, times, self._joints.newest)
        held = tuple(failure.frame for failure in result.failures)
        source = PointmapSequence.SOURCE_TOOL_PATH
        return self._plan(message.header, now_ns, result.trajectory, source, held, result.describe_failures())

    def joint_velocities(self, message: JointState, now_ns: int) -> Plan:
        """Commanded joint velocities, held for the configured horizon."""
        self._check_size(len(message.name))
        result = hold_velocities(
            self._robot,
            self._joints.newest,
            list(message.name),
            list(message.velocity),
            horizon=self._config.velocity_horizon,
            count=self._config.plan_frames,
        )
        source = PointmapSequence.SOURCE_JOINT_VELOCITIES
        return self._plan(message.header, now_ns, result.trajectory, source, remark=result.describe_stops())

    def _plan(
        self,
        header: Header,
        now_ns: int,
        trajectory: JointTrajectory,
        source: int,
        held: tuple[int, ...] = (),
        remark: str = "",
    ) -> Plan:
        frames = trajectory.resample_uniform(self._config.plan_frames) if len(trajectory) > 1 else trajectory
        from_held = sampled_from(frames.times, trajectory.times, trajectory.times[list(held)])  # (T,)
        held_frames = tuple(int(index) for index in np.flatnonzero(from_held))
        stamp_ns = nanoseconds(header.stamp)
        return Plan(stamp_ns or now_ns, stamp_ns, frames, source, held_frames, remark)

    def _check_size(self, count: int) -> None:
        check_plan_size(count, self._config.max_points)


def check_plan_size(count: int, most: int) -> None:
    """Raises TrajectoryError unless a plan holds 1 to ``most`` points: before anything of it is converted."""
    if not 1 <= count <= most:
        raise TrajectoryError(f"a plan must hold 1 to {most} points, got {count}")


def displayed_points(message: DisplayTrajectory) -> int:
    """How many points all trajectories of a moveit_msgs/DisplayTrajectory hold together."""
    return sum(len(part.joint_trajectory.points) for part in message.trajectory)


def displayed_trajectory(message: DisplayTrajectory, robot: Robot, positions: NDArray[np.float64]) -> JointTrajectory:
    """The trajectories of a moveit_msgs/DisplayTrajectory one after the other, of all the robot's joints.

    Joints that neither the trajectories nor the start state name keep ``positions`` (J,). Raises TrajectoryError when
    joints of several degrees of freedom move, a trajectory does not begin where the one before ended, or a trajectory
    or the start state is not usable.
    """
    if any(part.multi_dof_joint_trajectory.points for part in message.trajectory):
        raise TrajectoryError("a displayed path must move single joints, got multi-degree-of-freedom joints")
    q_start = _start_positions(message.trajectory_start.joint_state, robot, positions)
    parts = [trajectory_from_message(part.joint_trajectory) for part in message.trajectory]
    return concatenate(parts, robot, q_start)


def _start_positions(start: JointState, robot: Robot, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    known = dict(zip(robot.joint_names, positions.tolist(), strict=True))
    if len(start.name) != len(start.position):
        raise TrajectoryError(
            f"the start state must have one position a name, got {len(start.position)} for {len(start.name)}"
        )
    known.update(zip(start.name, start.position, strict=True))
    try:
        return robot.order_positions(list(known), list(known.values()))
    except JointStateError as error:
        raise TrajectoryError(f"the start state is not usable: {error}") from error


@dataclass(frozen=True)
class PlanTopic:
    """A topic that brings plans: its name, its message type, the SOURCE constant of PointmapSequence that stands for
    it, and what makes a plan of a message at a moment in ns.
    """

    name: str
    message_type: type
    source: int
    convert: Callable[[PlanInputs, Any, int], Plan]


def plan_topics(tool_path_type: str) -> list[PlanTopic]:
    """The topics that bring plans, MoveIt's among them."""
    path_type = PathMessage if tool_path_type == "nav_msgs/Path" else PoseArray
    return [
        PlanTopic(
            "planned_trajectory",
            JointTrajectoryMessage,
            PointmapSequence.SOURCE_PLANNED_TRAJECTORY,
            PlanInputs.planned_trajectory,
        ),
        PlanTopic(
            "display_planned_path",
            DisplayTrajectory,
            PointmapSequence.SOURCE_DISPLAYED_PATH,
            PlanInputs.displayed_path,
        ),
        PlanTopic("tool_path", path_type, PointmapSequence.SOURCE_TOOL_PATH, PlanInputs.tool_path),
        PlanTopic(
            "joint_velocities", JointState, PointmapSequence.SOURCE_JOINT_VELOCITIES, PlanInputs.joint_velocities
        ),
    ]
