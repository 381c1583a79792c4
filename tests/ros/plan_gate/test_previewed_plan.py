"""Which predictions show a plan, what a plan commands, and what is said against it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from k4d_msgs.msg import Rollout as RolloutMessage
from moveit_msgs.msg import DisplayTrajectory, RobotTrajectory
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage
from trajectory_msgs.msg import JointTrajectoryPoint

from k4d_kinematics import JointTrajectory
from k4d_kinematics.errors import TrajectoryError
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import duration_message
from k4d_world_model.plan_assessment import Assessment, Contact
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.plan_gate_config import PlanGateNodeConfig
from k4d_world_model.ros.previewed_plan import ReceivedPlan, concerns

from .press import press, pressed

TOLERANCE, MOST = 0.02, 20
Shown = Callable[[list[list[float]]], Rollout]
ROBOT = Robot.from_urdf("""
<robot name="lift"><link name="base"/><link name="car"/><link name="jaw"/>
  <joint name="lift" type="prismatic"><parent link="base"/><child link="car"/><axis xyz="0 0 1"/>
    <limit lower="0" upper="2" effort="1" velocity="1"/></joint>
  <joint name="grip" type="prismatic"><parent link="car"/><child link="jaw"/><axis xyz="1 0 0"/>
    <limit lower="0" upper="0.1" effort="1" velocity="1"/></joint>
