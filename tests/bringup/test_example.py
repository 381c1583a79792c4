"""The recorded episode in examples/ is what its README says, and comes from the program beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from k4d_kinematics import configured_robot, read_configuration
from k4d_simulation import SceneConfig, build_scene
from k4d_simulation.episode import simulate
from k4d_world_model.dataset import bag_messages
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.rosbag import RosbagSource

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "panda_pick_place"
FRAMES = 49


@pytest.fixture(scope="module")
def messages() -> dict[str, list[Any]]:
    topics: dict[str, list[Any]] = {}
    with Reader(EXAMPLE) as reader:
        for connection, _, raw in reader.messages():
            message = bag_messages.message_types().deserialize_cdr(raw, connection.msgtype)
            topics.setdefault(connection.topic, []).append(message)
    return topics


def stamps_ns(messages: list[Any]) -> list[int]:
    return [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in messages]


def test_it_is_as_small_as_its_readme_says() -> None:
    size = sum(path.stat().st_size for path in EXAMPLE.iterdir())
    assert size < 8_000_000
    assert f"Size: {size / 1e6:.1f} MB" in (EXAMPLE.parent / "README.md").read_text()


def test_it_holds_what_its_readme_says(messages: dict[str, list[Any]]) -> None:
    readme = (EXAMPLE.parent / "README.md").read_text()
    for topic, items in messages.items():
        assert f"`{topic}`" in readme, topic
        assert items[0].__msgtype__.replace("/msg/", "/") in readme, topic
    frames = {topic: messages[topic] for topic in messages if topic.startswith(("/front", "/wrist"))}
    assert set(frames) == {"/front/image_raw", "/front/depth", "/front/camera_info", "/wrist/camera_info"}
    assert {len(items) for items in frames.values()} == {FRAMES}
    for items in frames.values():
        assert set(stamps_ns(items)) <= set(stamps_ns(messages["/joint_states"]))
    np.testing.assert_allclose(np.diff(stamps_ns(messages["/joint_states"])), 50_000_000)
    assert [message.data for message in messages["/success"]] == [True]
    assert any(messages["/wrist/camera_info"][0].d)
    (plan,) = messages["/planned_trajectory"]
    np.testing.assert_allclose(plan.points[0].positions, messages["/joint_states"][-1].position[:7])


def test_images_and_depth_are_of_one_size_and_kind(messages: dict[str, list[Any]]) -> None:
    info = messages["/front/camera_info"][0]
    assert (info.height, info.width) == (480, 720)
    for image, depth in zip(messages["/front/image_raw"], messages["/front/depth"], strict=True):
        assert (image.encoding, image.height, image.width) == ("rgb8", 480, 720)
        assert (depth.encoding, depth.height, depth.width) == ("32FC1", 480, 720)
        metres = depth.data.view(np.float32)
        assert 0.2 < metres.min() < 1.0
        np.testing.assert_array_equal(metres * 2.0**15, np.round(metres * 2.0**15))


def test_its_motion_is_that_of_its_seed(messages: dict[str, list[Any]]) -> None:
    robot = configured_robot(ROOT / "config/robots/panda.yaml")
    config = read_configuration(ROOT / "config/scenes/medium.yaml", SceneConfig)
    scene = build_scene(robot, config, "pick_place", messages["/seed"][0].data)
    motion = simulate(scene)
    states = messages["/joint_states"]
    assert motion.success
    assert len(states) == len(motion.times)
    # Contacts multiply the last bits in which machines differ: only what comes before the grasp is compared.
    for state, positions in list(zip(states, motion.joints.positions, strict=True))[:20]:
        assert tuple(state.name) == motion.joints.joint_names
        np.testing.assert_allclose(state.position, positions, atol=1e-5)


def test_the_data_set_reads_it_as_an_episode() -> None:
    config = RosbagConfig(
        name="example", image_topic="/front/image_raw", camera_info_topic="/front/camera_info",
        depth_topic="/front/depth", joint_topic="/joint_states", success_topic="/success", seed_topic="/seed",
        robot="panda.yaml", world_frame="world", base_frame="panda_link0",
    )  # fmt: skip
    robot = configured_robot(ROOT / "config/robots/panda.yaml")
    episode = RosbagSource(config, EXAMPLE, robot).read("panda_pick_place", FrameSampling(frames=5))
    assert (episode.info.success, episode.info.seed, episode.frame_count) == (True, 9, 5)
    assert episode.scene_points is not None
    assert episode.robot_points is not None
    difference = (episode.scene_points - episode.robot_points)[..., 2][episode.robot_mask]
    assert np.median(np.abs(difference)) < 5e-5
