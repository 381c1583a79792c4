"""An episode checks that its parts fit each other."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import Camera, JointTrajectory
from k4d_world_model.dataset.episode import Episode, EpisodeInfo, check_episode_id
from k4d_world_model.errors import EpisodeError

T, H, W = 3, 4, 6


@pytest.fixture
def episode() -> Episode:
    times = np.array([0.5, 0.75, 1.5])
    points = np.full((T, H, W, 3), 1.5, np.float32)
    mask = np.zeros((T, H, W), np.bool_)
    mask[:, 1:3, 2:5] = True
    return Episode(
        info=EpisodeInfo("pick_0001", "simulation", success=True),
        rgb=np.zeros((T, H, W, 3), np.uint8),
        times=times,
        camera=Camera.pinhole(H, W, 5.0, 5.0, 2.5, 1.5, frame_id="front"),
        T_world_cam=np.tile(np.eye(4), (T, 1, 1)),
        T_world_base=np.eye(4),
        joints=JointTrajectory(("a", "b"), times, np.zeros((T, 2))),
        scene_points=points,
        robot_points=np.where(mask[..., None], points, np.float32(np.nan)),
        robot_mask=mask,
    )


def test_a_whole_episode_is_accepted(episode: Episode) -> None:
    assert episode.frame_count == T


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rgb": np.zeros((T, H, W), np.uint8)}, r"rgb must be \(T, H, W, 3\)"),
        ({"rgb": np.zeros((T, H, W, 3), np.float32)}, "rgb must be uint8"),
        ({"times": np.array([0.0, 1.0])}, r"times must be float64 of shape \(3,\)"),
        ({"times": np.array([0.0, 1.0, 1.0])}, "strictly increasing"),
        ({"times": np.array([0.0, np.nan, 1.0])}, "finite"),
        ({"scene_points": np.zeros((T, W, H, 3), np.float32)}, "scene_points must be float32 of shape"),
        ({"scene_points": np.zeros((T, H, W, 3))}, "scene_points must be float32"),
        ({"T_world_cam": np.eye(4)}, r"T_world_cam must be float64 of shape \(3, 4, 4\)"),
        ({"T_world_cam": np.full((T, 4, 4), np.inf)}, "T_world_cam must be finite"),
        ({"T_world_base": np.diag([2.0, 2.0, 2.0, 1.0])}, "T_world_base must be a rigid transform"),
        ({"scale": "metres"}, "scale must be 'metric' or 'affine', got 'metres'"),
        ({"camera": Camera.pinhole(H, W + 1, 5.0, 5.0, 2.5, 1.5, frame_id="c")}, "camera must be an undistorted one"),
        ({"robot_mask": None}, "robot_points need a robot_mask"),
        ({"robot_mask": np.zeros((T, H, W), np.bool_)}, "finite exactly where robot_mask is True"),
        ({"joints": JointTrajectory(("a",), np.array([0.5, 0.8, 1.5]), np.zeros((T, 1)))}, "exactly the episode's"),
    ],
)
def test_what_does_not_fit_is_refused(episode: Episode, change: dict[str, object], message: str) -> None:
    with pytest.raises(EpisodeError, match=message):
        replace(episode, **change)


def test_a_distorted_camera_is_refused(episode: Episode) -> None:
    assert episode.camera is not None
    lens = Camera(H, W, episode.camera.K, (0.1, 0.0, 0.0, 0.0, 0.0), "plumb_bob", frame_id="front")
    with pytest.raises(EpisodeError, match="with lens distortion"):
        replace(episode, camera=lens)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a\n", "a" * 129, "ä", "a b"])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(EpisodeError, match="episode_id must be"):
        check_episode_id(name)


def test_the_stratum_tells_source_task_variant_and_outcome() -> None:
    info = EpisodeInfo("x", "simulation", task="push", variant="expert", success=False)
    assert info.stratum == "simulation/push/expert/failure"
    assert EpisodeInfo("x", "droid").stratum == "droid/-/-/unlabelled"
    with pytest.raises(EpisodeError, match="source must name"):
        EpisodeInfo("x", "")
