"""Joint trajectories from and to files: CSV, NPZ and YAML in both directions, recordings to read."""

import csv
import difflib
import lzma
import reprlib
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.lib.npyio import NpzFile

from k4d_kinematics.errors import TrajectoryError
from k4d_kinematics.recordings import read_recorded_trajectory
from k4d_kinematics.robot import Robot
from k4d_kinematics.trajectory import JointTrajectory, checked_times

_VELOCITY = "/velocity"
_OPTIONAL_IN_POINT = ("velocities", "accelerations", "effort")

# What reading an archive and YAML raises: the parsers' own errors, and Python's where a damaged size, number, date or
# depth of nesting is used.
_ARCHIVE_DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)
_YAML_DAMAGE = (OSError, yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)


def read_trajectory(path: str | Path, robot: Robot, *, topic: str | None = None) -> JointTrajectory:
    """The trajectory of ``robot``'s joints that a file holds, in the robot's joint order.

    Joints of the file that are not the robot's are left out. Raises JointStateError when one of the robot's is missing,
    and TrajectoryError as ``read_any_joints`` does.
    """
    return read_any_joints(path, topic=topic).reorder(robot.joint_names)


def read_any_joints(path: str | Path, *, topic: str | None = None) -> JointTrajectory:
    """The trajectory of whatever joints a file holds, radians or metres and seconds.

    ``.csv``: a header ``time`` and joint names, where ``<joint>/velocity`` holds a joint's velocity. ``.npz``:
    ``joint_names``, ``times``, ``positions`` and maybe ``velocities``. ``.yaml``: a trajectory_msgs/JointTrajectory as
    ``ros2 topic pub`` takes it. ``.mcap`` or a rosbag2 folder: see ``read_recorded_trajectory``; only these take a
    ``topic``. Raises TrajectoryError naming the file and what is wrong with it, a file without any joint included.
    """
    file = Path(path)
    trajectory = _read(file, topic)
    if not trajectory.joint_names:
        raise TrajectoryError(f"{file}: must hold at least one joint, got none")
    return trajectory


def _read(file: Path, topic: str | None) -> JointTrajectory:
    if file.suffix == ".mcap" or file.is_dir():
        return read_recorded_trajectory(file, topic)
    readers = {".csv": _read_csv, ".npz": _read_npz, ".yaml": _read_yaml}
    if file.suffix not in readers:
        raise TrajectoryError(f"{file}: a trajectory is a .csv, .npz, .yaml or .mcap file or a rosbag2 folder")
    if topic is not None:
        raise TrajectoryError(f"{file}: only recordings (.mcap, rosbag2 folder) have topics, got topic {topic!r}")
    try:
        return readers[file.suffix](file)
    except TrajectoryError as error:
        raise TrajectoryError(f"{file}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrajectoryError(f"{file}: cannot be read: {error}") from error


def write_trajectory(path: str | Path, trajectory: JointTrajectory) -> None:
    """Writes a trajectory as .csv, .npz or .yaml so that reading it gives the same numbers.

    YAML keeps times to the nanosecond, as its message does. Raises TrajectoryError on any other extension.
    """
    file = Path(path)
    writers = {".csv": _write_csv, ".npz": _write_npz, ".yaml": _write_yaml}
    if file.suffix not in writers:
        raise TrajectoryError(f"{file}: a trajectory is written as .csv, .npz or .yaml, got {file.suffix!r}")
    writers[file.suffix](file, trajectory)


def _read_csv(file: Path) -> JointTrajectory:
    with file.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream, strict=True) if row]
    header = [cell.strip() for cell in rows[0]] if rows else []
    if header[:1] != ["time"]:
        raise TrajectoryError(f"the first line must be 'time' and joint names, got {header}")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise TrajectoryError(f"row {number} must have {len(header)} cells as the first line, got {len(row)}")
    table = [_numbers(f"row {number}", row) for number, row in enumerate(rows[1:], start=1)]
    columns = JointTrajectory.from_positions(header, table, rate_hz=1.0)
    names = [name for name in header[1:] if not name.endswith(_VELOCITY)]
    rates = [name + _VELOCITY for name in names]
    if len(header) > 1 + len(names) and sorted(header[1:]) != sorted(names + rates):
        raise TrajectoryError(f"each joint must have one {_VELOCITY!r} column, or none any; got {header[1:]}")
    velocities = columns.reorder(rates).positions if len(header) > 1 + len(names) else None
    return JointTrajectory(tuple(names), columns.positions[:, 0], columns.reorder(names).positions, velocities)


def _write_csv(file: Path, trajectory: JointTrajectory) -> None:
    header = ["time", *trajectory.joint_names]
    table = [trajectory.times[:, None], trajectory.positions]
    if trajectory.velocities is not None:
        header += [name + _VELOCITY for name in trajectory.joint_names]
        table.append(trajectory.velocities)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(np.hstack(table).tolist())


