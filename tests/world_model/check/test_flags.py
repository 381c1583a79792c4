"""Every flag: silent on a sound episode, raised by the one thing that it watches."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from k4d_kinematics import JointTrajectory
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.review.flags import FlagThresholds, JointLimits, flag_episode
from k4d_world_model.errors import DatasetError

from .conftest import make_episode


def with_array(episode: Episode, name: str, change: Callable[[Any], None]) -> Episode:
    """The episode with one array changed in place on a copy."""
    array = getattr(episode, name).copy()
    change(array)
    return replace(episode, **{name: array})


def darken(rgb: np.ndarray) -> None:
    rgb[4] = 3


def cover(rgb: np.ndarray) -> None:
    rgb[4] = 128


def cut(rgb: np.ndarray) -> None:
    rgb[5:] = 255 - rgb[5:]


def freeze(rgb: np.ndarray) -> None:
    rgb[2:8] = rgb[2]


def empty(points: np.ndarray) -> None:
    points[6] = np.nan


def thin(points: np.ndarray) -> None:
    points[6, 6:] = np.nan


def halve(points: np.ndarray) -> None:
    points[3, 1, 2, 0] = np.nan


def blow_up(points: np.ndarray) -> None:
    points[3, 1, 2] = np.inf


def turn_back(points: np.ndarray) -> None:
    points[3, 1, 2] *= -1


def approach(points: np.ndarray) -> None:
    points[3, 1, 2] *= 0.01


def recede(points: np.ndarray) -> None:
    points[3, 1, 2] *= 100


def step_back(points: np.ndarray) -> None:
    points[5:] *= 1.3


def throw(poses: np.ndarray) -> None:
    poses[5:, 0, 3] += 0.4


def roll(poses: np.ndarray) -> None:
    poses[5:, :2, :2] = [[0.0, -1.0], [1.0, 0.0]]


CASES = {
    "dark_frame": ("rgb", darken, 4),
    "flat_frame": ("rgb", cover, 4),
    "video_cut": ("rgb", cut, 5),
    "frozen_video": ("rgb", freeze, None),
    "no_scene": ("scene_points", empty, 6),
    "missing_points": ("scene_points", thin, 6),
    "damaged_points": ("scene_points", halve, 3),
    "damaged_points (infinite)": ("scene_points", blow_up, 3),
    "damaged_points (behind the camera)": ("scene_points", turn_back, 3),
    "depth_range": ("scene_points", approach, 3),
    "depth_range (far)": ("scene_points", recede, 3),
    "depth_jump": ("scene_points", step_back, 5),
    "camera_jump": ("T_world_cam", throw, 5),
    "camera_jump (turn)": ("T_world_cam", roll, 5),
}
FAILURES = {"no_scene", "damaged_points"}


def test_a_sound_episode_has_no_flag() -> None:
    assert flag_episode(make_episode()) == ()


@pytest.mark.parametrize("case", CASES)
def test_each_fault_of_video_scene_and_camera_raises_its_flag(case: str) -> None:
    name = case.split()[0]
    array, change, frame = CASES[case]
    flags = {flag.name: flag for flag in flag_episode(with_array(make_episode(), array, change))}
    assert name in flags
    assert flags[name].is_failure == (name in FAILURES)
    assert frame is None or flags[name].message.startswith(f"frame {frame}: ")


def test_a_gap_in_time_and_a_jump_of_a_joint_are_flagged() -> None:
    episode = make_episode()
    assert episode.joints is not None
    times = episode.times + 0.5 * (np.arange(9) > 3)
    joints = JointTrajectory(episode.joints.joint_names, times, episode.joints.positions)
    late = flag_episode(replace(episode, times=times, joints=joints))
    assert [flag.name for flag in late] == ["time_gap"]
    assert late[0].message == "frame 4: step of time over the median one 6, at most 3 (1 frames)"
    positions = episode.joints.positions.copy()
    positions[7:, 1] += 2.0
    jumped = flag_episode(replace(episode, joints=JointTrajectory(joints.joint_names, episode.times, positions)))
    assert [flag.name for flag in jumped] == ["joint_jump"]
    assert jumped[0].message == "frame 7: fastest joint (rad/s or m/s) 20, at most 10 (1 frames)"


def moved_robot(episode: Episode, depth_factor: float) -> Episode:
    assert episode.robot_points is not None
    return replace(episode, robot_points=episode.robot_points * np.float32(depth_factor))


@pytest.mark.parametrize(("factor", "name"), [(0.6, "robot_before_scene"), (2.0, "robot_not_in_scene")])
@pytest.mark.parametrize("seed", [3, None])
def test_a_robot_that_contradicts_the_scene_is_a_failure_only_where_it_was_simulated(
    factor: float, name: str, seed: int | None
) -> None:
    flags = flag_episode(moved_robot(make_episode(seed=seed), factor))
    assert flags[0].name == name
    assert {flag.is_failure for flag in flags} == {seed is not None}


def test_a_hidden_robot_agrees_with_the_scene_and_affine_points_are_not_compared() -> None:
    hidden = moved_robot(make_episode(), 1.0)
    assert hidden.scene_points is not None
    assert hidden.robot_mask is not None
    hidden.scene_points[5][hidden.robot_mask[5]] *= 0.7  # something moves before the robot
    assert flag_episode(hidden) == ()
    affine = replace(moved_robot(make_episode(), 0.6), scale="affine", T_world_cam=None)
    assert flag_episode(affine) == ()


def masked(episode: Episode, keep: np.ndarray) -> Episode:
    assert episode.robot_points is not None
    assert episode.robot_mask is not None
    points = np.where((episode.robot_mask & keep)[..., None], episode.robot_points, np.float32(np.nan))
    return replace(episode, robot_points=points, robot_mask=episode.robot_mask & keep)


def test_the_area_of_the_mask_is_watched() -> None:
    frames = np.arange(9)[:, None, None]
    pixels = np.zeros((26, 38), bool)
    pixels[4, :] = True
    assert [f.name for f in flag_episode(masked(make_episode(), frames < 0))] == ["mask_empty"]
    vanishing = flag_episode(masked(make_episode(), frames != 4))
    assert [(f.name, f.message) for f in vanishing] == [("mask_vanishes", "frame 4: no robot; it is seen in 8 frames")]
    small = FlagThresholds(smallest_mask=0.02)
    assert [f.name for f in flag_episode(masked(make_episode(), pixels[None]), small)] == ["mask_small"]
    assert [f.name for f in flag_episode(make_episode(), FlagThresholds(largest_mask=0.05))] == ["mask_large"]
    flags = flag_episode(make_episode(), FlagThresholds(robot_speed=0.1))
    assert [f.name for f in flags] == ["robot_jump"]


def test_limits_apply_to_the_joints_that_they_name() -> None:
    limits = JointLimits(("slide", "elbow"), (-0.5, 0.0), (0.5, 0.0), (1.0, 1.0))
    assert [(f.name, f.message) for f in flag_episode(make_episode(), limits=limits)] == [
        ("joint_limit", "frame 0: position of slide -0.7, at least -0.502 (9 frames)")
    ]
    touched = JointLimits(("slide",), (-0.699,), (0.5,), (1.0,))
    assert flag_episode(make_episode(), limits=touched) == ()
    slow = JointLimits(("shoulder",), (-9.0,), (9.0,), (0.5,))
    assert [f.name for f in flag_episode(make_episode(), limits=slow)] == ["joint_speed"]


def test_an_episode_of_pictures_alone_and_one_of_a_single_frame_can_be_flagged() -> None:
    episode = make_episode()
    bare = Episode(episode.info, episode.rgb, episode.times)
    assert flag_episode(bare) == ()
    assert flag_episode(Episode(episode.info, episode.rgb[:1], episode.times[:1])) == ()


def test_thresholds_must_be_positive_numbers() -> None:
    with pytest.raises(DatasetError, match=r"cut_level must be a positive number, got nan"):
        FlagThresholds(cut_level=float("nan"))
