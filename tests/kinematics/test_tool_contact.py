"""Things against a tool whose path leaves no doubt what becomes of them."""

from itertools import pairwise

import numpy as np
import pytest

from k4d_kinematics import ToolPath
from k4d_kinematics.errors import RenderingError
from k4d_kinematics.tool_contact import FINGER_RADIUS, carried

CENTRE, RADIUS, HEIGHT = np.array([0.4, 0.1, 0.03]), 0.02, 0.06
DOWN = np.diag([1.0, -1.0, -1.0])  # reaches along -z


def path(*knots: tuple[float, float, float, float], frames: int = 8) -> ToolPath:
    """A tool that points down from knot to knot (x, y, z, opening), ``frames`` frames each."""
    shares = np.linspace(0, 1, frames, endpoint=False)
    rows = np.concatenate([np.array(a) + shares[:, None] * (np.array(b) - np.array(a)) for a, b in pairwise(knots)])
    rows = np.vstack([rows, knots[-1]])
    T = np.tile(np.eye(4), (len(rows), 1, 1))
    T[:, :3, :3], T[:, :3, 3] = DOWN, rows[:, :3]
    return ToolPath(T, rows[:, 3])


def moved(tool: ToolPath, body: list[np.ndarray] | None = None, centre: np.ndarray = CENTRE):
    points = body or [np.zeros((0, 3))] * len(tool.opening)
    result = carried(tool, points, centre[None], np.array([RADIUS]), np.array([HEIGHT]))
    return result.offsets[0], result.held[0]


def test_what_fingers_close_about_goes_along_until_they_open():
    tool = path(
        (0.4, 0.1, 0.2, 0.08), (0.4, 0.1, 0.03, 0.08), (0.4, 0.1, 0.03, 0.04), (0.4, 0.1, 0.2, 0.04),
        (0.5, -0.1, 0.2, 0.04), (0.5, -0.1, 0.032, 0.04), (0.5, -0.1, 0.032, 0.08), (0.5, -0.1, 0.2, 0.08),
    )  # fmt: skip
    offsets, held = moved(tool)
    assert not held[:9].any()  # open, or about to close
    assert np.abs(offsets[:16]).max() < 1e-9
    assert held[24:40].all()
    np.testing.assert_allclose(offsets[24:40], (tool.T_base_tool[24:40, :3, 3] - [0.4, 0.1, 0.03]), atol=1e-9)
    assert not held[-8:].any()
    np.testing.assert_allclose(offsets[-1], [0.1, -0.2, 0.0], atol=1e-3)


def test_what_is_let_go_in_the_air_falls():
    tool = path(
        (0.4, 0.1, 0.03, 0.08), (0.4, 0.1, 0.03, 0.04), (0.5, 0.1, 0.2, 0.04), (0.5, 0.1, 0.2, 0.08),
        (0.5, 0.1, 0.25, 0.08), (0.6, 0.3, 0.25, 0.08),
    )  # fmt: skip
    offsets, held = moved(tool)
    assert offsets[16, 2] == pytest.approx(0.17)
    assert not held[-1]
    np.testing.assert_allclose(offsets[-1], [0.1, 0.0, 0.0], atol=1e-3)


def test_fingers_that_close_beside_a_thing_leave_it():
    tool = path((0.5, 0.1, 0.03, 0.08), (0.5, 0.1, 0.03, 0.0), (0.5, 0.1, 0.2, 0.0), (0.3, 0.3, 0.2, 0.0))
    offsets, held = moved(tool)
    assert not held.any()
    assert not offsets.any()


def test_fingers_that_cannot_close_on_a_thing_do_not_hold_it():
    tool = path((0.4, 0.1, 0.03, 0.12), (0.4, 0.1, 0.03, 0.09), (0.4, 0.1, 0.2, 0.09))
    offsets, held = moved(tool)
    assert not held.any()
    assert not offsets.any()


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)])
def test_what_a_fingertip_meets_is_pushed_ahead_of_it(direction):
    way = 0.2 * np.array([*direction, 0.0])
    start = CENTRE - 0.5 * way
    tool = path((*start[:2], 0.02, 0.0), (*(start + way)[:2], 0.02, 0.0), frames=20)
    offsets, held = moved(tool)
    assert not held.any()
    assert offsets[-1] @ way / 0.2 > RADIUS
    assert offsets[-1, 2] == 0.0
    apart = np.linalg.norm((CENTRE + offsets[-1] - tool.T_base_tool[-1, :3, 3])[:2])
    assert RADIUS < apart < RADIUS + 3 * FINGER_RADIUS  # beside two fingers, neither of them in it


def test_a_tool_above_a_thing_leaves_it():
    offsets, _ = moved(path((0.3, 0.1, 0.09, 0.0), (0.5, 0.1, 0.09, 0.0), frames=20))
    assert not offsets.any()


def test_the_rest_of_the_robot_pushes_too():
    tool = path((0.4, -0.5, 0.4, 0.0), (0.4, -0.5, 0.4, 0.0))
    x = np.linspace(0.34, 0.42, len(tool.opening))
    elbow = [np.array([[at, 0.1, 0.04], [at, 0.1, 0.5]]) for at in x]
    offsets, _ = moved(tool, elbow)
    assert not offsets[0].any()
    np.testing.assert_allclose(offsets[-1], [0.42 + RADIUS - 0.4, 0.0, 0.0], atol=3e-3)
    above = [points + [0.0, 0.0, 0.06] for points in elbow]
    assert not moved(tool, above)[0].any()


def test_things_do_not_know_of_each_other():
    tool = path((0.3, 0.1, 0.02, 0.0), (0.5, 0.1, 0.02, 0.0), frames=20)
    centres = np.array([CENTRE, CENTRE + [0.0, 0.3, 0.0]])
    nobody = [np.zeros((0, 3))] * len(tool.opening)
    both = carried(tool, nobody, centres, np.full(2, RADIUS), np.full(2, HEIGHT)).offsets
    np.testing.assert_array_equal(both[0], moved(tool)[0])
    assert not both[1].any()
    assert carried(tool, nobody, np.zeros((0, 3)), np.zeros(0), np.zeros(0)).offsets.shape == (0, len(nobody), 3)


def test_what_does_not_fit_is_named():
    tool = path((0.3, 0.1, 0.02, 0.0), (0.5, 0.1, 0.02, 0.0))
    with pytest.raises(RenderingError, match="contact needs robot_points of 9 frames"):
        carried(tool, [np.zeros((0, 3))], np.zeros((1, 3)), np.ones(1), np.ones(1))
    with pytest.raises(RenderingError, match=r"radii \(N,\)"):
        carried(tool, [np.zeros((0, 3))] * 9, np.zeros((1, 3)), np.ones(2), np.ones(1))
