"""Velocities integrated to trajectories, against closed forms, with limits kept and reported."""

import numpy as np
import pytest

from k4d_kinematics.errors import JointStateError, TrajectoryError
from k4d_kinematics.integration import LimitStop, integrate_velocities
from k4d_kinematics.robot import Robot

URDF = """<robot name="cart"><link name="l0"/><link name="l1"/><link name="l2"/><link name="l3"/>
<joint name="slide" type="prismatic"><parent link="l0"/><child link="l1"/><axis xyz="0 0 1"/>
<limit lower="-0.4" upper="0.5" velocity="1.0" effort="1"/></joint>
<joint name="hinge" type="revolute"><parent link="l1"/><child link="l2"/><axis xyz="1 0 0"/>
<limit lower="-1.0" upper="2.0" velocity="3.0" effort="1"/></joint>
<joint name="wheel" type="continuous"><parent link="l2"/><child link="l3"/><axis xyz="0 1 0"/></joint></robot>"""
NAMES = ("wheel", "unrelated", "slide", "hinge")


@pytest.fixture(scope="module")
def robot():
    return Robot.from_urdf(URDF)


def velocities(times, *, wheel=0.0, slide=0.0, hinge=0.0):
    columns = [np.broadcast_to(value, times.shape) for value in (wheel, 9.9, slide, hinge)]
    return np.stack(columns, axis=1).astype(float)  # (T, 4)


def test_the_integral_converges_to_the_closed_form_with_the_square_of_the_step(robot):
    errors = []
    for count in (41, 81):
        times = np.linspace(1.0, 3.0, count)
        rates = velocities(times, wheel=20.0 * np.cos(3 * times), slide=0.2 * np.sin(times), hinge=np.cos(times))
        result = integrate_velocities(robot, [0.1, 0.2, 0.3], NAMES, rates, times)
        assert result.limit_stops == ()
        assert result.trajectory.joint_names == ("slide", "hinge", "wheel")
        closed = [
            0.1 + 0.2 * (np.cos(1.0) - np.cos(times)),
            0.2 + np.sin(times) - np.sin(1.0),
            0.3 + 20.0 / 3.0 * (np.sin(3 * times) - np.sin(3.0)),
        ]
        errors.append(np.abs(result.trajectory.positions - np.stack(closed, axis=1)).max(axis=0))
    assert (errors[0] < 0.03).all()
    np.testing.assert_allclose(errors[0] / errors[1], 4.0, rtol=0.02)


def test_joints_stop_at_their_limits_until_driven_back(robot):
    times = np.arange(11) * 0.1
    slide = np.where(times < 0.75, 0.8, -0.8)
    result = integrate_velocities(robot, [0.0, -0.9, 0.0], NAMES, velocities(times, slide=slide, hinge=-2.0), times)
    positions = result.trajectory.positions
    np.testing.assert_allclose(positions[:7, 0], [0.0, 0.08, 0.16, 0.24, 0.32, 0.4, 0.48], atol=1e-12)
    np.testing.assert_allclose(positions[7:, 0], [0.5, 0.5, 0.42, 0.34], atol=1e-12)
    np.testing.assert_allclose(positions[1:, 1], -1.0)
    assert result.limit_stops == (
        LimitStop("slide", 0.5, pytest.approx(0.7), pytest.approx(0.7)),
        LimitStop("hinge", -1.0, pytest.approx(0.1), pytest.approx(1.0)),
    )


def test_a_joint_resting_at_its_limit_is_no_stop(robot):
    times = np.arange(4.0)
    result = integrate_velocities(robot, [0.5, 0.0, 0.0], NAMES, velocities(times), times)
    assert result.limit_stops == ()


def test_one_sample_is_the_start(robot):
    result = integrate_velocities(robot, [0.1, 0.2, 0.3], NAMES, velocities(np.zeros(1)), [4.0])
    np.testing.assert_array_equal(result.trajectory.positions, [[0.1, 0.2, 0.3]])


def test_velocities_above_the_limit_are_refused(robot):
    times = np.arange(5.0)
    rates = velocities(times, hinge=[0.0, 1.0, 3.0, -3.5, 0.0])
    with pytest.raises(TrajectoryError, match=r"'hinge' is asked for velocity -3.5 at 3.0 s; its limit is ±3.0"):
        integrate_velocities(robot, [0.0, 0.0, 0.0], NAMES, rates, times)


@pytest.mark.parametrize(
    ("q0", "message"),
    [
        ([0.6, 0.0, 0.0], r"'slide' starts at 0.6, outside its limits \[-0.4, 0.5\]"),
        ([0.0, 0.0], r"q0 must have shape \(3,\), got \(2,\)"),
        ([0.0, np.nan, 0.0], "q0 must be finite"),
    ],
)
def test_wrong_starts_are_refused(robot, q0, message):
    times = np.arange(5.0)
    with pytest.raises(TrajectoryError, match=message):
        integrate_velocities(robot, q0, NAMES, velocities(times), times)


def test_wrong_velocities_are_refused(robot):
    times = np.arange(5.0)
    rates = velocities(times)
    with pytest.raises(TrajectoryError, match=r"velocities must have shape \(5, 4\), got \(4, 4\)"):
        integrate_velocities(robot, np.zeros(3), NAMES, rates[:4], times)
    with pytest.raises(TrajectoryError, match="velocities must be finite"):
        integrate_velocities(robot, np.zeros(3), NAMES, rates * np.nan, times)
    with pytest.raises(TrajectoryError, match="at least one"):
        integrate_velocities(robot, np.zeros(3), NAMES, np.zeros((0, 4)), [])
    with pytest.raises(TrajectoryError, match="time 1 is"):
        integrate_velocities(robot, np.zeros(3), NAMES, rates, times[::-1])
    with pytest.raises(JointStateError, match="wheel"):
        integrate_velocities(robot, np.zeros(3), NAMES[1:], rates[:, 1:], times)
