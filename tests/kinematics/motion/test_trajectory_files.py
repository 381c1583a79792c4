"""Trajectory files: written and read back, read as other programs write them, and refused when malformed."""

import io
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from k4d_kinematics.errors import JointStateError, KinematicsError, TrajectoryError
from k4d_kinematics.trajectory import JointTrajectory
from k4d_kinematics.trajectory_files import read_any_joints, read_trajectory, write_trajectory

NAMES = ("shoulder", "elbow, left", "wrist")
TIMES = np.array([0.125, 0.25, 1.1, 2.000000001])
POSITIONS = np.random.default_rng(0).normal(size=(4, 3)) * [1.0, 1e-9, 1e5]
VELOCITIES = np.random.default_rng(1).normal(size=(4, 3))
PLAN = """\
header:
  stamp: {sec: 12, nanosec: 500000000}
  frame_id: ''
joint_names: [a, b]
points:
- positions: [0.0, 1.0]
  velocities: []
  accelerations: []
  effort: []
  time_from_start: {sec: 0, nanosec: 250000000}
- positions: [0.5, 1e-3]
  velocities: []
  time_from_start: {sec: 2}
---
"""


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".yaml"])
@pytest.mark.parametrize("velocities", [None, VELOCITIES])
def test_what_is_written_reads_back_exactly(tmp_path, suffix, velocities):
    file = tmp_path / f"motion{suffix}"
    write_trajectory(file, JointTrajectory(NAMES, TIMES, POSITIONS, velocities))
    result = read_any_joints(file)
    assert result.joint_names == NAMES
    np.testing.assert_array_equal(result.positions, POSITIONS)
    np.testing.assert_allclose(result.times, TIMES, rtol=0, atol=0 if suffix != ".yaml" else 5e-10)
    if velocities is None:
        assert result.velocities is None
    else:
        np.testing.assert_array_equal(result.velocities, VELOCITIES)


def test_a_plan_as_ros2_topic_echo_prints_it(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    result = read_any_joints(file)
    np.testing.assert_allclose(result.times, [12.75, 14.5])
    np.testing.assert_array_equal(result.positions, [[0.0, 1.0], [0.5, 1e-3]])
    assert result.velocities is None


def test_a_robots_joints_are_picked_in_its_order(tmp_path, ur5):
    names = ("lamp", *reversed(ur5.robot.joint_names))
    positions = np.random.default_rng(2).normal(size=(4, 7))
    write_trajectory(tmp_path / "x.csv", JointTrajectory(names, TIMES, positions))
    result = read_trajectory(tmp_path / "x.csv", ur5.robot)
    assert result.joint_names == ur5.robot.joint_names
    np.testing.assert_array_equal(result.positions, positions[:, :0:-1])
    write_trajectory(tmp_path / "short.csv", JointTrajectory(names[:-1], TIMES, positions[:, :-1]))
    with pytest.raises(JointStateError, match=f"'{names[-1]}' is missing"):
        read_trajectory(tmp_path / "short.csv", ur5.robot)


def test_a_csv_of_a_spreadsheet(tmp_path):
    (tmp_path / "x.csv").write_text('time , a,"b"\r\n0, 1.5 ,-2\r\n\r\n1e-1,+2,3e0\r\n')
    result = read_any_joints(tmp_path / "x.csv")
    assert result.joint_names == ("a", "b")
    np.testing.assert_array_equal(result.times, [0.0, 0.1])
    np.testing.assert_array_equal(result.positions, [[1.5, -2.0], [2.0, 3.0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"first line must be 'time' and joint names, got \[\]"),
        ("t,a\n0,1\n", r"got \['t', 'a'\]"),
        ("time,a\n", "at least one"),
        ("time,a\n0,1\n1\n", "row 2 must have 2 cells as the first line, got 1"),
        ("time,a\n0,one\n", "must be numbers"),
        ("time,a\n0,nan\n", "must be finite"),
        ("time,a\n0,1_0\n", "row 1 must be numbers, got '1_0'"),
        ("time\n0\n1\n", "at least one joint, got none"),
        ("time,a\n1,1\n0,1\n", "time 1 is 0.0 s after 1.0 s"),
        ("time,a,a\n0,1,2\n", r"unique, got \['a'\]"),
        ("time,a,\n0,1,2\n", "non-empty"),
        ("time,a,b,a/velocity\n0,1,2,3\n", "one '/velocity' column, or none any"),
        ('time,a\n0,"1\n', "cannot be read"),
        ("time,a\n0,\udcff\n", "cannot be read"),
    ],
)
def test_malformed_csv_is_refused(tmp_path, text, message):
    file = tmp_path / "x.csv"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(TrajectoryError, match=message) as info:
        read_any_joints(file)
    assert str(file) in str(info.value)


def changed(**changes):
    content = next(yaml.safe_load_all(PLAN))
    content.update(changes)
    return yaml.safe_dump({key: value for key, value in content.items() if value is not None})


POINT = {"positions": [1.0, 2.0], "time_from_start": {"sec": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold one trajectory, got 0"),
        (PLAN + PLAN, "must hold one trajectory, got 2"),
        ("[1, 2]", r"mapping of \['joint_names', 'points', 'header'\], got \[1, 2\]"),
        ("a: [", "cannot be read"),
        ("!!python/object/apply:os.getcwd []", "cannot be read"),
        (changed(points=None), r"lacks \['points'\]"),
        (changed(point=[]), "unknown key 'point'; did you mean 'points'?"),
        (changed(points=[]), "at least one"),
        (changed(points="none"), "points must be a list, got 'none'"),
        (changed(points=[POINT, 3]), "point 1 must be a mapping"),
        (
            changed(points=[POINT | {"time_from_start": {"sec": 1.5}}]),
            "sec of time_from_start of point 0 must be a whole",
        ),
        (changed(points=[POINT | {"time_from_start": {"nanosec": 10**9}}]), "nanosec of .* below 1000000000"),
        (changed(points=[POINT | {"time_from_start": {"secs": 1}}]), "did you mean 'sec'?"),
        (changed(points=[POINT, POINT]), "time 1 is 13.5 s after 13.5 s"),
        (changed(points=[POINT | {"positions": []}]), "shape"),
        (changed(points=[POINT | {"positions": {"a": 1}}]), "must be numbers"),
        (changed(points=[POINT | {"positions": [True, 2.0]}]), "positions of point 0 must be numbers, got True"),
        (changed(points=[POINT | {"velocities": [0.5, False]}]), "velocities of point 0 must be numbers, got False"),
        (changed(points=[POINT | {"positions": ["1_0", 2.0]}]), "positions of point 0 must be numbers, got '1_0'"),
        ("[" * 5000, "cannot be read as YAML"),
        ("a: 2001-13-45", "cannot be read as YAML"),
        ("a: !!timestamp soon", "cannot be read as YAML"),
        (changed(points=[POINT | {"velocities": [1.0]}]), "velocities must have shape"),
        (changed(joint_names=["a", 3]), "non-empty strings"),
        (changed(joint_names="ab"), "joint_names must be a list"),
        (changed(header={"stamp": {"sec": 10**30}}), "sec of stamp must be a whole number"),
    ],
)
def test_malformed_yaml_is_refused(tmp_path, text, message):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(TrajectoryError, match=message) as info:
        read_any_joints(file)
    assert str(file) in str(info.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": None}, "must hold joint_names"),
        ({"joint_names": np.array([1, 2, 3])}, r"must hold joint_names \(a row of strings\)"),
        ({"joint_names": np.array(list(NAMES), object)}, "without pickle"),
        ({"positions": POSITIONS[:2]}, r"shape \(4, 3\), got \(2, 3\)"),
        ({"times": np.array(["soon"] * 4)}, "must be numbers"),
        ({"times": np.array(["1", "2", "3", "4"])}, "times must be numbers, .* of type <U1"),
        ({"times": np.arange(4).astype("datetime64[s]")}, r"times must be numbers, .* of type datetime64\[s\]"),
        ({"times": np.arange(4).astype("timedelta64[s]")}, "times must be numbers, .* of type timedelta64"),
        ({"positions": POSITIONS + 1j}, "positions must be numbers, .* of type complex128"),
        ({"positions": POSITIONS > 0}, "positions must be numbers, .* of type bool"),
        ({"velocities": VELOCITIES + 0j}, "velocities must be numbers, .* of type complex128"),
    ],
)
def test_malformed_npz_is_refused(tmp_path, changes, message):
    arrays = {"joint_names": np.array(NAMES), "times": TIMES, "positions": POSITIONS, **changes}
    np.savez(tmp_path / "x.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(TrajectoryError, match=message):
        read_any_joints(tmp_path / "x.npz")


def header_of(*shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("joint_names", b"no array"),
        ("times", b"0123"),
        ("note.txt", b"recorded on a Tuesday"),
        ("times.npy", header_of(10**13)),
        ("times.npy", header_of(10**6)),
        ("times.npy", header_of("a")),
        ("times.npy", np.lib.format.magic(1, 0) + b"\x09\x00((((((((("),
    ],
)
def test_archives_with_damaged_members_are_refused(tmp_path, name, content):
    file = tmp_path / "x.npz"
    arrays = {"joint_names": np.array(NAMES), "times": TIMES, "positions": POSITIONS}
    arrays.pop(name.removesuffix(".npy"), None)
    np.savez(file, **arrays)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, content)
    with pytest.raises(TrajectoryError) as info:
        read_any_joints(file)
    assert str(file) in str(info.value)


