"""What is checked of MoveIt's answers and of its absence, without MoveIt."""

import importlib.util

import numpy as np
import pytest
from geometry_msgs.msg import Pose
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from k4d_kinematics.errors import (
    ConfigurationError,
    KinematicsBackendError,
    ModelMismatchError,
    PlanningError,
    ToolPathError,
)
from k4d_kinematics.planning import InterpolationPlanner
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import duration_message, pose_from_message
from k4d_kinematics.ros.kinematics_backend import BackendConfig, Kinematics, OpenedKinematics, open_kinematics
from k4d_kinematics.ros.moveit_comparison import check_link_poses
from k4d_kinematics.ros.moveit_messages import pose_message
from k4d_kinematics.ros.moveit_planner import MoveItSettings, whole_trajectory
from k4d_kinematics.ros.moveit_tool_path import checked_tool_path
from k4d_kinematics.ros.pointmap_config import PointmapNodeConfig
from k4d_kinematics.tool_line import ToolLine

TIP = "panda_hand_tcp"
SETTINGS = MoveItSettings("arm", TIP)


@pytest.fixture(scope="module")
def panda():
    return Robot.from_file("package://example-robot-data/robots/panda_description/urdf/panda.urdf")


@pytest.fixture(scope="module")
def home(panda):
    return np.array([0.01, -0.4, 0.01, -2.2, 0.01, 1.9, 0.8, 0.02])


def message_of(panda, times, positions):
    """A trajectory of the arm's seven joints."""
    message = JointTrajectory(joint_names=list(panda.joint_names[:7]))
    for moment, q in zip(times, positions, strict=True):
        message.points.append(JointTrajectoryPoint(positions=q[:7].tolist(), time_from_start=duration_message(moment)))
    return message


@pytest.fixture(scope="module")
def straight(panda, home):
    """A straight path of the embedded planner, 0.25 m/s at most, as a message; and its line."""
    planner = InterpolationPlanner(panda, TIP)
    T0 = panda.forward_kinematics(home)[panda.link_index(TIP)]
    T = T0.copy()
    T[:3, 3] += [0.05, -0.11, 0.02]
    line = ToolLine.through(T0, T[None], 0.25, 1.0)
    return planner.plan_tool_path(home, T[None]), line


def test_a_whole_path_keeps_its_points_and_its_time(panda, home, straight):
    plan, line = straight
    message = message_of(panda, plan.times, plan.positions)
    path = checked_tool_path(panda, SETTINGS, line, message, home, 1.0)
    np.testing.assert_allclose(path.times, plan.times, atol=1e-8)
    np.testing.assert_allclose(path.positions, plan.positions, atol=1e-12)


def test_a_path_that_is_too_fast_is_slowed_down_as_a_whole(panda, home, straight):
    plan, line = straight
    message = message_of(panda, plan.times / 3.0, plan.positions)
    path = checked_tool_path(panda, SETTINGS, line, message, home, 1.0)
    tool = panda.forward_kinematics(path.positions)[:, panda.link_index(TIP), :3, 3]
    speed = np.linalg.norm(np.diff(tool, axis=0), axis=1) / np.diff(path.times)
    assert speed.max() == pytest.approx(0.25, rel=1e-6)
    np.testing.assert_allclose(path.times / path.times[-1], plan.times / plan.times[-1], atol=1e-7)


@pytest.mark.parametrize("fraction", [0.15, 0.999, 0.0, np.nan])
def test_a_part_of_a_path_is_an_error_though_move_group_calls_it_a_success(panda, home, straight, fraction):
    plan, line = straight
    with pytest.raises(ToolPathError, match=r"follows [\d.na]+% of the tool path, valid is all of it") as info:
        checked_tool_path(panda, SETTINGS, line, message_of(panda, plan.times, plan.positions), home, fraction)
    np.testing.assert_equal(info.value.fraction, fraction)


