"""Simulated episodes through the seam of all sources."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import configured_robot
from k4d_kinematics.configuration import from_mapping
from k4d_simulation.episode import simulate
from k4d_simulation.errors import RenderingError
from k4d_simulation.perturbation import PERTURBATIONS
from k4d_simulation.scene import build_scene
from k4d_world_model.dataset.bag_writer import write_bag
from k4d_world_model.dataset.robot_pointmaps import with_robot_pointmaps
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources import simulation
from k4d_world_model.dataset.sources.opening import open_source, read_source_yaml
from k4d_world_model.dataset.sources.rosbag import RosbagConfig, RosbagSource
from k4d_world_model.dataset.sources.simulation import SimulationConfig, SimulationSource
from k4d_world_model.errors import DatasetError, RejectedEpisodeError, SourceError

CONFIG = Path(__file__).resolve().parents[3] / "config"
SMALL = SimulationConfig(
    "little", "../robots/panda.yaml", "../scenes/medium.yaml", ("reach", "push"), 70, seed=40, height=24, width=36,
    shadows=False, samples=0,
)  # fmt: skip
FIVE = FrameSampling(frames=5)


@pytest.fixture(scope="module")
def robot():
    return configured_robot(CONFIG / "robots" / "panda.yaml")


@pytest.fixture(scope="module")
def source(robot):
    return SimulationSource(SMALL, CONFIG / "sources", robot)


@pytest.fixture(scope="module")
def episode(source):
    return source.read("push_000041_expert", FIVE)


def test_every_variant_of_every_task_has_its_turn(source):
    ids = source.episode_ids()
    assert ids[:4] == ("reach_000040_expert", "push_000041_expert", "reach_000042_near_miss",
                       "push_000043_noise_segment0_sigma0.5")  # fmt: skip
    assert len(set(ids)) == 70
    names = {perturbation.name for perturbation in PERTURBATIONS}
    variants = {task: {name.split("_", 2)[2] for name in ids if name.startswith(task)} for task in ("reach", "push")}
    assert variants == {"reach": {"expert", "near_miss", *names}, "push": {"expert", *names}}


def test_without_failures_all_are_the_experts(robot):
    source = SimulationSource(replace(SMALL, with_failures=False, episodes=3), CONFIG / "sources", robot)
    assert source.episode_ids() == ("reach_000040_expert", "push_000041_expert", "reach_000042_expert")


def test_an_episode_is_the_same_whenever_it_is_read(robot, source, episode):
    source.read("reach_000042_near_miss", FIVE)
    again = SimulationSource(SMALL, CONFIG / "sources", robot).read("push_000041_expert", FIVE)
    assert again.info == episode.info
    assert again.camera == episode.camera
    for field in fields(episode):
        value = getattr(episode, field.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(again, field.name), value)
    np.testing.assert_array_equal(again.joints.positions, episode.joints.positions)


def test_the_label_is_what_the_checker_found(robot, source):
    for episode_id in ("reach_000040_expert", "reach_000042_near_miss", "push_000043_noise_segment0_sigma0.5"):
        task, seed, perturbation, near_miss = source._recipes[episode_id]
        motion = simulate(build_scene(robot, source._scene_config, task, seed), perturbation, near_miss=near_miss)
        info = source.read(episode_id, FrameSampling(frames=1)).info
        assert info.success == motion.success
        assert info.success == episode_id.endswith("expert")
        assert info.provenance.endswith(f"checker: {motion.outcome.reason}")


def test_an_episode_that_was_to_fail_and_did_not_is_a_success(source, monkeypatch):
    def succeed(*arguments, **options):
        motion = simulate(*arguments, **options)
        return replace(motion, outcome=replace(motion.outcome, success=True, reason="done all the same"))

    monkeypatch.setattr(simulation, "simulate", succeed)
    info = source.read("push_000043_noise_segment0_sigma0.5", FrameSampling(frames=1)).info
    assert (info.success, info.variant) == (True, "noise_segment0_sigma0.5")
    assert info.provenance.endswith("checker: done all the same")


def test_what_is_known_is_told(source, episode):
    info = episode.info
    assert (info.source, info.robot, info.task, info.variant, info.seed) == ("little", "panda", "push", "expert", 41)
    assert info.success is True
    assert info.caption.startswith("The panda robot pushes the ")
    assert info.scene_caption.startswith("A panda robot at a table with a ")
    assert "scene medium, reduced meshes, shadows False, 0 samples, shadow map 2048 px" in info.provenance


def test_things_in_the_still_scene_are_counted_and_named(robot, source):
    scene = build_scene(robot, source._scene_config, "push", 41)
    thing = replace(scene.layout.object, shape="box", colour="orange")
    other = replace(thing, shape="sphere", colour="white")
    layout = replace(scene.layout, object=thing, target_colour="grey", distractors=(thing, other))
    assert simulation.describe_still(replace(scene, layout=layout)) == (
        "A panda robot at a table with a grey disc, 2 orange boxes and a white sphere."
    )


def test_poses_joints_and_points_fit_each_other(robot, episode):
    assert episode.rgb.shape == (5, 24, 36, 3)
    assert episode.scale == "metric"
    recomputed = with_robot_pointmaps(replace(episode, robot_points=None, robot_mask=None), robot)
    np.testing.assert_array_equal(recomputed.robot_mask, episode.robot_mask)
    np.testing.assert_allclose(recomputed.robot_points, episode.robot_points, atol=1e-6)
    seen = episode.robot_mask & (np.abs(episode.scene_points - episode.robot_points)[..., 2] < 0.02)
    assert seen.sum() > 0.8 * episode.robot_mask.sum()
    T = episode.T_world_cam[0]
    points_world = episode.scene_points[0][~episode.robot_mask[0]] @ T[:3, :3].T + T[:3, 3]
    assert (np.abs(points_world[:, 2]) < 1e-4).mean() > 0.2  # the table's top


def test_an_episode_becomes_a_bag_by_the_shipped_topics_and_comes_back(robot, episode, tmp_path):
    content = read_source_yaml(CONFIG / "sources" / "bag.yaml")
    config = from_mapping({key: value for key, value in content.items() if key != "source"}, RosbagConfig)
    write_bag(episode, tmp_path / "one", config)
    again = RosbagSource(config, tmp_path, robot).read("one", FIVE)
    assert again.camera == episode.camera
    assert again.camera.frame_id == "front_camera_optical_frame"
    np.testing.assert_array_equal(again.rgb, episode.rgb)
    np.testing.assert_allclose(again.T_world_cam, episode.T_world_cam, atol=1e-12)
    np.testing.assert_allclose(again.scene_points, episode.scene_points, atol=1e-5)
    np.testing.assert_array_equal(again.robot_mask, episode.robot_mask)


def test_the_sampling_decides_the_frames(source, episode):
    more = source.read("push_000041_expert", FrameSampling(frames=9))
    np.testing.assert_array_equal(more.times[[0, 4, 8]], episode.times[[0, 2, 4]])
    np.testing.assert_array_equal(more.rgb[[0, 4, 8]], episode.rgb[[0, 2, 4]])


def test_a_short_motion_is_mirrored_only_when_asked(source):
    count = 61  # of a reach, the shortest motion
    with pytest.raises(RejectedEpisodeError, match=f"it has {count} frames, {count + 3} are needed"):
        source.read("reach_000040_expert", FrameSampling(frames=count + 3))
    mirrored = source.read("reach_000040_expert", FrameSampling(frames=count + 3, mirror_short=True))
    np.testing.assert_array_equal(mirrored.rgb[-3:], mirrored.rgb[count - 3 : count][::-1])
    np.testing.assert_array_equal(mirrored.robot_points[-3:], mirrored.robot_points[count - 3 : count][::-1])
    np.testing.assert_array_equal(mirrored.joints.positions[-3:], mirrored.joints.positions[count - 3 : count][::-1])


def test_an_unknown_episode_is_refused(source):
    with pytest.raises(
        SourceError, match=r"no episode 'push_000040_expert'; it has reach_000040_expert to push_000109_"
    ):
        source.read("push_000040_expert", FIVE)


def test_a_scene_without_room_is_rejected_with_its_reason(robot, tmp_path):
    (tmp_path / "full.yaml").write_text(
        "name: full\ndistractors: [8, 8]\ndistractor_radius: [0.3, 0.3]\ndistractor_height: [0.6, 0.6]\n"
    )
    source = SimulationSource(replace(SMALL, scene="full.yaml"), tmp_path, robot)
    with pytest.raises(RejectedEpisodeError, match="no room for 8 distractors"):
        source.read("push_000041_expert", FIVE)


def test_missing_opengl_is_no_rejection(source, monkeypatch):
    def fail(*_):
        raise RenderingError("no OpenGL without a display")

    monkeypatch.setattr(simulation, "generate_episode", fail)
    with pytest.raises(SourceError, match="source 'little': no OpenGL without a display"):
        source.read("push_000041_expert", FIVE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ("juggle",)}, r"cannot do task 'juggle'; it can do pick_place, push, reach"),
        ({"samples": 3}, r"samples must be one of 0, 2, 4, 8, 16, got 3"),
        ({"scene": "../scenes/none.yaml"}, r"none\.yaml"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_read(robot, changes, message):
    with pytest.raises(SourceError, match=message):
        SimulationSource(replace(SMALL, **changes), CONFIG / "sources", robot)


@pytest.mark.parametrize(
    "changes", [{"episodes": 0}, {"seed": -1}, {"tasks": ()}, {"tasks": ("push", "push")}, {"robot": ""}, {"scene": ""}]
)
def test_values_out_of_range_are_refused(changes):
    with pytest.raises(DatasetError):
        replace(SMALL, **changes)


def test_a_robot_is_needed():
    with pytest.raises(SourceError, match=r"needs the robot '\.\./robots/panda\.yaml', and none was given"):
        SimulationSource(SMALL, CONFIG / "sources", None)


@pytest.mark.parametrize("path", sorted((CONFIG / "sources").glob("simulation_*.yaml")), ids=lambda path: path.stem)
def test_the_sources_in_config_open(path, tmp_path_factory):
    source = open_source(path, cache_dir=tmp_path_factory.getbasetemp() / "surfaces")
    assert source.episode_ids()[0].endswith("_expert")
