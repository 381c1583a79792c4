"""Trajectories put together: completed, concatenated, and out of held velocities."""

import numpy as np
import pytest

from k4d_kinematics.composition import complete, concatenate, hold_velocities, sampled_from
from k4d_kinematics.errors import TrajectoryError
from k4d_kinematics.robot import Robot
from k4d_kinematics.trajectory import JointTrajectory


def test_completes_a_plan_with_the_joints_it_does_not_name(arm: Robot) -> None:
    plan = JointTrajectory(("elbow", "shoulder"), np.array([0.0, 2.0]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    whole = complete(plan, arm, [9.0, 8.0, 0.1])
    assert whole.joint_names == arm.joint_names == ("shoulder", "elbow", "slide")
    np.testing.assert_array_equal(whole.positions, [[2.0, 1.0, 0.1], [4.0, 3.0, 0.1]])


def test_leaves_out_joints_of_another_robot_but_needs_one_of_ours(arm: Robot) -> None:
    plan = JointTrajectory(("tail", "slide"), np.array([0.0]), np.array([[5.0, 0.2]]))
    np.testing.assert_array_equal(complete(plan, arm, np.zeros(3)).positions, [[0.0, 0.0, 0.2]])
    with pytest.raises(TrajectoryError, match=r"shoulder, elbow, slide.*'tail'"):
        complete(JointTrajectory(("tail",), np.array([0.0]), np.array([[5.0]])), arm, np.zeros(3))


def part(names: tuple[str, ...], rows: list[list[float]], times: list[float] | None = None) -> JointTrajectory:
    moments = np.arange(len(rows)) * 1.0 if times is None else np.array(times)
    return JointTrajectory(names, moments, np.array(rows))


def test_concatenates_pieces_where_the_last_one_ended(arm: Robot) -> None:
    first = part(("shoulder", "elbow"), [[0.0, 0.0], [1.0, 2.0]])
    point = part(("shoulder", "elbow"), [[1.0, 2.0]], [7.0])
    second = part(("elbow", "shoulder"), [[2.0, 1.0], [3.0, 1.5], [4.0, 2.0]], [0.5, 1.5, 2.0])
    whole = concatenate([first, point, second], arm, [9.0, 8.0, 0.1])
    assert whole.joint_names == arm.joint_names
    np.testing.assert_allclose(whole.times, [0.0, 1.0, 2.0, 2.5])
    np.testing.assert_array_equal(whole.positions, [[0.0, 0.0, 0.1], [1.0, 2.0, 0.1], [1.5, 3.0, 0.1], [2.0, 4.0, 0.1]])
    assert whole.velocities is None
    with pytest.raises(TrajectoryError, match="at least one"):
        concatenate([], arm, np.zeros(3))


def test_what_a_part_does_not_name_stays_where_the_part_before_left_it(arm: Robot) -> None:
    moved = part(("shoulder", "elbow"), [[0.0, 0.2], [1.0, 0.2]])
    closed = part(("slide",), [[0.04], [0.0]])
    # A gripper is measured near where its plan begins, never right there.
    whole = concatenate([moved, closed, part(("elbow",), [[0.2], [0.7]])], arm, [9.0, 8.0, 0.0402])
    np.testing.assert_array_equal(whole.positions, [[0, 0.2, 0.04], [1, 0.2, 0.04], [1, 0.2, 0.0], [1, 0.7, 0.0]])


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (part(("shoulder",), [[-1.0], [0.0]]), "part 2 .*shoulder begins at -1 and is at 0.5"),
        (part(("shoulder",), [[0.0]]), "shoulder begins at 0 and is at 0.5"),
        (part(("slide",), [[0.04], [0.0]]), "slide begins at 0.04 and is at 0.1"),
        (part(("tail",), [[0.5], [0.0]]), "'tail'"),
    ],
)
def test_refuses_parts_that_begin_elsewhere(arm: Robot, later: JointTrajectory, reason: str) -> None:
    with pytest.raises(TrajectoryError, match=reason):
        concatenate([part(("shoulder",), [[0.0], [0.5]]), later], arm, [0.0, 0.0, 0.1])


def test_concatenation_keeps_velocities_where_all_parts_have_them(arm: Robot) -> None:
    names, times = ("elbow",), np.array([0.0, 1.0])
    parts = [
        JointTrajectory(names, times, np.array([[start], [start + 1.0]]), np.array([[0.0], [speed]]))
        for start, speed in ((0.0, 3.0), (1.0, 4.0))
    ]
    np.testing.assert_array_equal(concatenate(parts, arm, np.zeros(3)).velocities[:, 1], [0.0, 3.0, 4.0])


def test_holds_velocities_until_a_limit(arm: Robot) -> None:
    held = hold_velocities(arm, [0.0, 0.0, 0.1], ["slide", "shoulder"], [0.1, -0.5], horizon=2.0, count=41)
    times = held.trajectory.times
    expected = np.stack([-0.5 * times, 0 * times, np.minimum(0.1 + 0.1 * times, 0.2)], axis=1)
    np.testing.assert_allclose(held.trajectory.positions, expected, atol=1e-12)
    assert "slide stops at 0.2" in held.describe_stops()


@pytest.mark.parametrize(
    ("names", "velocities", "reason"),
    [(["tail"], [0.1], "tail"), (["elbow"], [0.1, 0.2], "one a name"), (["shoulder"], [2.5], "2.5")],
)
def test_refuses_velocities_that_do_not_fit(arm: Robot, names: list[str], velocities: list[float], reason: str) -> None:
    with pytest.raises(TrajectoryError, match=reason):
        hold_velocities(arm, np.zeros(3), names, velocities, horizon=1.0, count=5)


def test_knows_which_samples_come_from_marked_knots() -> None:
    knots = np.array([0.0, 1.0, 2.0, 3.0])
    times = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    np.testing.assert_array_equal(sampled_from(times, knots, [2.0]), [0, 0, 0, 1, 1, 1, 0])
    assert not sampled_from(times, knots, []).any()