</robot>""")


def message(names: list[str], rows: list[list[float]], step: float = 0.5) -> JointTrajectoryMessage:
    points = [
        JointTrajectoryPoint(positions=row, time_from_start=duration_message(step * k)) for k, row in enumerate(rows)
    ]
    return JointTrajectoryMessage(joint_names=names, points=points)


def received(names: list[str], rows: list[list[float]], step: float = 0.5, held: float = 0.04) -> ReceivedPlan:
    return ReceivedPlan.of_trajectory(message(names, rows, step), ROBOT, np.array([0.0, held]), MOST)


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    """A rollout of the lift at rows of (lift, grip), one frame each 0.5 s."""

    def make(rows: list[list[float]]) -> Rollout:
        rollout = pressed(*press(tmp_path), [0.0] * len(rows))
        return replace(rollout, joints=JointTrajectory(("lift", "grip"), rollout.times, np.array(rows)))

    return make


def test_a_prediction_shows_a_plan_when_the_commanded_joints_move_exactly_so(shown: Shown) -> None:
    plan = received(["lift"], [[0.0], [0.5], [0.7]])
    assert plan.is_shown_by(shown([[0.0, 0.04], [0.5, 0.04], [0.7, 0.04]]), TOLERANCE)
    assert not plan.is_shown_by(shown([[0.0, 0.04], [0.5001, 0.04], [0.7, 0.04]]), TOLERANCE)
    assert not plan.is_shown_by(shown([[0.0, 0.04], [0.5, 0.04]]), TOLERANCE), "of another length"
    # A joint that is not commanded was measured twice, by two nodes.
    assert plan.is_shown_by(shown([[0.0, 0.0401], [0.5, 0.0401], [0.7, 0.0401]]), TOLERANCE)
    assert not plan.is_shown_by(shown([[0.0, 0.07], [0.5, 0.07], [0.7, 0.07]]), TOLERANCE)


def test_an_excursion_between_two_frames_is_not_shown(shown: Shown) -> None:
    still = shown([[0.0, 0.04], [0.0, 0.04]])
    assert received(["lift"], [[0.0], [0.0], [0.0]], 0.25).is_shown_by(still, TOLERANCE)
    assert not received(["lift"], [[0.0], [0.8], [0.0]], 0.25).is_shown_by(still, TOLERANCE)
    # A controller follows the velocities too: between these two points it swings out by 0.12.
    swinging = message(["lift"], [[0.0], [0.0]])
    for point, velocity in zip(swinging.points, (1.0, -1.0), strict=True):
        point.velocities = [velocity]
    assert not ReceivedPlan.of_trajectory(swinging, ROBOT, np.array([0.0, 0.04]), MOST).is_shown_by(still, TOLERANCE)
    # Uneven progress from one frame to the next is what they show.
    assert received(["lift"], [[0.0], [0.1], [1.0]], 0.25).is_shown_by(shown([[0.0, 0.04], [1.0, 0.04]]), TOLERANCE)


def test_the_start_is_where_all_joints_are() -> None:
    plan = received(["lift"], [[0.1], [0.5]])
    assert plan.distance_from(np.array([0.11, 0.04])) == ("lift", pytest.approx(0.01))
    assert plan.distance_from(np.array([0.1, 0.9])) == ("grip", pytest.approx(0.86))


def test_parts_that_move_different_joints_become_one_command() -> None:
    parts = [message(["lift"], [[0.0], [0.5], [1.0]]), message(["grip"], [[0.04], [0.0]])]
    display = DisplayTrajectory(trajectory=[RobotTrajectory(joint_trajectory=part) for part in parts])
    command = ReceivedPlan.of_display(display, ROBOT, np.array([0.0, 0.0401]), MOST).command
    assert command.joint_names == ["lift", "grip"]
    assert [list(point.positions) for point in command.points] == [[0.0, 0.04], [0.5, 0.04], [1.0, 0.04], [1.0, 0.0]]


def test_refuses_joints_that_no_prediction_shows_and_plans_that_are_too_large() -> None:
    with pytest.raises(TrajectoryError, match="moves tail, which no prediction shows; valid joints are lift, grip"):
        received(["lift", "tail"], [[0.0, 1.0], [0.5, 2.0]])
    # Their points have no positions, which would be said if they were converted.
    large = JointTrajectoryMessage(joint_names=["lift"], points=[JointTrajectoryPoint()] * (MOST + 1))
    halves = [
        RobotTrajectory(joint_trajectory=JointTrajectoryMessage(joint_names=["lift"], points=large.points[:count]))
        for count in (MOST, 1)
    ]
    for convert, huge in (
        (ReceivedPlan.of_trajectory, large),
        (ReceivedPlan.of_display, DisplayTrajectory(trajectory=halves)),
    ):
        with pytest.raises(TrajectoryError, match="1 to 20 points, got 21"):
            convert(huge, ROBOT, np.zeros(2), MOST)


def test_what_is_unknown_is_a_concern() -> None:
    config = PlanGateNodeConfig()
    summary = RolloutMessage(metric=True, metric_residual=0.002, frame_count=7, robot_sha256="cd")
    assert concerns(summary, Assessment((), 0.2, ()), config) == []
    (blind,) = concerns(summary, Assessment((), 0.2, (), blind=3), config)
    assert blind == "3 of 7 predicted frames show nothing but the robot"
    (unseen,) = concerns(summary, Assessment((), np.inf, ()), config)
    assert "no moving link but the tool's" in unseen
    unknown = RolloutMessage(metric=True, metric_residual=float("nan"))
    assert [text.split(",")[0] for text in concerns(unknown, Assessment((), 0.2, ()), config)] == [
        "the prediction does not say of which robot it is",
        "predicted robot points are nan mm off",
    ]
    (unfitted,) = concerns(RolloutMessage(metric=False, robot_sha256="cd"), Assessment((), 0.2, ()), config)
    assert "no metres" in unfitted


def test_what_is_near_is_a_concern_unless_it_is_the_tool() -> None:
    summary = RolloutMessage(metric=True, metric_residual=0.002, robot_sha256="cd")
    arm, hand = (
        Contact(link, (0.5, 1.0), np.array([1.0, 2.0, 3.0]), 0.004, link == "hand") for link in ("arm", "hand")
    )
    inside = replace(arm, distance=0.0)
    found = concerns(summary, Assessment((inside, hand), 0.0, (arm, hand)), PlanGateNodeConfig())
    assert found == [
        "arm comes within 4 mm of the scene at (1.00, 2.00, 3.00) m, 0.50 to 1.00 s, from the beginning on: what it "
        "touches then is not looked at",
        "arm goes into the scene at (1.00, 2.00, 3.00) m, 0.50 to 1.00 s",
        "links other than the tool's keep 0 mm from the scene, less than 30 mm",
    ]
