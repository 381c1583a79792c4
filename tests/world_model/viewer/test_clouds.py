"""Clouds and robot lie where their definitions say, and are light."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4d_kinematics import configured_robot, se3
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_frames import Frames
from k4d_world_model.viewer.clouds import cloud_video, stride
from k4d_world_model.viewer.robot_shape import robot_shape


def test_points_and_colours_are_those_of_the_valid_pixels_in_the_base_frame(rollout: Rollout) -> None:
    frames = Frames.of_rollout(rollout)
    video = cloud_video(frames, rollout.T_cam_base, points=10_000)
    for k in range(len(rollout.times)):
        expected = []
        for v, u in np.argwhere(rollout.valid[k]):
            point_base = np.linalg.inv(rollout.T_cam_base[k]) @ np.append(rollout.points[k, v, u], 1.0)
            expected.append((*point_base[:3], *rollout.rgb[k, v, u]))
        found = np.hstack([video.points_base[k], video.colours[k]])
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert video.pictures is rollout.rgb


def test_larger_pictures_are_thinned_evenly(rollout: Rollout) -> None:
    video = cloud_video(Frames.of_rollout(rollout), rollout.T_cam_base, points=100)
    whole = cloud_video(Frames.of_rollout(rollout), rollout.T_cam_base, points=600)
    for thin, full in zip(video.points_base, whole.points_base, strict=True):
        assert len(full) / 12 < len(thin) <= 100
        assert {tuple(point) for point in thin.tolist()} <= {tuple(point) for point in full.tolist()}


@given(st.integers(1, 90), st.integers(1, 70), st.integers(1, 500))
def test_stride_is_the_smallest_that_keeps_the_limit(height: int, width: int, points: int) -> None:
    n = stride(height, width, points)

    def count(step: int) -> int:
        return math.ceil(height / step) * math.ceil(width / step)

    assert count(n) <= points
    assert all(count(step) > points for step in range(1, n))


def test_no_points_at_all_are_refused_or_shown_as_nothing(rollout: Rollout) -> None:
    with pytest.raises(RolloutError, match="at least 1, got 0"):
        stride(4, 5, 0)
    blind = Frames(rollout.rgb, np.full_like(rollout.points, np.nan), np.zeros_like(rollout.valid))
    video = cloud_video(blind, rollout.T_cam_base, points=9)
    assert not any(len(points) for points in video.points_base)
    assert (video.bounds[1] - video.bounds[0]).tolist() == [1, 1, 1]


def test_links_are_welded_boxes_at_their_poses(rollout: Rollout, robot_yaml: Path) -> None:
    assert rollout.joints is not None
    shape = robot_shape(configured_robot(robot_yaml), rollout.joints)
    assert shape.link_names == ("base", "tip")
    for mesh, size in zip(shape.meshes, ([0.2, 0.2, 0.1], [0.6, 0.05, 0.05]), strict=True):
        assert mesh.vertices.shape == (8, 3)
        assert mesh.is_watertight
        assert mesh.extents == pytest.approx(size)
    assert np.unique(shape.meshes[1].visual.vertex_colors, axis=0).tolist() == [[255, 255, 0, 255]]
    for k, angle in enumerate(np.linspace(-1, 1, len(rollout.times))):
        expected = se3.from_xyz_rpy([0, 0, 0.1], [0, 0, angle])
        np.testing.assert_allclose(shape.T_base_link[k, 1], expected, atol=1e-12)
