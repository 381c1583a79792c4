"""Files that are missing, damaged, foreign or do not fit are named; nothing is taken for a rollout that is none."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import Camera
from k4d_world_model import rollout_bag, rollout_files
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import read_recorded, read_rollout, write_rollout


@pytest.fixture
def written(rollout: Rollout, recorded: Episode, tmp_path: Path) -> Path:
    write_rollout(tmp_path / "out", rollout, recorded=recorded)
    return tmp_path / "out"


def with_summary(folder: Path, **changes: object) -> None:
    path = folder / "summary.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value != "gone"}))


def as_array_file(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))


FRAME = "frames/0003.npz"
DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no summary": ("summary.json", lambda d: (d / "summary.json").unlink()),
    "cut summary": ("summary.json", lambda d: (d / "summary.json").write_text("{")),
    "list": ("summary.json", lambda d: (d / "summary.json").write_text("[]")),
    "bytes": ("summary.json", lambda d: (d / "summary.json").write_bytes(b"\xff\xfe")),
    "deep": ("summary.json", lambda d: (d / "summary.json").write_text("[" * 100_000)),
    "foreign": ("format", lambda d: with_summary(d, format="k4d pointmaps")),
    "newer": ("version 1", lambda d: with_summary(d, version=2)),
    "no times": ("times", lambda d: with_summary(d, times="gone")),
    "texts": ("times", lambda d: with_summary(d, times=["a"] * 5)),
    "no camera": ("camera", lambda d: with_summary(d, camera="gone")),
    "bare camera": ("camera", lambda d: with_summary(d, camera={"height": 3})),
    "no pose": ("T_cam_base", lambda d: with_summary(d, T_cam_base=[])),
    "short fit": ("fit", lambda d: with_summary(d, fit={"scale": [1], "offset": [1], "residual": None})),
    "provenance": ("provenance", lambda d: with_summary(d, provenance={"model_name": 3})),
    "joints": ("joints", lambda d: with_summary(d, joints={"joint_names": ["a"], "positions": [[1]]})),
    "no frame": (FRAME, lambda d: (d / FRAME).unlink()),
    "empty frame": (FRAME, lambda d: (d / FRAME).write_bytes(b"")),
    "cut frame": (FRAME, lambda d: (d / FRAME).write_bytes((d / FRAME).read_bytes()[:-40])),
    "array": (FRAME, lambda d: as_array_file(d / FRAME)),
    "lacking": (FRAME, lambda d: np.savez(d / FRAME, rgb=np.zeros((6, 10, 3), np.uint8))),
    "size": (FRAME, lambda d: np.savez(
        d / FRAME, rgb=np.zeros((2, 10, 3), np.uint8), valid=np.zeros((2, 10), bool),
        points_cam=np.full((2, 10, 3), np.nan, np.float32),
    )),
    "type": (FRAME, lambda d: np.savez(
        d / FRAME, rgb=np.zeros((6, 10, 3)), valid=np.zeros((6, 10), bool),
        points_cam=np.full((6, 10, 3), np.nan, np.float32),
    )),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(name: str, written: Path) -> None:
    wanted, damage = DAMAGES[name]
    damage(written)
    with pytest.raises(RolloutError, match=wanted.replace(".", r"\.")) as caught:
        read_rollout(written)
    assert str(written) in str(caught.value)


def test_a_flipped_bit_is_noticed(written: Path) -> None:
    path = written / FRAME
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RolloutError, match="0003"):
        read_rollout(written)


def test_damage_of_the_recorded_future_is_named(written: Path) -> None:
    (written / "recorded" / "0002.npz").write_bytes(b"no")
    with pytest.raises(RolloutError, match="recorded/0002"):
        read_recorded(written)
    shutil.rmtree(written / "recorded")
    with pytest.raises(RolloutError, match="recorded/0000"):
        read_recorded(written)


@pytest.mark.parametrize("keep", [0, 100, -60, -1])
def test_a_cut_recording_is_named(keep: int, written: Path) -> None:
    path = written / "rollout.mcap"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RolloutError, match=r"rollout\.mcap"):
        read_rollout(path)


def test_a_recording_of_something_else_is_named(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[3] / "examples" / "panda_pick_place"
    with pytest.raises(RolloutError, match="must hold one rollout, got none"):
        read_rollout(example)
    with pytest.raises(RolloutError, match="nowhere"):
        read_rollout(tmp_path / "nowhere.mcap")
    with pytest.raises(RolloutError, match="nowhere"):
        read_rollout(tmp_path / "nowhere")


def test_a_recording_that_lost_frames_is_named(
    rollout: Rollout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rollout_bag.messages.frame_message
    monkeypatch.setattr(rollout_bag.messages, "frame_message", lambda r, k, *rest: whole(r, 0 if k == 3 else k, *rest))
    rollout_bag.write_rollout_bag(tmp_path / "a.mcap", rollout, stamp_ns=0, base_frame="")
    with pytest.raises(RolloutError, match=r"5 frames \[3\] are missing"):
        read_rollout(tmp_path / "a.mcap")


def test_an_interrupted_writing_is_no_rollout(rollout: Rollout, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(rollout_files, "write_video", fail)
    with pytest.raises(RolloutError, match="disk full"):
        write_rollout(written, rollout)
    with pytest.raises(RolloutError, match="written last"):
        read_rollout(written)


def test_a_foreign_summary_is_not_overwritten(rollout: Rollout, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"robot": "panda"}')
    with pytest.raises(RolloutError, match="not that of a rollout"):
        write_rollout(tmp_path, rollout)
    assert (tmp_path / "summary.json").read_text() == '{"robot": "panda"}'


def test_a_folder_that_cannot_be_one_is_named(rollout: Rollout, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RolloutError, match="file/out cannot be written"):
        write_rollout(tmp_path / "file" / "out", rollout)


def test_what_does_not_fit_is_refused_before_anything_is_written(
    rollout: Rollout, conditioning: Conditioning, recorded: Episode, tmp_path: Path
) -> None:
    short = replace(recorded, rgb=recorded.rgb[:4], times=recorded.times[:4], scene_points=None)
    shifted = replace(recorded, times=1e9 + 2 * rollout.times)
    narrow = replace(recorded, rgb=recorded.rgb[:, :, :9], scene_points=None)
    lens = Camera(6, 10, rollout.camera.K, D=(0.1, 0, 0, 0), distortion_model="plumb_bob")
    cut = replace(
        conditioning, robot_points=conditioning.robot_points[:2], robot_mask=conditioning.robot_mask[:2],
        times=conditioning.times[:2], T_cam_base=conditioning.T_cam_base[:2],
    )  # fmt: skip
    out = tmp_path / "out"
    with pytest.raises(RolloutError, match=r"\(5, 6, 10\), got \(4, 6, 10\)"):
        write_rollout(out, rollout, recorded=short)
    with pytest.raises(RolloutError, match="lie within"):
        write_rollout(out, rollout, recorded=shifted)
    with pytest.raises(RolloutError, match=r"\(5, 6, 10\), got \(5, 6, 9\)"):
        write_rollout(out, rollout, recorded=narrow)
    with pytest.raises(RolloutError, match=r"\(5, 6, 10\) frames and pixels, got \(2, 6, 10\)"):
        write_rollout(out, rollout, cut)
    with pytest.raises(RolloutError, match="undistorted"):
        write_rollout(out, replace(rollout, camera=lens))
    with pytest.raises(RolloutError, match="stamp"):
        write_rollout(out, rollout, stamp_ns=-(10**12))
    with pytest.raises(RolloutError, match="finite"):
        write_rollout(out, replace(rollout, T_cam_base=np.full_like(rollout.T_cam_base, np.nan)))
    assert not out.exists()
