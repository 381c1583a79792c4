"""A plan with what its prediction says: whether both are of one motion, and what speaks against it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from k4d_msgs.msg import PlanContact
from k4d_msgs.msg import Rollout as RolloutMessage
from numpy.typing import NDArray
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage
from trajectory_msgs.msg import JointTrajectoryPoint

from k4d_kinematics import JointTrajectory
from k4d_kinematics.composition import complete
from k4d_kinematics.errors import JointStateError, TrajectoryError
from k4d_kinematics.joint_agreement import SAME_COURSE, SAME_NUMBER
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import duration_message, trajectory_from_message
from k4d_kinematics.ros.plan_inputs import check_plan_size, displayed_points, displayed_trajectory
from k4d_world_model.plan_assessment import Assessment, Contact
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.plan_gate_config import PlanGateNodeConfig

# Of each stretch between two known moments so many parts are looked at.
_PARTS = 4


@dataclass(frozen=True, eq=False)
class ReceivedPlan:
    """A plan of the whole robot and the command that carries it out, which starts when it is sent.

    The command holds what is looked at, positions, velocities and times, and no accelerations or efforts, by which a
    controller would take another way.
    """

    trajectory: JointTrajectory
    command: JointTrajectoryMessage

    @classmethod
    def of_trajectory(
        cls, message: JointTrajectoryMessage, robot: Robot, positions: NDArray[np.float64], max_points: int
    ) -> "ReceivedPlan":
        """A planned_trajectory; joints that it does not name keep ``positions`` (J,).

        Raises TrajectoryError, also for more than ``max_points`` points and for a joint that the robot lacks.
        """
        check_plan_size(len(message.points), max_points)
        _check_joints(message.joint_names, robot)
        trajectory = complete(trajectory_from_message(message), robot, positions)
        return cls(trajectory, _command(trajectory.reorder(list(message.joint_names))))

    @classmethod
    def of_display(cls, message: Any, robot: Robot, positions: NDArray[np.float64], max_points: int) -> "ReceivedPlan":
        """A moveit_msgs/DisplayTrajectory; several parts become one command. Raises as ``of_trajectory`` does."""
        check_plan_size(displayed_points(message), max_points)
        # A joint that no part names may have been measured beyond its limit, which a controller refuses.
        named = {name for part in message.trajectory for name in part.joint_trajectory.joint_names}
        _check_joints(named, robot)
        trajectory = displayed_trajectory(message, robot, positions)
        return cls(trajectory, _command(trajectory.reorder([name for name in robot.joint_names if name in named])))

    def is_shown_by(self, rollout: Rollout, start_tolerance: float) -> bool:
        """Whether the rollout's robot moves as this plan does: joints of the command exactly so at each frame.

        In between no joint may go beyond what both frames show by more than SAME_COURSE; others may stand up to
        ``start_tolerance`` apart, since they are measured (rad or m).
        """
        if rollout.joints is None:
            return False
        if abs((rollout.times[-1] - rollout.times[0]) - self.trajectory.duration) > SAME_NUMBER:
            return False
        moments = rollout.times + (self.trajectory.times[0] - rollout.times[0])
        moments = np.clip(moments, *self.trajectory.times[[0, -1]])
        try:
            shown = rollout.joints.reorder(self.trajectory.joint_names).positions
        except JointStateError:
            return False
        commanded = np.isin(self.trajectory.joint_names, list(self.command.joint_names))
        gaps = np.abs(self.trajectory.resample(moments).positions - shown)
        return bool((gaps <= np.where(commanded, SAME_NUMBER, start_tolerance)).all()) and (
            len(moments) == 1 or self._overshoot(moments, shown)[commanded].max(initial=0.0) <= SAME_COURSE
        )

    def _overshoot(self, moments: NDArray[np.float64], shown: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each joint (J,) goes at most beyond the positions ``shown`` (T, J) before and after it."""
        known = np.union1d(moments, self.trajectory.times)
        parts = np.linspace(known[:-1], known[1:], _PARTS + 1).ravel()
        between = self.trajectory.resample(np.unique(np.clip(parts, *self.trajectory.times[[0, -1]])))
        after = np.clip(np.searchsorted(moments, between.times), 1, len(moments) - 1)
        low, high = np.minimum(shown[after - 1], shown[after]), np.maximum(shown[after - 1], shown[after])
        return np.asarray(np.maximum(low - between.positions, between.positions - high).max(axis=0))

    def distance_from(self, positions: NDArray[np.float64]) -> tuple[str, float]:
        """The joint that is farthest from where the plan starts, and by how much (rad or m)."""
        gaps = np.abs(positions - self.trajectory.positions[0])
        worst = int(np.argmax(gaps))
        return self.trajectory.joint_names[worst], float(gaps[worst])


def _check_joints(names: Iterable[str], robot: Robot) -> None:
    unknown = sorted(set(names) - set(robot.joint_names))
    if unknown:
        raise TrajectoryError(
            f"a plan to be sent on moves {', '.join(unknown)}, which no prediction shows; "
            f"valid joints are {', '.join(robot.joint_names)}"
        )


def concerns(summary: RolloutMessage, assessment: Assessment, config: PlanGateNodeConfig) -> list[str]:
    """What speaks against a plan, in words."""
    found = []
    if not summary.robot_sha256:
        found.append("the prediction does not say of which robot it is")
    if not summary.metric:
        found.append("the prediction has no metres: its points could not be fitted to the robot")
    elif not summary.metric_residual <= config.metric_residual:
        found.append(
            f"predicted robot points are {summary.metric_residual * 1000:.1f} mm off, "
            f"not within {config.metric_residual * 1000:.1f} mm"
        )
    if assessment.blind:
        found.append(f"{assessment.blind} of {summary.frame_count} predicted frames show nothing but the robot")
    for contact in assessment.standing:
        if not contact.is_tool:
            found.append(f"{_described(contact)}, from the beginning on: what it touches then is not looked at")
    found += [_described(contact) for contact in assessment.contacts if not contact.is_tool]
    if not np.isfinite(assessment.clearance):
        found.append("no moving link but the tool's could be held against any scene")
    elif assessment.clearance < config.clearance:
        found.append(
            f"links other than the tool's keep {assessment.clearance * 1000:.0f} mm from the scene, "
            f"less than {config.clearance * 1000:.0f} mm"
        )
    return found


def _described(contact: Contact) -> str:
    x, y, z = contact.point_base
    near = f"comes within {contact.distance * 1000:.0f} mm of" if contact.distance else "goes into"
    return (
        f"{contact.link} {near} the scene at ({x:.2f}, {y:.2f}, {z:.2f}) m, "
        f"{contact.times[0]:.2f} to {contact.times[1]:.2f} s"
    )


def contact_messages(assessment: Assessment) -> list[PlanContact]:
    """Contacts as messages."""
    messages = []
    for contact in assessment.contacts:
        message = PlanContact(link=contact.link, is_tool=contact.is_tool, distance=contact.distance)
        message.start, message.end = map(duration_message, contact.times)
        message.point.x, message.point.y, message.point.z = contact.point_base.tolist()
        messages.append(message)
    return messages


def _command(trajectory: JointTrajectory) -> JointTrajectoryMessage:
    velocities = trajectory.velocities
    points = [
        JointTrajectoryPoint(
            positions=trajectory.positions[k].tolist(),
            velocities=[] if velocities is None else velocities[k].tolist(),
            time_from_start=duration_message(float(trajectory.times[k])),
        )
        for k in range(len(trajectory))
    ]
    return JointTrajectoryMessage(joint_names=list(trajectory.joint_names), points=points)
