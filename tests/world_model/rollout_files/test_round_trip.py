"""What is written is read back to the last bit, from the folder and from the recording."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from k4d_kinematics import JointTrajectory
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import read_recorded, read_rollout, write_rollout


def same(a: object, b: object) -> bool:
    """Equal in type and to the last bit, members of dataclasses one by one."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, item.name), getattr(b, item.name)) for item in fields(a))  # type: ignore[arg-type]
    return a == b


@pytest.mark.parametrize("name", [".", "rollout.mcap"])
def test_nothing_is_lost(name: str, rollout: Rollout, tmp_path: Path) -> None:
    write_rollout(tmp_path / "out", rollout, stamp_ns=1_760_000_000_000_000_001, base_frame="base")
    assert same(read_rollout(tmp_path / "out" / name), rollout)


@pytest.mark.parametrize("name", [".", "rollout.mcap"])
def test_what_is_unknown_stays_unknown(name: str, rollout: Rollout, tmp_path: Path) -> None:
    fit = replace(rollout.fit, residual=math.nan, reason="the robot is hardly visible")
    known_less = replace(rollout, joints=None, fit=fit)
    write_rollout(tmp_path, known_less)
    assert same(read_rollout(tmp_path / name), known_less)


def test_joints_without_velocities(rollout: Rollout, tmp_path: Path) -> None:
    assert rollout.joints is not None
    joints = JointTrajectory(rollout.joints.joint_names, rollout.times, rollout.joints.positions)
    write_rollout(tmp_path, replace(rollout, joints=joints))
    assert same(read_rollout(tmp_path), replace(rollout, joints=joints))


def test_a_pointmap_of_odd_bits_survives(rollout: Rollout, tmp_path: Path) -> None:
    points = rollout.points.copy()
    points[rollout.valid] = np.nextafter(points[rollout.valid], np.float32(9))
    points[2, 3, 4], points[1, 1, 1] = (-0.0, np.float32(1e-45), 1e30), (np.nan, np.inf, -np.inf)
    valid = np.isfinite(points).all(axis=-1)
    odd = replace(rollout, points=points, valid=valid)
    write_rollout(tmp_path, odd)
    for path in (tmp_path, tmp_path / "rollout.mcap"):
        assert read_rollout(path).points.tobytes() == points.tobytes()


def test_the_recorded_future_lies_beside_the_predicted(rollout: Rollout, recorded: Episode, tmp_path: Path) -> None:
    write_rollout(tmp_path, rollout, recorded=recorded)
    frames = read_recorded(tmp_path)
    assert frames is not None
    assert np.array_equal(frames.rgb, recorded.rgb)
    assert recorded.scene_points is not None
    assert frames.points.tobytes() == recorded.scene_points.tobytes()
    write_rollout(tmp_path, rollout)
    assert read_recorded(tmp_path) is None
    assert not (tmp_path / "recorded").exists()


def test_a_shorter_rollout_replaces_a_longer_one(rollout: Rollout, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_rollout(tmp_path, rollout)
    first = Rollout(
        rollout.rgb[:2], rollout.points[:2], rollout.valid[:2], rollout.times[:2], rollout.camera,
        rollout.T_cam_base[:2], rollout.fit, rollout.provenance,
    )  # fmt: skip
    write_rollout(tmp_path, first)
    assert same(read_rollout(tmp_path), first)
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [
        "0000.npz", "0000.ply", "0001.npz", "0001.ply",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "frames", "notes.txt", "predicted.mp4", "rollout.mcap", "summary.json",
    ]  # fmt: skip


def test_other_programs_read_the_clouds(rollout: Rollout, tmp_path: Path) -> None:
    write_rollout(tmp_path, rollout)
    for k in range(len(rollout.times)):
        cloud = trimesh.load(tmp_path / "frames" / f"{k:04d}.ply")
        assert np.array_equal(np.asarray(cloud.vertices, np.float32), rollout.points[k][rollout.valid[k]])
        assert np.array_equal(cloud.colors[:, :3], rollout.rgb[k][rollout.valid[k]])
        with np.load(tmp_path / "frames" / f"{k:04d}.npz", allow_pickle=False) as arrays:
            assert set(arrays.files) == {"rgb", "points_cam", "valid"}


def test_the_summary_says_what_it_is(rollout: Rollout, recorded: Episode, tmp_path: Path) -> None:
    write_rollout(tmp_path, rollout, recorded=recorded, base_frame="base")
    text = (tmp_path / "summary.json").read_text()
    summary = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (summary["frames"], summary["height"], summary["width"]) == rollout.valid.shape
    assert summary["fit"]["residual"] == rollout.fit.residual
    assert summary["provenance"]["seed"] == rollout.provenance.seed
    assert summary["times"] == rollout.times.tolist()
    assert summary["base_frame"] == "base"
