"""Recordings written by rosbags: joint states, plans and transforms come back; what is wrong is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from k4d_kinematics import se3
from k4d_kinematics.errors import KinematicsError, TrajectoryError, TransformError
from k4d_kinematics.recordings import read_recorded_trajectory, read_recorded_transforms
from k4d_kinematics.trajectory_files import read_any_joints

TYPES = get_typestore(Stores.ROS2_KILTED)
STATE, PLAN, TF = "sensor_msgs/msg/JointState", "trajectory_msgs/msg/JointTrajectory", "tf2_msgs/msg/TFMessage"
NO_NUMBERS = np.zeros(0)


def message(kind, *fields):
    return TYPES.types[kind](*fields)


def header(seconds, frame=""):
    ns = round(seconds * 1e9)
    return message("std_msgs/msg/Header", message("builtin_interfaces/msg/Time", ns // 10**9, ns % 10**9), frame)


def state(seconds, names, positions):
    return message(STATE, header(seconds), list(names), np.array(positions, float), NO_NUMBERS, NO_NUMBERS)


def plan(seconds, names, positions, velocities, offsets):
    points = [
        message(
            "trajectory_msgs/msg/JointTrajectoryPoint",
            np.array(q, float),
            np.array(v, float),
            NO_NUMBERS,
            NO_NUMBERS,
            message("builtin_interfaces/msg/Duration", int(t), round((t % 1) * 1e9)),
        )
        for q, v, t in zip(positions, velocities, offsets, strict=True)
    ]
    return message(PLAN, header(seconds), list(names), points)


def transforms(*items):
    stamped = []
    for seconds, parent, child, T in items:
        p, q = se3.to_xyzw(T)
        transform = message(
            "geometry_msgs/msg/Transform",
            message("geometry_msgs/msg/Vector3", *p),
            message("geometry_msgs/msg/Quaternion", *q),
        )
        stamped.append(message("geometry_msgs/msg/TransformStamped", header(seconds, parent), child, transform))
    return message(TF, stamped)


def record(folder, topics, plugin=StoragePlugin.MCAP):
    """Writes a rosbag2 folder from {topic: (type, messages)} and returns its one storage file."""
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        for topic, (kind, messages) in topics.items():
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            for index, item in enumerate(messages):
                writer.write(connection, 10**9 + index, TYPES.serialize_cdr(item, kind))
    return next(file for file in folder.iterdir() if file.suffix in (".mcap", ".db3"))


STATES = [state(100.25, "ab", [1, 2]), state(100.5, "ba", [4, 3]), state(101.0, "ab", [5, 6])]


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_joint_states_come_back_by_their_stamps_in_the_first_order(tmp_path, plugin):
    file = record(tmp_path / "bag", {"/joint_states": (STATE, STATES)}, plugin)
    for path in (tmp_path / "bag", file) if file.suffix == ".mcap" else (tmp_path / "bag",):
        result = read_any_joints(path)
        assert result.joint_names == ("a", "b")
        np.testing.assert_array_equal(result.times, [100.25, 100.5, 101.0])
        np.testing.assert_array_equal(result.positions, [[1, 2], [3, 4], [5, 6]])


def test_a_plan_starts_at_its_stamp(tmp_path):
    positions, velocities = [[0, 1], [2, 3], [4, 5]], [[0, 0], [1, 1], [0, 0]]
    for name, rates in (("moving", velocities), ("bare", [[], [], []])):
        record(tmp_path / name, {"/plan": (PLAN, [plan(7.5, "ab", positions, rates, [0.0, 0.5, 2.25])])})
        result = read_recorded_trajectory(tmp_path / name)
        np.testing.assert_array_equal(result.times, [7.5, 8.0, 9.75])
        np.testing.assert_array_equal(result.positions, positions)
        if name == "moving":
            np.testing.assert_array_equal(result.velocities, velocities)
        else:
            assert result.velocities is None


def test_a_choice_of_topics_is_listed(tmp_path):
    one_plan = plan(0.0, "ab", [[0, 1]], [[]], [0.0])
    topics = {"/joint_states": (STATE, STATES), "/plan": (PLAN, [one_plan]), "/tf": (TF, [transforms()])}
    record(tmp_path / "bag", topics)
    with pytest.raises(TrajectoryError, match=rf"got None; valid are /joint_states \({STATE}\), /plan \({PLAN}\)"):
        read_recorded_trajectory(tmp_path / "bag")
    with pytest.raises(TrajectoryError, match="got '/tf'; valid are /joint_states"):
        read_recorded_trajectory(tmp_path / "bag", "/tf")
    assert len(read_any_joints(tmp_path / "bag", topic="/joint_states")) == 3
    assert len(read_any_joints(tmp_path / "bag", topic="/plan")) == 1


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ({"/tf": (TF, [transforms()])}, r"none is among \['/tf'\]"),
        ({"/joint_states": (STATE, [STATES[0], state(101, "ac", [1, 2])])}, "joint state 1 must hold .*'a', 'c'"),
        ({"/joint_states": (STATE, [STATES[0], state(101, "ab", [1])])}, "joint state 1 .* and 1 positions"),
        ({"/joint_states": (STATE, [STATES[1], STATES[0]])}, "time 1 is 100.25 s after 100.5 s"),
        ({"/joint_states": (STATE, [state(1, "ab", [1, np.nan])])}, "positions must be finite"),
        ({"/plan": (PLAN, [plan(0, "ab", [[0, 1]], [[]], [0.0])] * 2)}, "one planned trajectory, got 2"),
        ({"/plan": (PLAN, [plan(0, "ab", [], [], [])])}, "at least one"),
        ({"/plan": (PLAN, [plan(0, "ab", [[0, 1], [2]], [[], []], [0.0, 1.0])])}, "rows of equal length"),
    ],
)
def test_recordings_that_hold_no_trajectory_are_refused(tmp_path, topics, words):
    record(tmp_path / "bag", topics)
    with pytest.raises(TrajectoryError, match=words) as info:
        read_recorded_trajectory(tmp_path / "bag")
    assert str(tmp_path / "bag") in str(info.value)


def test_transforms_come_back_static_and_moving(tmp_path):
    T_base_cam = se3.from_xyz_rpy([1.0, 2.0, 3.0], [0.1, 0.2, 0.3])
    T0, T1 = se3.from_xyz_rpy([0, 0, 0], [0, 0, 0]), se3.from_xyz_rpy([2, 0, 0], [0, 0, 1.0])
    stale = se3.from_xyz_rpy([9, 9, 9], [0, 0, 0])
    record(
        tmp_path / "bag",
        {
            "/tf_static": (TF, [transforms((0, "base", "cam", stale)), transforms((0, "base", "cam", T_base_cam))]),
            "/tf": (
                TF,
                [
                    transforms((4.0, "base", "tool", T1)),
                    transforms((3.0, "base", "tool", T0), (4.0, "base", "tool", stale)),
                ],
            ),
        },
    )
    source = read_recorded_transforms(tmp_path / "bag")
    T_base_tool = se3.from_xyz_rpy([0.5, 0, 0], [0, 0, 0.25])
    np.testing.assert_allclose(source.lookup("cam", "tool", 3.25), se3.inverse(T_base_cam) @ T_base_tool, atol=1e-12)
    with pytest.raises(TransformError, match=r"known from 3.0 s to 4.0 s, not at 4.5 s"):
        source.lookup("base", "tool", 4.5)


def test_a_recording_without_transforms_is_refused(tmp_path):
    record(tmp_path / "bag", {"/joint_states": (STATE, STATES)})
    with pytest.raises(TransformError, match=r"no transform on /tf or /tf_static; topics are \['/joint_states'\]"):
        read_recorded_transforms(tmp_path / "bag")
    with pytest.raises(TransformError, match="not a readable MCAP"):
        read_recorded_transforms(tmp_path / "absent.mcap")


@pytest.mark.parametrize("spoil", [lambda raw: raw[:20], lambda raw: b"", lambda raw: raw[:12] + b"\xff" * 60])
def test_a_damaged_message_is_refused(tmp_path, spoil):
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/joint_states", STATE, typestore=TYPES)
        writer.write(connection, 1, spoil(bytes(TYPES.serialize_cdr(STATES[0], STATE))))
    with pytest.raises(TrajectoryError, match="not a readable MCAP file or rosbag2 folder"):
        read_recorded_trajectory(tmp_path / "bag")


def test_damaged_compressed_records_are_refused(tmp_path):
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/joint_states", STATE, typestore=TYPES)
        for index, item in enumerate(STATES):
            writer.write(connection, 10**9 + index, TYPES.serialize_cdr(item, STATE))
    (file,) = (tmp_path / "bag").glob("*.mcap")
    assert len(read_recorded_trajectory(file)) == 3
    frame = b"\x28\xb5\x2f\xfd"
    assert frame in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(frame, b"none"))
    with pytest.raises(TrajectoryError, match="not a readable MCAP file or rosbag2 folder"):
        read_recorded_trajectory(file)


def test_a_damaged_sqlite_recording_is_refused(tmp_path):
    file = record(tmp_path / "bag", {"/joint_states": (STATE, STATES)}, StoragePlugin.SQLITE3)
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    file.write_bytes(content[: len(content) - 700])
    with pytest.raises(TrajectoryError, match="not a readable MCAP file or rosbag2 folder"):
        read_recorded_trajectory(tmp_path / "bag")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(TrajectoryError, match="not a readable MCAP file or rosbag2 folder"):
        read_any_joints(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"), [("motion.mcap", b"\x89MCAP0\r\n"), ("bag/metadata.yaml", b"[" * 5000)], ids=["short", "deep"]
)
def test_a_recording_without_content_is_refused(tmp_path, name, content):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    path = file if file.suffix == ".mcap" else file.parent
    with pytest.raises(TrajectoryError, match="not a readable MCAP file or rosbag2 folder"):
        read_any_joints(path)


@settings(deadline=None, max_examples=150)
@given(st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_damaged_recordings_are_valid_or_named(recording_bytes, tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "damaged.mcap"
    content = bytearray(recording_bytes)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    file.write_bytes(content[:cut])
    refusal = None
    try:
        positions = read_recorded_trajectory(file).positions
    except KinematicsError as error:
        refusal = str(error)
    assert str(file) in refusal if refusal else np.isfinite(positions).all()


@pytest.fixture(scope="module")
def recording_bytes(tmp_path_factory):
    return record(tmp_path_factory.mktemp("whole") / "bag", {"/joint_states": (STATE, STATES)}).read_bytes()
