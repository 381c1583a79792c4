"""Messages to and from the core: round trips, and a fuzz of JointState and CameraInfo that raises only named errors."""

import array
import math

import numpy as np
import pytest
from geometry_msgs.msg import Transform
from hypothesis import given, settings
from hypothesis import strategies as st
from moveit_msgs.msg import DisplayTrajectory, RobotState, RobotTrajectory
from sensor_msgs.msg import CameraInfo, JointState, RegionOfInterest
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint, MultiDOFJointTrajectoryPoint

from k4d_kinematics import se3
from k4d_kinematics.errors import CameraError, JointStateError, TrajectoryError, TransformError
from k4d_kinematics.joint_buffer import JointBuffer
from k4d_kinematics.robot_configuration import ConfiguredRobot
from k4d_kinematics.ros.conversions import (
    camera_from_message,
    camera_message,
    cloud_message,
    duration_message,
    nanoseconds,
    seconds,
    time_message,
    transform_from_message,
    transform_message,
)
from k4d_kinematics.ros.plan_inputs import PlanInputs
from k4d_kinematics.ros.pointmap_config import PointmapNodeConfig

from .conftest import START_NS, WRIST

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
JOINT_NAMES = [*(f"panda_joint{index}" for index in range(1, 8)), "panda_finger_joint1", "tail"]


def test_times_survive_to_the_nanosecond() -> None:
    for stamp_ns in (0, 1, START_NS, START_NS + 999_999_999):
        assert nanoseconds(time_message(stamp_ns)) == stamp_ns
    for duration in (0.0, 0.1, 12.345678901):
        assert seconds(duration_message(duration)) == pytest.approx(duration, abs=1e-9)


def test_transforms_survive_and_bad_ones_are_named() -> None:
    T = se3.from_xyz_rpy((1.0, -2.0, 3.0), (0.3, -1.2, 2.9))
    np.testing.assert_allclose(transform_from_message(transform_message(T)), T, atol=1e-12)
    for wrong in (0.0, 2.0, math.nan, math.inf):
        message = Transform()
        message.rotation.w = wrong
        with pytest.raises(TransformError, match=r"norm 1|finite"):
            transform_from_message(message)


def test_a_camera_survives_with_all_that_camera_info_has() -> None:
    message = camera_message(WRIST, time_message(START_NS))
    message.binning_x, message.binning_y = 2, 1
    message.roi = RegionOfInterest(x_offset=4, y_offset=6, height=20, width=30, do_rectify=True)
    camera = camera_from_message(message)
    assert (camera.image_height, camera.image_width) == (20, 15)
    assert camera_message(camera, time_message(START_NS)) == message


def test_an_organised_cloud_has_the_images_rows(start_points: np.ndarray) -> None:
    data = array.array("B", start_points.tobytes())
    cloud = cloud_message(start_points, data, Header(frame_id="optical"))
    assert (cloud.height, cloud.width, cloud.row_step) == (3, 5, 60)
    read = np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, 3)
    np.testing.assert_array_equal(read[2, 4], start_points[2, 4])


@pytest.fixture
def start_points() -> np.ndarray:
    return np.arange(45, dtype=np.float32).reshape(3, 5, 3)


@given(
    names=st.lists(st.sampled_from(JOINT_NAMES), max_size=12),
    extra=st.integers(-2, 2),
    stamps=st.lists(st.integers(0, 10), min_size=1, max_size=4),
    value=ANY_FLOAT,
)
@settings(deadline=None, max_examples=200)
def test_any_joint_state_is_taken_or_refused_by_name(
    panda: ConfiguredRobot, names: list[str], extra: int, stamps: list[int], value: float
) -> None:
    message = JointState(name=names, position=[value] * max(0, len(names) + extra))
    buffer = JointBuffer(panda.robot, horizon_ns=1_000_000)
    for stamp_ns in stamps:
        known = len(buffer)
        try:
            buffer.add(stamp_ns, message.name, message.position)
        except JointStateError:
            assert len(buffer) == known
        else:
            assert np.isfinite(buffer.newest).all()


