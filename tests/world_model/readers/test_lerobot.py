"""LeRobotDataset v3 written by lerobot, read without it: equal to what it reads, and damage is named."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from k4d_kinematics import ConfiguredRobot, Renderer, se3
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.calibration import CalibrationConfig
from k4d_world_model.dataset.sources.lerobot import LeRobotConfig, LeRobotSource
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.sources.recorded_fields import JointField, SuccessField
from k4d_world_model.errors import RejectedEpisodeError, SourceError

ARM = tuple(f"panda_joint{k}" for k in range(1, 8))
CONFIG = LeRobotConfig(
    "toy",
    "observation.images.front",
    joints=(JointField("observation.state", (*ARM, "gripper")),),
    success=SuccessField("next.success"),
)


def episodes(golden: Callable[[str], Any], name: str) -> list[list[dict[str, Any]]]:
    return [list(frames) for _, frames in groupby(golden(name), key=lambda frame: frame["episode"])]


def hashes(pictures: np.ndarray) -> list[str]:
    return [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]


@pytest.fixture
def video(fixtures: Path, tmp_path: Path) -> Path:
    """A copy of a data set that a test may damage."""
    return Path(shutil.copytree(fixtures / "lerobot_video", tmp_path / "video"))


def edit_info(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = root / "meta" / "info.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


@pytest.mark.parametrize("name", ["lerobot_video", "lerobot_image"])
def test_every_frame_is_what_lerobot_reads(name: str, fixtures: Path, golden: Callable[[str], Any]) -> None:
    source = LeRobotSource(CONFIG, fixtures / name)
    told = episodes(golden, name)
    assert source.episode_ids() == tuple(f"toy-{k:06d}" for k in range(len(told)))
    for episode_id, frames in zip(source.episode_ids(), told, strict=True):
        episode = source.read(episode_id, FrameSampling(len(frames)))
        assert list(episode.rgb.shape[1:]) == frames[0]["shape"]
        means = [frame["mean_rgb"] for frame in frames]
        np.testing.assert_allclose(episode.rgb.mean((1, 2)), means, atol=1.0 if name == "lerobot_video" else 1e-4)
        assert hashes(episode.rgb) == [frame["sha256"] for frame in frames]
        np.testing.assert_array_equal(episode.times, [frame["timestamp"] for frame in frames])
        assert episode.joints is not None
        np.testing.assert_array_equal(episode.joints.positions, [frame["state"] for frame in frames])
        assert episode.info.caption == frames[0]["task"]
        assert episode.info.success == any(frame["success"] for frame in frames)
        assert episode.info.robot == "panda"
        assert episode.scene_points is None


@pytest.mark.parametrize("name", ["lerobot_video", "lerobot_image"])
def test_chosen_frames_keep_their_times(name: str, fixtures: Path, golden: Callable[[str], Any]) -> None:
    source = LeRobotSource(CONFIG, fixtures / name)
    for episode_id, frames in zip(source.episode_ids(), episodes(golden, name), strict=True):
        chosen = [frames[k] for k in np.round(np.linspace(0, len(frames) - 1, 5)).astype(int)]
        episode = source.read(episode_id, FrameSampling(5))
        assert hashes(episode.rgb) == [frame["sha256"] for frame in chosen]
        np.testing.assert_array_equal(episode.times, [frame["timestamp"] for frame in chosen])


def test_the_example_configuration_reads_degrees(
    fixtures: Path, golden: Callable[[str], Any], source_file: Callable[[str], Path]
) -> None:
    source = open_source(source_file("lerobot"), root=fixtures / "lerobot_video")
    frames = episodes(golden, "lerobot_video")[1]
    episode = source.read("lerobot-000001", FrameSampling(len(frames)))
    assert episode.joints is not None
    assert episode.joints.joint_names == ARM
    expected = np.deg2rad([frame["state"][:7] for frame in frames])
    np.testing.assert_allclose(episode.joints.positions, expected, atol=1e-9)
    assert episode.info.success is False


def test_calibrated_joints_give_robot_pointmaps(
    fixtures: Path, golden: Callable[[str], Any], panda: ConfiguredRobot
) -> None:
    calibration = CalibrationConfig(
        height=66, width=96, K=(90.0, 0.0, 47.5, 0.0, 90.0, 32.5, 0.0, 0.0, 1.0),
        xyz=(1.7, 0.65, 0.9), quaternion_xyzw=(-0.359048, -0.730627, 0.521213, 0.256137), base_xyz=(0.5, 0.0, 0.2),
    )  # fmt: skip
    joints = (
        JointField("observation.state", (*ARM, ""), scale=np.pi / 180),
        JointField("next.success", ("panda_finger_joint1",), scale=0.01, offset=0.02),
    )
    config = replace(CONFIG, joints=joints, calibration=calibration, robot="panda.yaml")
    with pytest.raises(SourceError, match=r"the configuration names the robot 'panda\.yaml'"):
        LeRobotSource(config, fixtures / "lerobot_video")
    episode = LeRobotSource(config, fixtures / "lerobot_video", panda).read("toy-000002", FrameSampling(3))
    frames = [episodes(golden, "lerobot_video")[2][k] for k in (0, 5, 10)]
    q = np.array([[*np.deg2rad(frame["state"][:7]), 0.02 + 0.01 * frame["success"]] for frame in frames])
    T_world_base = np.eye(4)
    T_world_base[:3, 3] = 0.5, 0.0, 0.2
    T_cam_world = se3.inverse(se3.from_xyzw(calibration.xyz, calibration.quaternion_xyzw))
    T_base_link = panda.robot.forward_kinematics(panda.robot.order_positions([*ARM, "panda_finger_joint1"], q))
    assert episode.camera is not None
    assert episode.robot_mask is not None
    image = Renderer(panda.surface, episode.camera).render_sequence(T_cam_world @ T_world_base @ T_base_link)
    assert 0.02 < episode.robot_mask.mean() < 0.5
    np.testing.assert_array_equal(episode.robot_mask, image.mask)
    np.testing.assert_allclose(episode.robot_points, image.points_cam, atol=1e-5)


def test_pictures_of_another_size_than_calibrated_are_rejected(fixtures: Path, panda: ConfiguredRobot) -> None:
    calibration = CalibrationConfig(
        height=18, width=30, K=(90.0, 0.0, 14.5, 0.0, 90.0, 8.5, 0.0, 0.0, 1.0), xyz=(1.0, 0.0, 0.5),
        quaternion_xyzw=(0.0, 0.0, 0.0, 1.0),
    )  # fmt: skip
    source = LeRobotSource(replace(CONFIG, calibration=calibration), fixtures / "lerobot_video")
    with pytest.raises(RejectedEpisodeError, match=r"\(66, 96\) pixels \(height, width\), got \(18, 30\)"):
        source.read("toy-000000", FrameSampling(3))


def test_older_versions_are_named(video: Path) -> None:
    edit_info(video, lambda info: info.update(codebase_version="v2.1"))
    with pytest.raises(SourceError, match=r"info\.json: codebase_version 'v2\.1' is not supported, only 'v3\.0'"):
        LeRobotSource(CONFIG, video).episode_ids()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"camera": "observation.images.top"},
            r"no feature 'observation\.images\.top'; it has action, .*images\.front",
        ),
        ({"camera": "action"}, "must be of type video or image, got float32"),
        ({"success": SuccessField("success")}, "no feature 'success'; it has action, "),
        ({"joints": (JointField("joints", ("a",)),)}, "no feature 'joints'; it has action, "),
    ],
)
def test_missing_features_list_those_there_are(fixtures: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        LeRobotSource(replace(CONFIG, **change), fixtures / "lerobot_video").read("toy-000000", FrameSampling(3))


def test_depth_maps_are_refused_as_colour(video: Path) -> None:
    edit_info(video, lambda info: info["features"][CONFIG.camera]["info"].update(is_depth_map=True))
    with pytest.raises(SourceError, match="is a depth map"):
        LeRobotSource(CONFIG, video).episode_ids()


def test_unknown_episodes_are_refused(fixtures: Path) -> None:
    with pytest.raises(SourceError, match="no episode 'toy-000004'"):
        LeRobotSource(CONFIG, fixtures / "lerobot_video").read("toy-000004", FrameSampling(3))


@pytest.mark.parametrize(
    "file",
    [
        "data/chunk-000/file-000.parquet",
        "videos/observation.images.front/chunk-000/file-000.mp4",
        "meta/info.json",
        "meta/episodes/chunk-000/file-000.parquet",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated"])
def test_damaged_files_are_named(video: Path, file: str, damage: str) -> None:
    path = video / file
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2 if damage == "truncated" else 0])
    expected = "meta/episodes: holds no" if (damage, file[:8]) == ("missing", "meta/epi") else file
    with pytest.raises(SourceError, match=expected):
        LeRobotSource(CONFIG, video).read("toy-000000", FrameSampling(3))


def test_rows_that_are_missing_are_named(video: Path) -> None:
    path = video / "data/chunk-000/file-000.parquet"
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.slice(1), path)
    with pytest.raises(SourceError, match=r"file-000\.parquet: episode 0 must have the frames 0 to 13, got 13: \[1, 2"):
        LeRobotSource(CONFIG, video).read("toy-000000", FrameSampling(3))
    pyarrow.parquet.write_table(table.drop_columns(["timestamp"]), path)
    with pytest.raises(SourceError, match=r"file-000\.parquet: no column timestamp; it has observation\.state, action"):
        LeRobotSource(CONFIG, video).read("toy-000000", FrameSampling(3))
    stamps = table.column_names.index("timestamp")
    frozen = table.set_column(stamps, "timestamp", pyarrow.array(np.zeros(len(table), np.float32)))
    pyarrow.parquet.write_table(frozen, path)
    with pytest.raises(SourceError, match=r"file-000\.parquet: timestamps of episode 0 must be finite and increase"):
        LeRobotSource(CONFIG, video).read("toy-000000", FrameSampling(3))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("length", 10**11, r"episode 0 must have the frames 0 to 99999999999, got 14"),
        ("length", 14.0, "missing values or others than whole numbers"),
        (f"videos/{CONFIG.camera}/from_timestamp", float("inf"), "missing values or others than whole numbers"),
    ],
)
def test_an_episodes_row_that_cannot_be_is_named(video: Path, column: str, value: float, message: str) -> None:
    path = video / "meta/episodes/chunk-000/file-000.parquet"
    table = pyarrow.parquet.read_table(path)
    changed = pyarrow.array([value] + [type(value)(other) for other in table[column].to_pylist()[1:]])
    pyarrow.parquet.write_table(table.set_column(table.column_names.index(column), column, changed), path)
    with pytest.raises(SourceError, match=rf"file-000\.parquet: .*{message}"):
        LeRobotSource(CONFIG, video).read("toy-000000", FrameSampling(3))


@pytest.mark.parametrize("template", ["../{chunk_index}.parquet", "/etc/passwd", "{chunk_index.__class__}", "{0}", "{"])
def test_paths_that_the_data_set_names_stay_inside(video: Path, template: str) -> None:
    edit_info(video, lambda info: info.update(data_path=template))
    with pytest.raises(SourceError, match=r"must stay inside its folder|data_path may have"):
        LeRobotSource(CONFIG, video).read("toy-000000", FrameSampling(3))


def test_links_are_followed_inside_the_folder_and_a_download_cache_only(fixtures: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "4a1c"
    blobs.mkdir(parents=True)
    for number, path in enumerate(path for path in (fixtures / "lerobot_image").rglob("*") if path.is_file()):
        shutil.copy(path, blobs / str(number))
        link = snapshot / path.relative_to(fixtures / "lerobot_image")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    assert LeRobotSource(CONFIG, snapshot).read("toy-000000", FrameSampling(3)).frame_count == 3
    moved = tmp_path / "moved"
    snapshot.rename(moved)
    with pytest.raises(SourceError, match="this link leaves the data set's folder"):
        LeRobotSource(CONFIG, moved).episode_ids()
