"""Robot pointmaps of an episode agree with the kinematics half's own pipeline."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import (
    Camera,
    ConfiguredRobot,
    JointTrajectory,
    Renderer,
    StaticEdge,
    StaticTransforms,
    configured_robot,
    render_trajectory,
    se3,
)
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.robot_pointmaps import with_robot_pointmaps
from k4d_world_model.errors import RejectedEpisodeError

ROOT = Path(__file__).resolve().parents[3]
T, H, W = 3, 40, 56


@pytest.fixture(scope="module")
def ur5() -> ConfiguredRobot:
    return configured_robot(ROOT / "config" / "robots" / "ur5.yaml")


@pytest.fixture
def episode(ur5: ConfiguredRobot) -> Episode:
    times = np.array([0.0, 0.4, 1.0])
    T_world_base = se3.from_xyz_rpy((0.3, -0.2, 0.1), (0.0, 0.0, 0.8))
    T_base_cam = se3.inverse(se3.look_at((1.4, 0.6, 0.9), (0.0, 0.1, 0.4)))
    positions = ur5.home + np.linspace(0.0, 0.5, T)[:, None] * np.arange(1, 7) / 6
    return Episode(
        info=EpisodeInfo("a", "bag"),
        rgb=np.zeros((T, H, W, 3), np.uint8),
        times=times,
        camera=Camera.pinhole(H, W, 60.0, 60.0, 27.5, 19.5, frame_id="camera"),
        T_world_cam=np.tile(T_world_base @ T_base_cam, (T, 1, 1)),
        T_world_base=T_world_base,
        joints=JointTrajectory(ur5.robot.joint_names[::-1], times, positions[:, ::-1]),
    )


def test_they_are_those_of_the_kinematics_pipeline(ur5: ConfiguredRobot, episode: Episode) -> None:
    assert episode.camera is not None
    assert episode.joints is not None
    assert episode.T_world_cam is not None
    assert episode.T_world_base is not None
    found = with_robot_pointmaps(episode, ur5)
    root = ur5.robot.link_names[0]
    T_base_cam = se3.inverse(episode.T_world_base) @ episode.T_world_cam[0]
    transforms = StaticTransforms([StaticEdge(root, "camera", T_base_cam)])
    expected = render_trajectory(ur5.robot, episode.joints, Renderer(ur5.surface, episode.camera), transforms)
    assert found.robot_mask is not None
    assert found.robot_points is not None
    assert expected.mask.any(axis=(1, 2)).all()
    assert (found.robot_mask != expected.mask).mean() < 1e-3
    both = found.robot_mask & expected.mask
    np.testing.assert_allclose(found.robot_points[both], expected.points_cam[both], atol=1e-4)


def test_what_is_missing_is_named(ur5: ConfiguredRobot, episode: Episode) -> None:
    with pytest.raises(RejectedEpisodeError, match="it has no T_world_base, joints, which robot pointmaps need"):
        with_robot_pointmaps(replace(episode, T_world_base=None, joints=None), ur5)
    wrong = JointTrajectory(("elbow_joint",), episode.times, np.zeros((T, 1)))
    with pytest.raises(RejectedEpisodeError, match="its joints do not fit the robot"):
        with_robot_pointmaps(replace(episode, joints=wrong), ur5)