@given(
    size=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)) | st.just((48, 64)),
    k=st.lists(ANY_FLOAT, min_size=9, max_size=9) | st.just([60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]),
    d=st.lists(ANY_FLOAT, max_size=15),
    model=st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "", "fish_bowl"]),
    binning=st.tuples(st.integers(0, 5), st.integers(0, 2**32 - 1)) | st.just((0, 0)),
    roi=st.lists(st.integers(0, 70), min_size=4, max_size=4),
)
@settings(deadline=None, max_examples=300)
def test_any_camera_info_is_taken_or_refused_by_name(
    size: tuple[int, int], k: list[float], d: list[float], model: str, binning: tuple[int, int], roi: list[int]
) -> None:
    message = CameraInfo(height=size[0], width=size[1], k=k, d=d, distortion_model=model)
    message.binning_x, message.binning_y = binning
    message.roi = RegionOfInterest(x_offset=roi[0], y_offset=roi[1], height=roi[2], width=roi[3])
    try:
        camera = camera_from_message(message)
    except CameraError:
        return
    assert camera.image_height > 0
    assert camera.image_width > 0
    assert np.isfinite(camera.matrix).all()


def piece(names: list[str], rows: list[list[float]], times: list[float]) -> RobotTrajectory:
    points = [
        JointTrajectoryPoint(positions=row, time_from_start=duration_message(time))
        for row, time in zip(rows, times, strict=True)
    ]
    return RobotTrajectory(joint_trajectory=JointTrajectory(joint_names=names, points=points))


def displayed(start: JointState, pieces: list[RobotTrajectory]) -> DisplayTrajectory:
    return DisplayTrajectory(trajectory_start=RobotState(joint_state=start), trajectory=pieces)


def test_a_displayed_path_of_several_pieces_starts_where_it_says(panda: ConfiguredRobot) -> None:
    joints = JointBuffer(panda.robot, horizon_ns=1_000_000)
    joints.add(START_NS, panda.robot.joint_names, panda.home)
    inputs = PlanInputs(panda.robot, "", joints, None, PointmapNodeConfig(plan_frames=6), None)
    start = JointState(name=["panda_joint7", "tail"], position=[0.5, 9.0])
    pieces = [
        piece(["panda_joint1"], [[0.0], [0.4]], [0.0, 1.0]),
        piece(["panda_finger_joint1", "panda_joint1"], [[0.04, 0.4], [0.01, 0.8]], [0.0, 3.0]),
        piece(["panda_joint7"], [[0.5], [0.1]], [0.0, 1.0]),
    ]
    plan = inputs.displayed_path(displayed(start, pieces), START_NS)
    assert plan.stamp_ns == START_NS
    np.testing.assert_allclose(plan.trajectory.times, [0, 1, 2, 3, 4, 5])
    moved = dict(zip(panda.robot.joint_names, plan.trajectory.positions.T, strict=True))
    np.testing.assert_allclose(moved["panda_joint1"], [0.0, 0.4, 0.4 + 0.4 / 3, 0.4 + 0.8 / 3, 0.8, 0.8])
    np.testing.assert_allclose(moved["panda_finger_joint1"], [0.04, 0.04, 0.03, 0.02, 0.01, 0.01])
    np.testing.assert_allclose(moved["panda_joint7"], [0.5, 0.5, 0.5, 0.5, 0.5, 0.1])
    np.testing.assert_allclose(moved["panda_joint4"], panda.home[3])

    for broken, reason in (
        (displayed(start, []), "1 to 10000 points, got 0"),
        (displayed(JointState(name=["a"], position=[]), pieces), "one position a name"),
        (displayed(start, pieces[::-1]), "part 2 .*panda_joint1 begins at 0.4 and is at 0;"),
    ):
        with pytest.raises(TrajectoryError, match=reason):
            inputs.displayed_path(broken, START_NS)
    pieces[0].multi_dof_joint_trajectory.points.append(MultiDOFJointTrajectoryPoint())
    with pytest.raises(TrajectoryError, match="multi-degree-of-freedom"):
        inputs.displayed_path(displayed(start, pieces), START_NS)
