"""Planes of drawn rooms against the planes that they were drawn from."""

import numpy as np
import pytest

from k4d_kinematics.scene_planes import find_planes

HEIGHT, WIDTH = 48, 64
Y, X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
WALL = np.full((HEIGHT, WIDTH), 3.0)
FLOOR = 1.0 / np.maximum(1e-9, 0.1 + 0.02 * (Y - 14))
TABLE = 1.0 / np.maximum(1e-9, 0.5 + 0.02 * (Y - 20) + 0.001 * X)
ON_TABLE = (Y >= 22) & (Y >= 22 + 2.0 * (10 - X)) & (Y >= 22 + 2.0 * (X - 50))


@pytest.fixture
def room() -> np.ndarray:
    """Depths (H, W): a table with slanted sides before a floor and a wall."""
    return np.where(ON_TABLE, TABLE, np.minimum(WALL, FLOOR))


def box(rows: slice, columns: slice) -> np.ndarray:
    hidden = np.zeros((HEIGHT, WIDTH), np.bool_)
    hidden[rows, columns] = True
    return hidden


def nearest(planes) -> np.ndarray:
    return np.where(planes.extents, planes.depths, np.inf).min(axis=0)


def test_every_plane_is_found_once(room):
    planes = find_planes(room, np.ones_like(ON_TABLE))
    assert planes.depths.shape == planes.members.shape == planes.extents.shape == (3, HEIGHT, WIDTH)
    sizes = planes.members.sum(axis=(1, 2))
    assert (planes.members.sum(axis=0) <= 1).all()
    assert sizes.sum() > 0.97 * room.size
    for member, depth in zip(planes.members, planes.depths, strict=True):
        np.testing.assert_allclose(depth[member], room[member], rtol=2e-3)
    np.testing.assert_array_equal(find_planes(room, np.ones_like(ON_TABLE)).depths, planes.depths)


@pytest.mark.parametrize(
    "hidden",
    [
        box(slice(5, 30), slice(24, 36)),  # an edge goes on
        box(slice(14, 32), slice(4, 20)),  # a corner nobody sees
        box(slice(30, 40), slice(20, 30)),
    ],
    ids=["edge", "corner", "inside"],
)
def test_planes_go_on_behind_what_hides_them(room, hidden):
    seen = np.where(hidden, 0.4, room)
    got = nearest(find_planes(seen, ~hidden))
    wrong = hidden & (np.abs(got - room) > 0.01 * room)
    # Edges are known to about a pixel.
    assert wrong.sum() <= 6
    assert np.abs(got - np.where(wrong, got, room))[hidden].max() < 0.01


def test_a_plane_does_not_cover_what_is_seen_behind_it(room):
    planes = find_planes(room, np.ones_like(ON_TABLE))
    got = nearest(planes)
    table = int(np.argmin([np.abs(depth - TABLE)[ON_TABLE].max() for depth in planes.depths]))
    beyond = planes.extents[table] & ~ON_TABLE
    assert beyond.sum() < 0.02 * room.size  # a row of pixels at most, where nothing says that it has ended
    np.testing.assert_allclose(got[ON_TABLE], TABLE[ON_TABLE], rtol=2e-3)


def test_what_is_not_flat_is_no_plane():
    bumpy = 1.0 + 0.2 * np.random.default_rng(0).random((HEIGHT, WIDTH))
    planes = find_planes(bumpy, np.ones((HEIGHT, WIDTH), np.bool_))
    assert planes.depths.shape == planes.extents.shape == (0, HEIGHT, WIDTH)
    nothing = find_planes(bumpy, np.zeros((HEIGHT, WIDTH), np.bool_))
    assert nothing.members.shape == (0, HEIGHT, WIDTH)


def test_noise_of_a_depth_camera_does_not_split_a_plane(room):
    noisy = room * (1 + 0.0015 * np.random.default_rng(1).normal(size=room.shape))
    planes = find_planes(noisy, np.ones_like(ON_TABLE))
    assert len(planes.depths) == 3
    assert np.abs(nearest(planes) / room - 1)[ON_TABLE].max() < 0.01
