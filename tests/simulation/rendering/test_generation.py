"""Simulated episodes as arrays, and whether their two robots are one."""

import numpy as np
import pytest

from k4d_kinematics import Renderer, se3
from k4d_simulation.agreement import agreement
from k4d_simulation.episode import simulate
from k4d_simulation.errors import RenderingError
from k4d_simulation.generation import generate_episode
from k4d_simulation.perturbation import Perturbation
from k4d_simulation.rendering import RenderingSettings, SceneRenderer
from k4d_simulation.scene import build_scene

HEIGHT, WIDTH, FRAMES = 36, 54, 7
PLAIN = RenderingSettings(shadows=False, samples=0)


@pytest.fixture(scope="module")
def episode(scene, motion):
    return generate_episode(scene, motion, HEIGHT, WIDTH, PLAIN, FRAMES)


@pytest.mark.parametrize("name", ["panda", "ur5"])
def test_mujoco_and_kinematics_see_the_same_robot_with_full_meshes(robots, presets, name):
    scene = build_scene(robots[name], presets["easy"], "push", 3, meshes="full")
    motion = simulate(scene, Perturbation(0, 1.2))
    found = agreement(scene, motion, range(0, len(motion.times), 15), 240, 360)
    assert found.pixels > 5000
    assert found.mask_iou >= 0.99
    assert found.depth_p99 <= 1e-3
    assert found.points_p99 <= 1e-3


def test_reduced_meshes_err_by_a_millimetre(robots, presets):
    scene = build_scene(robots["panda"], presets["easy"], "push", 3, meshes="reduced")
    found = agreement(scene, simulate(scene), [0, 40], 240, 360)
    assert found.mask_iou > 0.98
    assert 1e-5 < found.depth_p50 < 2e-4
    assert found.depth_p99 < 2e-3


def test_agreement_sees_a_joint_that_is_off(robots, presets):
    scene = build_scene(robots["ur5"], presets["easy"], "push", 3)
    motion = simulate(scene)
    before = agreement(scene, motion, [0], 120, 180)
    motion.qpos[0, scene.joint_addresses[1]] += np.deg2rad(2.0)
    after = agreement(scene, motion, [0], 120, 180)
    assert after.mask_iou < before.mask_iou - 0.02
    assert after.depth_p50 > before.depth_p50 + 4e-3


def test_agreement_of_a_robot_out_of_sight_is_refused(scene, motion):
    moved = type(scene)(**{**scene.__dict__, "T_world_base": se3.from_xyz_rpy((0.0, 9.0, 0.0), (0.0, 0.0, 0.0))})
    with pytest.raises(RenderingError, match="frame 4 has no pixel that both call robot"):
        agreement(moved, motion, [4], HEIGHT, WIDTH)


def test_frames_are_spread_evenly_over_the_motion(episode, motion):
    last = len(motion.times) - 1
    chosen = [round(k * last / (FRAMES - 1)) for k in range(FRAMES)]
    np.testing.assert_array_equal(episode.times, motion.times[chosen])
    np.testing.assert_array_equal(episode.joints.positions, motion.joints.positions[chosen])
    np.testing.assert_array_equal(episode.joints.times, episode.times)


def test_every_frame_is_the_picture_of_its_state(scene, motion, episode):
    with SceneRenderer(scene, HEIGHT, WIDTH, PLAIN) as renderer:
        image = renderer.render(motion.qpos[-1])
        points_cam = renderer.points_cam(image.depth)
    np.testing.assert_array_equal(episode.rgb[-1], image.rgb)
    np.testing.assert_array_equal(episode.points_cam[-1], points_cam)
    np.testing.assert_array_equal(episode.visible_robot_mask[-1], image.robot_mask)
    assert (episode.rgb[0] != episode.rgb[-1]).any()


def test_robot_points_are_those_of_the_kinematics_package(scene, episode):
    robot = scene.robot
    T_base_link = robot.robot.forward_kinematics(episode.joints.positions[3])
    T_cam_base = np.linalg.inv(scene.T_world_cam) @ scene.T_world_base
    expected = Renderer(robot.surface, episode.camera).render(T_cam_base @ T_base_link)
    np.testing.assert_array_equal(episode.robot_mask[3], expected.mask)
    np.testing.assert_allclose(episode.robot_points_cam[3], expected.points_cam, atol=1e-6)


def test_points_in_the_world_are_moved_by_the_cameras_pose(scene, episode):
    points_world = episode.points_world()[2]
    expected = episode.points_cam[2].astype(float) @ scene.T_world_cam[:3, :3].T + scene.T_world_cam[:3, 3]
    np.testing.assert_allclose(points_world, expected, atol=1e-5)


def test_what_is_known_of_the_motion_is_kept(scene, motion, episode):
    assert (episode.success, episode.verdict) == (motion.success, motion.outcome.reason)
    assert (episode.task, episode.seed, episode.variant) == ("pick_place", 7, "expert")
    assert episode.perturbation is None


def test_chosen_frames_are_taken_as_they_are(scene, motion):
    episode = generate_episode(scene, motion, HEIGHT, WIDTH, PLAIN, np.array([2, 11]))
    np.testing.assert_array_equal(episode.times, motion.times[[2, 11]])


@pytest.mark.parametrize(
    "frames", [0, 10_000, np.array([3, 3]), np.array([10_000]), np.array([-1, 2]), np.array([], int)]
)
def test_frames_that_the_motion_does_not_have_are_refused(scene, motion, frames):
    with pytest.raises(RenderingError, match=r"frames must be (from 1 to|increasing indices below)"):
        generate_episode(scene, motion, HEIGHT, WIDTH, PLAIN, frames)
