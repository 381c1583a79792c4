"""Bags of a folder, what is missing in them, damage, and a robot that is rendered."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from k4d_kinematics import Camera, JointTrajectory, configured_robot, se3
from k4d_kinematics.configuration import from_mapping
from k4d_kinematics.errors import ConfigurationError
from k4d_world_model.dataset.bag_writer import write_bag
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.robot_pointmaps import with_robot_pointmaps
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.sources.rosbag import RosbagConfig, RosbagSource
from k4d_world_model.errors import DatasetError, RejectedEpisodeError, SourceError, WorldModelError

ROOT = Path(__file__).resolve().parents[3]
ALL = FrameSampling(7)


def test_bags_are_found_in_nested_folders(
    episode: Episode, config: RosbagConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "bags"
    (root / "monday" / "left arm").mkdir(parents=True)
    write_bag(episode, root / "monday" / "left arm" / "run 1", config)
    write_bag(episode, root / "zero", config)
    (root / "single").mkdir()
    shutil.copy(root / "zero" / "zero.mcap", root / "single" / "one.mcap")
    (root / ".half.partial").mkdir()
    shutil.copy(root / "zero" / "zero.mcap", root / ".half.partial" / "half.mcap")
    outside = tmp_path / "outside"
    write_bag(episode, outside, config)
    (root / "linked").symlink_to(tmp_path, target_is_directory=True)
    source = RosbagSource(config, root)
    assert source.episode_ids() == ("monday-left_arm-run_1", "single-one", "zero")
    for name in source.episode_ids():
        np.testing.assert_array_equal(source.read(name, ALL).rgb, episode.rgb)
    assert RosbagSource(config, root / "zero").episode_ids() == ("zero",)
    assert RosbagSource(config, root / "single" / "one.mcap").episode_ids() == ("one",)
    (tmp_path / "latest").symlink_to(root / "zero", target_is_directory=True)
    assert RosbagSource(config, tmp_path / "latest").episode_ids() == ("zero",)
    monkeypatch.chdir(root / "zero")
    assert RosbagSource(config, Path()).episode_ids() == ("zero",)
    with pytest.raises(SourceError, match="no bag 'two'; there are monday-left_arm-run_1, single-one, zero"):
        source.read("two", ALL)
    write_bag(episode, root / "monday" / "left_arm-run_1", config)
    with pytest.raises(SourceError, match="two bags would be called 'monday-left_arm-run_1'"):
        RosbagSource(config, root).episode_ids()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no rosbag2 folder"):
        RosbagSource(config, tmp_path / "empty").episode_ids()


@pytest.mark.parametrize("key", ["image_topic", "camera_info_topic", "depth_topic", "joint_topic"])
def test_a_missing_topic_is_named_with_those_there_are(
    episode: Episode, config: RosbagConfig, tmp_path: Path, key: str
) -> None:
    write_bag(episode, tmp_path / "a", config)
    wrong = RosbagSource(replace(config, **{key: "/nowhere"}), tmp_path)
    with pytest.raises(
        RejectedEpisodeError, match=r"no topic /nowhere; there are .*/cam/image \(sensor_msgs/msg/Image"
    ):
        wrong.read("a", ALL)


def test_a_topic_of_another_type_is_refused(episode: Episode, config: RosbagConfig, tmp_path: Path) -> None:
    write_bag(episode, tmp_path / "a", config)
    wrong = replace(config, success_topic="/task", task_topic="/success")
    with pytest.raises(RejectedEpisodeError, match=r"must carry std_msgs/msg/(Bool|String), got std_msgs"):
        RosbagSource(wrong, tmp_path).read("a", ALL)


def test_what_does_not_fit_is_rejected_with_a_reason(
    messages: Any, record: Callable[..., Path], config: RosbagConfig
) -> None:
    picture = ("/image", 0, messages.image(5, np.zeros((3, 4, 3), np.uint8), "rgb8"))
    small = Camera.pinhole(3, 4, 5.0, 5.0, 1.0, 1.0, frame_id="cam")
    zoomed = Camera.pinhole(3, 4, 9.0, 5.0, 1.0, 1.0, frame_id="cam")
    uncalibrated = messages.camera(small)
    uncalibrated.k = np.zeros(9)
    info = RosbagConfig("lab", "/image", camera_info_topic="/info")
    joints = RosbagConfig("lab", "/image", joint_topic="/joints")
    infinite = messages.joints(5, a=np.inf)
    uneven = messages.joints(5, a=1.0, b=2.0)
    uneven.position = uneven.position[:1]
    bags = [
        (info, [("/info", 0, messages.camera(small)), ("/info", 1, messages.camera(zoomed))], "one calibration.*got 2"),
        (info, [("/info", 0, uncalibrated)], "uncalibrated"),
        (info, [("/info", 0, messages.camera(replace(small, height=4)))], r"\(4, 4\), got \(3, 4\)"),
        (replace(info, world_frame="world"), [("/info", 0, messages.camera(small))], "no transform"),
        (joints, [("/joints", 0, infinite)], "finite, got inf for 'a'"),
        (joints, [("/joints", 0, uneven)], "got 1 positions"),
        (joints, [("/joints", 0, messages.joints(99, a=0.0))], "too little of it"),
    ]
    for index, (asked, records, reason) in enumerate(bags):
        bag = record([picture, *records], name=f"bags/{index}")
        with pytest.raises(RejectedEpisodeError, match=reason):
            RosbagSource(asked, bag).read(bag.name, FrameSampling(1))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_damage_never_shows_as_another_error(
    episode: Episode, config: RosbagConfig, tmp_path: Path, storage: str
) -> None:
    write_bag(episode, tmp_path / "a", config, storage=storage)
    rng = np.random.default_rng(5)
    named = 0
    for path in sorted((tmp_path / "a").iterdir()):
        sound = path.read_bytes()
        for attempt in range(30):
            damaged = bytearray(sound)
            if attempt < 8:
                damaged = damaged[: len(sound) * attempt // 8]
            else:
                for place in rng.integers(0, len(sound), 6).tolist():
                    damaged[place] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            try:
                RosbagSource(config, tmp_path).read("a", ALL)
            except SourceError as error:
                named += str(tmp_path / "a") in str(error)
            except WorldModelError:
                pass
        path.write_bytes(sound)
    assert named > 20
    np.testing.assert_array_equal(RosbagSource(config, tmp_path).read("a", ALL).rgb, episode.rgb)


def test_settings_that_do_not_fit_are_refused() -> None:
    wrong = {
        "name must not be empty": {"name": ""},
        "max_depth_age must be": {"max_depth_age": -1.0},
        "min_covered must be": {"min_covered": 0.0},
        "needs camera_info_topic": {"depth_topic": "/depth"},
        "needs world_frame": {"base_frame": "base"},
        "needs base_frame": {"robot": "panda.yaml"},
        "may be named once": {"joint_topic": "/image"},
    }
    for message, values in wrong.items():
        with pytest.raises(DatasetError, match=message):
            RosbagConfig(**{"name": "lab", "image_topic": "/image", **values})
    with pytest.raises(ConfigurationError, match="did you mean 'joint_topic'"):
        from_mapping({"name": "lab", "image_topic": "/i", "joints_topic": "/j"}, RosbagConfig)
    robot = RosbagConfig(
        "lab", "/i", "/c", joint_topic="/j", world_frame="w", base_frame="b", robot="../robots/panda.yaml"
    )
    with pytest.raises(DatasetError, match=r"names the robot '\.\./robots/panda.yaml'"):
        RosbagSource(robot, Path("."))


def test_the_committed_configuration_renders_the_robot(tmp_path: Path) -> None:
    source = open_source(ROOT / "config/sources/bag.yaml", root=tmp_path / "bags", cache_dir=tmp_path / "cache")
    panda = configured_robot(ROOT / "config/robots/panda.yaml", tmp_path / "cache")
    height, width, count = 24, 36, 3
    times = np.arange(count) / 10 + 50
    positions = np.linspace(panda.home, panda.home + 0.2, count)
    # Two metres before the robot, half a metre up, looking back at it.
    looking_back = np.array([[0, 0, -1.0], [1.0, 0, 0], [0, -1.0, 0]])
    T_world_cam = se3.from_rotation_translation(looking_back, [2.0, 0.0, 0.5])
    camera = Camera.pinhole(height, width, 30.0, 30.0, 17.5, 11.5, frame_id="front_camera_optical_frame")
    depth = np.full((count, height, width, 1), 3.0)
    rays = np.concatenate([camera.rays(), np.ones((height, width, 1))], axis=-1)
    episode = Episode(
        EpisodeInfo("one", "bag"), np.zeros((count, height, width, 3), np.uint8), times, camera=camera,
        T_world_cam=np.repeat(T_world_cam[None], count, axis=0), T_world_base=np.eye(4),
        joints=JointTrajectory(panda.robot.joint_names, times, positions),
        scene_points=(rays * depth).astype(np.float32),
    )  # fmt: skip
    (tmp_path / "bags").mkdir()
    write_bag(episode, tmp_path / "bags" / "one", source._config)
    read = source.read("one", FrameSampling(count))
    expected = with_robot_pointmaps(episode, panda)
    assert expected.robot_mask.any()
    np.testing.assert_array_equal(read.robot_mask, expected.robot_mask)
    np.testing.assert_allclose(read.robot_points, expected.robot_points, atol=1e-6)
    assert read.info.robot == panda.robot.name