def test_files_that_are_no_archives_are_refused(tmp_path):
    with (tmp_path / "array.npz").open("wb") as stream:
        np.save(stream, POSITIONS)
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("array.npz", "text.npz", "empty.npz", "absent.npz", "absent.csv", "absent.yaml"):
        with pytest.raises(TrajectoryError, match=name):
            read_any_joints(tmp_path / name)


def test_other_extensions_are_refused_with_the_valid_ones(tmp_path):
    for name in ("x.txt", "x", "x.CSV"):
        with pytest.raises(TrajectoryError, match=r"\.csv, \.npz, \.yaml or \.mcap"):
            read_any_joints(tmp_path / name)
        with pytest.raises(TrajectoryError, match=r"\.csv, \.npz or \.yaml"):
            write_trajectory(tmp_path / name, JointTrajectory(NAMES, TIMES, POSITIONS))
    with pytest.raises(TrajectoryError, match="only recordings"):
        read_any_joints(tmp_path / "x.csv", topic="/joint_states")


@pytest.mark.parametrize("times", [TIMES - 1.0, TIMES + 2.0**31, TIMES * 1e-10])
def test_times_that_yaml_cannot_hold_are_refused(tmp_path, times):
    with pytest.raises(TrajectoryError, match=r"from 0 to 2\^31 s|increase strictly"):
        write_trajectory(tmp_path / "x.yaml", JointTrajectory(NAMES, times, POSITIONS))
    assert not (tmp_path / "x.yaml").exists()


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([".csv", ".yaml", ".npz"]), st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_damaged_files_are_valid_or_named(tmp_path_factory, suffix, data):
    file = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    write_trajectory(file, JointTrajectory(NAMES, TIMES, POSITIONS, VELOCITIES))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    refusal = None
    try:
        positions = read_any_joints(file).positions
    except KinematicsError as error:
        refusal = str(error)
    assert str(file) in refusal if refusal else np.isfinite(positions).all()
