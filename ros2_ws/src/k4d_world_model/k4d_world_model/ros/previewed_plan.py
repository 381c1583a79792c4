"""A plan with what its prediction says: whether both are of one motion, and what speaks against it."""

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
from k4d_kinematics.errors import JointStateError
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import duration_message, trajectory_from_message
from k4d_kinematics.ros.plan_inputs import displayed_trajectory
from k4d_world_model.plan_assessment import Assessment
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.plan_gate_config import PlanGateNodeConfig

# Frames say their moments in whole nanoseconds: what a joint may move in two of them at 10 rad/s, and rounding.
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class ReceivedPlan:
    """A plan of the whole robot and the command that carries it out, which starts when it is sent."""

    trajectory: JointTrajectory
    command: JointTrajectoryMessage

    @classmethod
    def of_trajectory(
        cls, message: JointTrajectoryMessage, robot: Robot, positions: NDArray[np.float64]
    ) -> "ReceivedPlan":
        """A planned_trajectory; joints that it does not name keep ``positions`` (J,). Raises TrajectoryError."""
        trajectory = complete(trajectory_from_message(message), robot, positions)
        return cls(trajectory, JointTrajectoryMessage(joint_names=message.joint_names, points=message.points))

    @classmethod
    def of_display(cls, message: Any, robot: Robot, positions: NDArray[np.float64]) -> "ReceivedPlan":
        """A moveit_msgs/DisplayTrajectory; several parts become one command. Raises TrajectoryError."""
        trajectory = displayed_trajectory(message, robot, positions)
        if len(message.trajectory) == 1:
            part = message.trajectory[0].joint_trajectory
            return cls(trajectory, JointTrajectoryMessage(joint_names=part.joint_names, points=part.points))
        # Only what the parts move: a held joint may have been measured beyond its limit, which a controller refuses.
        named = {name for part in message.trajectory for name in part.joint_trajectory.joint_names}
        return cls(trajectory, _command(trajectory.reorder([name for name in robot.joint_names if name in named])))

    def is_shown_by(self, rollout: Rollout) -> bool:
        """Whether the rollout's robot moves exactly as this plan does."""
        if rollout.joints is None:
            return False
        moments = rollout.times + (self.trajectory.times[0] - rollout.times[0])
        moments = np.clip(moments, *self.trajectory.times[[0, -1]])
        if abs((rollout.times[-1] - rollout.times[0]) - self.trajectory.duration) > 1e-6:
            return False
        try:
            shown = rollout.joints.reorder(self.trajectory.joint_names).positions
        except JointStateError:
            return False
        return bool(np.allclose(self.trajectory.resample(moments).positions, shown, rtol=0.0, atol=_SAME))

    def distance_from(self, positions: NDArray[np.float64]) -> tuple[str, float]:
        """The commanded joint farthest from where the plan starts, and by how much (rad or m)."""
        names = self.trajectory.joint_names
        commanded = [names.index(name) for name in self.command.joint_names if name in names]
        gaps = np.abs(positions - self.trajectory.positions[0])[commanded]
        worst = int(np.argmax(gaps))
        return names[commanded[worst]], float(gaps[worst])


def concerns(summary: RolloutMessage, assessment: Assessment, config: PlanGateNodeConfig) -> list[str]:
    """What speaks against a plan, in words."""
    found = []
    if not summary.metric:
        found.append("the prediction has no metres: its points could not be fitted to the robot")
    elif summary.metric_residual > config.metric_residual:
        found.append(
            f"predicted robot points are {summary.metric_residual * 1000:.1f} mm off, "
            f"more than {config.metric_residual * 1000:.1f} mm"
        )
    for contact in assessment.contacts:
        if not contact.is_tool:
            x, y, z = contact.point_base
            found.append(
                f"{contact.link} comes within {contact.distance * 1000:.0f} mm of the scene at "
                f"({x:.2f}, {y:.2f}, {z:.2f}) m, {contact.times[0]:.2f} to {contact.times[1]:.2f} s"
            )
    if assessment.clearance < config.clearance:
        found.append(
            f"links other than the tool's keep {assessment.clearance * 1000:.0f} mm from the scene, "
            f"less than {config.clearance * 1000:.0f} mm"
        )
    return found


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