def test_a_jump_and_a_wrong_end_are_refused(panda, home, straight):
    plan, line = straight
    leaping = plan.positions.copy()
    leaping[5:, 2] += 0.7
    with pytest.raises(PlanningError, match=r"jumps: joint 'panda_joint3' steps by 0\.69\d+ at point 5"):
        checked_tool_path(panda, SETTINGS, line, message_of(panda, plan.times, leaping), home, 1.0)
    short = message_of(panda, plan.times[:-8], plan.positions[:-8])
    with pytest.raises(PlanningError, match=r"ends [\d.]+ m and .* off"):
        checked_tool_path(panda, SETTINGS, line, short, home, 1.0)


def test_a_groups_plan_becomes_the_whole_robots(panda, home):
    plan = whole_trajectory(panda, message_of(panda, [0.0, 0.5], np.stack([home, home + 0.1])), home)
    assert plan.joint_names == panda.joint_names
    np.testing.assert_allclose(plan.positions[:, 7], home[7])
    np.testing.assert_array_equal(whole_trajectory(panda, JointTrajectory(), home).positions, home[None])
    with pytest.raises(PlanningError, match=r"starts 0\.1 rad or m off"):
        whole_trajectory(panda, message_of(panda, [0.0, 0.5], np.stack([home + 0.1, home])), home)
    with pytest.raises(PlanningError, match="not usable"):
        whole_trajectory(panda, message_of(panda, [0.5, 0.0], np.stack([home, home])), home)


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.0825 0 0", "0.0827 0 0"), ('rpy="1.5707963267948966 0 0" xyz="0.0825', 'rpy="1.5711 0 0" xyz="0.0825')],
    ids=["0.2 mm further out", "0.3 mrad turned"],
)
def test_models_that_are_apart_are_refused_naming_the_worst_link(panda, old, new):
    urdf = panda.urdf.replace(old, new)
    assert urdf != panda.urdf
    other = Robot.from_urdf(urdf)

    def theirs(q):
        return dict(zip(other.link_names, other.forward_kinematics(q), strict=True))

    with pytest.raises(ModelMismatchError, match=r"link 'panda_\w+' are up to 0\.\d+ mm apart, valid are 0\.1 mm"):
        check_link_poses(panda, theirs)
    assert check_link_poses(other, theirs).distance == 0.0


def test_poses_survive_the_message_and_a_zero_quaternion_does_not(panda, home):
    T = panda.forward_kinematics(home)[panda.link_index(TIP)]
    np.testing.assert_allclose(pose_from_message(pose_message(T)), T, atol=1e-12)
    zero = Pose()
    zero.orientation.w = 0.0
    with pytest.raises(ValueError, match=r"norm 1, got \[0.0, 0.0, 0.0, 0.0\]"):
        pose_from_message(zero)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ikfast"}, "must be one of embedded, moveit, move_group, got 'ikfast'"),
        ({"name": "move_group"}, "move_group needs planning_group"),
        ({"name": "moveit", "group": "arm"}, "moveit needs moveit_configuration"),
    ],
)
def test_backends_without_what_they_need_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        BackendConfig(**arguments)
    parameters = dict(zip(("kinematics_backend", "planning_group"), arguments.values(), strict=False))
    with pytest.raises(ConfigurationError, match=message):
        PointmapNodeConfig(**parameters)


@pytest.mark.skipif(importlib.util.find_spec("moveit") is not None, reason="moveit_py is installed")
def test_a_missing_moveit_is_named_with_its_package(panda):
    config = BackendConfig("moveit", "arm", "moveit.yaml")
    with pytest.raises(KinematicsBackendError, match=r"ros-\$ROS_DISTRO-moveit-py.*kinematics_backend embedded"):
        open_kinematics(config, panda, TIP, None)


def test_a_backend_that_failed_is_opened_again_when_it_is_needed():
    opened = iter([KinematicsBackendError("not there yet"), Kinematics("solver", "planner", lambda: closed.append(1))])
    closed = []

    def open_backend():
        outcome = next(opened)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    backend = OpenedKinematics(open_backend)
    backend.close()
    with pytest.raises(KinematicsBackendError, match="not there yet"):
        _ = backend.solver
    assert (backend.solver, backend.solver) == ("solver", "solver")
    backend.close()
    assert closed == [1]