def _read_npz(file: Path) -> JointTrajectory:
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, NpzFile):
            raise TrajectoryError("must be an archive of arrays, got a single array")
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    except TrajectoryError:
        raise
    except _ARCHIVE_DAMAGE as error:
        raise TrajectoryError(f"cannot be read without pickle: {error}") from error
    foreign = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if foreign:
        raise TrajectoryError(f"must be an archive of arrays, got {foreign} that are none")
    missing = sorted({"joint_names", "times", "positions"} - set(arrays))
    if missing or arrays["joint_names"].ndim != 1 or arrays["joint_names"].dtype.kind != "U":
        raise TrajectoryError(
            "must hold joint_names (a row of strings), times and positions, got "
            + (", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items()) or "nothing")
        )
    names = tuple(arrays["joint_names"].tolist())
    return JointTrajectory(names, arrays["times"], arrays["positions"], arrays.get("velocities"))


def _write_npz(file: Path, trajectory: JointTrajectory) -> None:
    arrays: dict[str, Any] = {"times": trajectory.times, "positions": trajectory.positions}
    if trajectory.velocities is not None:
        arrays["velocities"] = trajectory.velocities
    with file.open("wb") as stream:
        np.savez(stream, joint_names=np.array(trajectory.joint_names), **arrays)


def _read_yaml(file: Path) -> JointTrajectory:
    # `ros2 topic echo` ends each message with a document mark, which makes an empty document.
    try:
        documents = [item for item in yaml.safe_load_all(file.read_text(encoding="utf-8")) if item is not None]
    except _YAML_DAMAGE as error:
        raise TrajectoryError(f"cannot be read as YAML: {error}") from error
    if len(documents) != 1:
        raise TrajectoryError(f"must hold one trajectory, got {len(documents)}")
    message = _mapping("the trajectory", documents[0], ("joint_names", "points"), ("header",))
    points = [
        _mapping(f"point {k}", point, ("positions", "time_from_start"), _OPTIONAL_IN_POINT)
        for k, point in enumerate(_sequence("points", message["points"]))
    ]
    header = _mapping("header", message.get("header", {}), (), ("stamp", "frame_id"))
    moving = [_numbers(f"velocities of point {k}", point.get("velocities", [])) for k, point in enumerate(points)]
    return JointTrajectory.from_points(
        _sequence("joint_names", message["joint_names"]),
        [_numbers(f"positions of point {k}", point["positions"]) for k, point in enumerate(points)],
        [_seconds(f"time_from_start of point {k}", point["time_from_start"]) for k, point in enumerate(points)],
        moving if any(moving) else None,
        start_time=_seconds("stamp", header.get("stamp", {})),
    )


def _write_yaml(file: Path, trajectory: JointTrajectory) -> None:
    stamps_ns = [round(time * 1e9) for time in trajectory.times.tolist()]
    if not 0 <= stamps_ns[0] <= stamps_ns[-1] < 2**31 * 10**9:
        raise TrajectoryError(f"{file}: YAML holds times from 0 to 2^31 s, got {trajectory.times[[0, -1]].tolist()}")
    checked_times(stamps_ns)
    points = []
    for k, stamp_ns in enumerate(stamps_ns):
        point: dict[str, Any] = {"positions": trajectory.positions[k].tolist()}
        if trajectory.velocities is not None:
            point["velocities"] = trajectory.velocities[k].tolist()
        point["time_from_start"] = {"sec": stamp_ns // 10**9, "nanosec": stamp_ns % 10**9}
        points.append(point)
    content = {"joint_names": list(trajectory.joint_names), "points": points}
    file.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")


def _mapping(label: str, value: Any, needed: Sequence[str], allowed: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TrajectoryError(f"{label} must be a mapping of {[*needed, *allowed]}, got {reprlib.repr(value)}")
    for key in value:
        if key not in (*needed, *allowed):
            closest = difflib.get_close_matches(str(key), [*needed, *allowed], n=1)
            hint = f"did you mean {closest[0]!r}? " if closest else ""
            raise TrajectoryError(f"{label} has the unknown key {key!r}; {hint}valid are {[*needed, *allowed]}")
    missing = [key for key in needed if key not in value]
    if missing:
        raise TrajectoryError(f"{label} lacks {missing}; it has {list(value)}")
    return value


def _sequence(label: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TrajectoryError(f"{label} must be a list, got {reprlib.repr(value)}")
    return value


def _numbers(label: str, cells: Any) -> Any:
    """A row's cells with texts as numbers, since YAML takes 1e-3 as a text; anything but a list is left as it is."""
    return [_number(label, cell) for cell in cells] if isinstance(cells, list) else cells


def _number(label: str, cell: Any) -> Any:
    try:
        # Python, but no spreadsheet, takes underscores between digits.
        if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):
            raise ValueError(cell)
        return float(cell) if isinstance(cell, str) else cell
    except ValueError as error:
        raise TrajectoryError(f"{label} must be numbers, got {reprlib.repr(cell)}") from error


def _seconds(label: str, value: Any) -> float:
    """Seconds of a stamp or duration; a part that is left out is 0, as in ROS messages."""
    parts = _mapping(label, value, (), ("sec", "nanosec"))
    sec, nanosec = parts.get("sec", 0), parts.get("nanosec", 0)
    for name, part, end in (("sec", sec, 2**31), ("nanosec", nanosec, 10**9)):
        if not isinstance(part, int) or isinstance(part, bool) or not -(2**31) * (name == "sec") <= part < end:
            raise TrajectoryError(f"{name} of {label} must be a whole number below {end}, got {reprlib.repr(part)}")
    return float(sec + nanosec * 1e-9)
