"""Cast shadows against the distance of every scene point's line to the light from every robot point."""

import numpy as np
import pytest

from k4d_kinematics import cast_shadows, light_directions
from k4d_kinematics.cast_shadows import CELL, CLEARANCE, THICKNESS
from k4d_kinematics.errors import RenderingError

FRAMES, HEIGHT, WIDTH = 3, 30, 44


@pytest.fixture
def robot():
    """A bar (points, mask) that moves to the right, seen by a camera above a table at a depth of 1.5 m."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    points = np.full((FRAMES, HEIGHT, WIDTH, 3), np.nan, np.float32)
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), np.bool_)
    for t in range(FRAMES):
        mask[t] = (abs(columns - 12 - 8 * t) < 3) & (rows < 22)
    rays = np.stack([(columns - 21.5) / 60, (rows - 14.5) / 60, np.ones((HEIGHT, WIDTH))], axis=-1)
    points[mask] = (1.1 * np.broadcast_to(rays, points.shape))[mask]
    return points, mask, (1.5 * rays[::2, ::2]).astype(np.float32)


def distances(robot_points, scene_points, direction):
    """How far (m, n) the line from each scene point to the light passes from each robot point ahead of it."""
    between = robot_points[None] - scene_points[:, None]
    along = between @ direction
    apart = np.linalg.norm(between - along[..., None] * direction, axis=-1)
    return np.where(along > CLEARANCE, apart, np.inf)


@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.5, -0.2), (-0.3, 0.7)])
def test_what_lies_behind_the_robot_is_shaded_and_nothing_else(robot, slope):
    points, mask, scene = robot
    direction = np.array([*slope, -1.0]) / np.linalg.norm([*slope, -1.0])  # up is towards the camera
    shaded = cast_shadows(points, mask, scene, [direction])
    assert shaded.shape == (1, FRAMES, *scene.shape[:2])
    sure, outside = 0, 0
    for t in range(FRAMES):
        seen = points[t][mask[t]].astype(np.float64)
        thick = np.concatenate([seen * (1 + d / np.linalg.norm(seen, axis=-1, keepdims=True))
                                for d in np.linspace(0, THICKNESS, 13)])  # fmt: skip
        nearest = distances(thick, scene.reshape(-1, 3).astype(np.float64), direction).min(axis=1)
        nearest = nearest.reshape(scene.shape[:2])
        assert shaded[0, t][nearest < 0.4 * CELL].all()
        assert not shaded[0, t][nearest > 2.2 * CELL].any()
        sure, outside = sure + (nearest < 0.4 * CELL).sum(), outside + (nearest > 2.2 * CELL).sum()
    assert sure > 20
    assert outside > 500


def test_light_from_below_the_robot_shades_nothing_on_the_table(robot):
    points, mask, scene = robot
    assert not cast_shadows(points, mask, scene, [[0.0, 0.0, 1.0]]).any()


def test_frames_without_a_robot_and_unknown_points_are_not_shaded(robot):
    points, mask, scene = robot
    mask[1], points[1] = False, np.nan
    up = [[0.0, 0.0, -1.0]]
    assert cast_shadows(points, mask, scene, up)[0].any(axis=(1, 2)).tolist() == [True, False, True]
    assert not cast_shadows(points, mask, np.full_like(scene, np.nan), up).any()


def test_directions_are_a_grid_of_slopes():
    directions = light_directions(5, 0.6)
    assert directions.shape == (25, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0)
    slopes = (directions / directions[:, 2:]).reshape(5, 5, 3)
    np.testing.assert_allclose(slopes[3, 1], [0.3, -0.3, 1.0], atol=1e-12)


@pytest.mark.parametrize(
    "change", [{"robot_mask": np.zeros((2, 5, 7), np.bool_)}, {"scene_points": np.zeros((4, 3))}, {"directions": [1.0]}]
)
def test_arrays_that_do_not_fit_are_refused(robot, change):
    points, mask, scene = robot
    given = {"robot_points": points, "robot_mask": mask, "scene_points": scene, "directions": [[0.0, 0.0, 1.0]]}
    with pytest.raises(RenderingError, match=r"shadows need robot_points \(T, H, W, 3\)"):
        cast_shadows(**(given | change))
