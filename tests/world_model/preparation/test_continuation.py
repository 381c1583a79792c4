"""Surfaces that go on behind a hole against the planes that they are of."""

import numpy as np
import pytest

from k4d_world_model.continuation import SIDES, continued_depths

HEIGHT, WIDTH = 26, 38


def plane(slope_x: float, slope_y: float, at: float = 0.5) -> np.ndarray:
    """Depths (H, W) of a plane: inverse depth is linear over the picture."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return 1.0 / (at + slope_x * x + slope_y * y)


@pytest.fixture
def hole() -> np.ndarray:
    hole = np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[9:18, 13:24] = True
    return hole


def test_every_side_continues_one_plane(hole):
    depth = plane(0.004, 0.011)
    guess = np.where(hole, 9.0, depth)
    depths, distances = continued_depths(guess, hole)
    assert depths.shape == distances.shape == (4, HEIGHT, WIDTH)
    for k in range(4):
        np.testing.assert_allclose(depths[k], depth, rtol=1e-6, err_msg=SIDES[k])
    assert not distances[:, ~hole].any()
    assert distances[:, 10, 15].tolist() == [3, 9, 2, 8]


def test_each_side_continues_its_own_surface(hole):
    left, right = plane(0.001, 0.01), plane(-0.004, 0.0, at=0.9)
    far_left = np.arange(WIDTH) < 18
    both = np.where(far_left, left, right)
    low, high = both[~hole].min(), both[~hole].max()
    depths, _ = continued_depths(both, hole)
    np.testing.assert_allclose(depths[0][hole], np.clip(left, low, high)[hole], rtol=1e-6)
    np.testing.assert_allclose(depths[1][hole], np.clip(right, low, high)[hole], rtol=1e-6)
    assert np.abs(depths[0] - depths[1])[hole].max() > 0.1


def test_what_is_continued_stays_within_what_was_measured(hole):
    depth = np.where(np.arange(WIDTH) < 13, plane(0.2, 0.0), 2.0)
    depths, _ = continued_depths(depth, hole)
    assert depths.min() >= depth[~hole].min() - 1e-9
    assert depths.max() <= depth[~hole].max() + 1e-9


def test_a_side_without_a_surface_keeps_the_fill():
    hole = np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[:12, 10:20] = True  # open above
    depth = plane(0.003, 0.01)
    depth[hole] = 7.0
    depths, distances = continued_depths(depth, hole)
    np.testing.assert_allclose(depths[2][hole], 7.0)
    assert not distances[2].any()
    np.testing.assert_allclose(depths[3][hole], plane(0.003, 0.01)[hole], rtol=1e-6)
