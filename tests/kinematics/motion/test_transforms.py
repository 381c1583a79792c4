"""Transforms between frames: composition through trees, interpolation, and what is refused."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from k4d_kinematics import se3
from k4d_kinematics.errors import TrajectoryError, TransformError
from k4d_kinematics.transforms import RecordedEdge, RecordedTransforms, StaticEdge, StaticTransforms


def random_transforms(seed, count):
    generator = np.random.default_rng(seed)
    return se3.from_rotation_translation(
        Rotation.random(count, rng=generator).as_matrix(), generator.normal(size=(count, 3))
    )


T_WORLD_BASE, T_BASE_CAM, T_BASE_TOOL, T_TOOL_WRIST = random_transforms(0, 4)


def tree():
    return StaticTransforms(
        [
            StaticEdge("base", "cam", T_BASE_CAM),
            StaticEdge("tool", "wrist", T_TOOL_WRIST),
            StaticEdge("world", "base", T_WORLD_BASE),
            StaticEdge("base", "tool", T_BASE_TOOL),
        ]
    )


def test_lookups_compose_up_and_down_the_tree():
    transforms = tree()
    expected = {
        ("world", "wrist"): T_WORLD_BASE @ T_BASE_TOOL @ T_TOOL_WRIST,
        ("wrist", "world"): np.linalg.inv(T_WORLD_BASE @ T_BASE_TOOL @ T_TOOL_WRIST),
        ("cam", "wrist"): np.linalg.inv(T_BASE_CAM) @ T_BASE_TOOL @ T_TOOL_WRIST,
        ("tool", "cam"): np.linalg.inv(T_BASE_TOOL) @ T_BASE_CAM,
        ("cam", "cam"): np.eye(4),
    }
    for (target, source), T in expected.items():
        np.testing.assert_allclose(transforms.lookup(target, source, 12.3), T, atol=1e-12)


def test_moving_edges_are_linear_in_position_and_turn_evenly():
    times = np.array([2.0, 2.5, 4.0])
    angles = np.array([0.1, 0.7, -0.8])
    moving = se3.from_rotation_translation(
        Rotation.from_rotvec(np.outer(angles, [0, 0, 1])).as_matrix(), np.outer(times, [1.0, 0.0, -2.0])
    )
    transforms = RecordedTransforms(
        [RecordedEdge("base", "tool", times, moving), StaticEdge("tool", "wrist", T_TOOL_WRIST)]
    )
    for time in (2.0, 2.2, 2.5, 3.3, 4.0):
        angle = np.interp(time, times, angles)
        T_base_tool = se3.from_xyz_rpy([time, 0.0, -2.0 * time], [0.0, 0.0, angle])
        np.testing.assert_allclose(transforms.lookup("base", "wrist", time), T_base_tool @ T_TOOL_WRIST, atol=1e-12)


@pytest.mark.parametrize("time", [1.999, 4.001, -1e9])
def test_extrapolation_is_refused_with_the_known_range(time):
    transforms = RecordedTransforms([RecordedEdge("base", "tool", [2.0, 4.0], random_transforms(1, 2))])
    with pytest.raises(TransformError, match=rf"'tool' to 'base' is known from 2.0 s to 4.0 s, not at {time} s"):
        transforms.lookup("base", "tool", time)


def test_edges_above_the_common_ancestor_need_not_be_known():
    transforms = RecordedTransforms(
        [
            RecordedEdge("world", "base", [2.0, 4.0], random_transforms(2, 2)),
            StaticEdge("base", "cam", T_BASE_CAM),
            StaticEdge("base", "tool", T_BASE_TOOL),
        ]
    )
    np.testing.assert_allclose(
        transforms.lookup("cam", "tool", 99.0), np.linalg.inv(T_BASE_CAM) @ T_BASE_TOOL, atol=1e-12
    )
    with pytest.raises(TransformError, match=r"not at 99.0 s"):
        transforms.lookup("world", "tool", 99.0)


def test_a_single_sample_is_known_at_its_time_only():
    transforms = RecordedTransforms([RecordedEdge("base", "tool", [2.0], T_BASE_TOOL[None])])
    np.testing.assert_array_equal(transforms.lookup("base", "tool", 2.0), T_BASE_TOOL)
    with pytest.raises(TransformError, match=r"from 2.0 s to 2.0 s"):
        transforms.lookup("base", "tool", 2.1)


def test_unknown_frames_are_named_with_the_known_ones():
    for target, source in (("base", "gripper"), ("gripper", "base"), ("gripper", "gripper")):
        with pytest.raises(TransformError, match="'gripper'; known are base, cam, tool, world, wrist"):
            tree().lookup(target, source, 0.0)


def test_separate_trees_are_not_connected():
    transforms = StaticTransforms([StaticEdge("map", "odom", T_BASE_CAM), StaticEdge("base", "tool", T_BASE_TOOL)])
    with pytest.raises(
        TransformError, match="'odom' and 'tool' are not connected: their trees' roots are 'map' and 'base'"
    ):
        transforms.lookup("odom", "tool", 0.0)


@pytest.mark.parametrize("time", [np.nan, np.inf])
def test_a_time_that_is_no_moment_is_refused(time):
    with pytest.raises(TransformError, match="finite time"):
        tree().lookup("base", "cam", time)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("a", "b"), ("c", "b")], "'b' must have one parent, got 'a' and 'c'"),
        ([("a", "b"), ("b", "c"), ("c", "a")], "cycle: a -> c -> b -> a"),
        ([("a", "a")], "two frames, got 'a' twice"),
        ([("a", "")], "non-empty"),
        ([("/a", "b")], "without a leading '/'"),
    ],
)
def test_edges_that_form_no_tree_are_refused(edges, message):
    with pytest.raises(TransformError, match=message):
        StaticTransforms([StaticEdge(parent, child, np.eye(4)) for parent, child in edges])


def test_edges_check_their_numbers():
    with pytest.raises(TransformError, match="T_a_b must be a rigid transform"):
        StaticEdge("a", "b", np.eye(4) * 2)
    with pytest.raises(TransformError, match=r"T_a_b must have shape \(4, 4\), got \(2, 4, 4\)"):
        StaticEdge("a", "b", random_transforms(3, 2))
    with pytest.raises(TransformError, match=r"shape \(3, 4, 4\) as its times, got \(2, 4, 4\)"):
        RecordedEdge("a", "b", [0.0, 1.0, 2.0], random_transforms(3, 2))
    with pytest.raises(TrajectoryError, match=r"time 1 is 0.0 s after 1.0 s"):
        RecordedEdge("a", "b", [1.0, 0.0], random_transforms(3, 2))
