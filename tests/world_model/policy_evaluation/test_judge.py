"""The judge and the perception on a table of boxes whose places are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import ConfiguredRobot, Renderer
from k4d_world_model.policy_evaluation.judge import judge
from k4d_world_model.policy_evaluation.table_view import find_disc, find_thing, is_near, view_observation

from .conftest import BLUE, GOAL, GREEN, HALF, RED, Block, film, observe

AT_START, AT_GOAL = GOAL.object_base[:2], GOAL.target_base[:2]
OTHER = Block((0.62, 0.2), (0.02, 0.03, 0.024), GREEN)
AWAY = (0.2, -0.3, 0.4)


def scene(xy: tuple[float, float], bottom: float = 0.0, rgb: tuple[float, float, float] = RED) -> list[Block]:
    return [OTHER, Block(xy, HALF, rgb, bottom)]


def carried_to(xy: tuple[float, float], rgb: tuple[float, float, float] = RED) -> list[list[Block]]:
    return [scene(AT_START), scene(AT_START, 0.15), scene(xy, 0.15, rgb), scene(xy, 0.0, rgb)]


TOOLS = [AWAY, (*AT_START, 0.18), (*AT_GOAL, 0.18), AWAY]


def test_what_was_carried_to_the_target_is_done(gantry: ConfiguredRobot) -> None:
    verdict = judge(film(gantry, carried_to(AT_GOAL), TOOLS), GOAL, gantry)
    assert verdict.success
    assert verdict.reason == "done"
    assert verdict.distance < 0.012
    assert verdict.displacement == pytest.approx(math.dist(AT_START, AT_GOAL), abs=0.012)
    assert verdict.lift == pytest.approx(0.15, abs=0.01)
    assert verdict.contact < 0.03


@pytest.mark.parametrize("beside", [0.07, 0.11])
def test_a_near_miss_is_none(gantry: ConfiguredRobot, beside: float) -> None:
    verdict = judge(film(gantry, carried_to((AT_GOAL[0], AT_GOAL[1] - beside)), TOOLS), GOAL, gantry)
    assert not verdict.success
    assert verdict.distance == pytest.approx(beside, abs=0.012)
    assert "from the target's middle" in verdict.reason


def test_what_stays_where_it_stood_was_not_moved(gantry: ConfiguredRobot) -> None:
    verdict = judge(film(gantry, [scene(AT_START)] * 3, [AWAY, (0.5, 0.3, 0.1), AWAY]), GOAL, gantry)
    assert (verdict.success, verdict.released, verdict.standing) == (False, True, True)
    assert verdict.displacement == 0.0
    assert verdict.lift == pytest.approx(0.0, abs=1e-6)


def test_what_is_held_over_the_target_is_not_done(gantry: ConfiguredRobot) -> None:
    verdict = judge(film(gantry, carried_to(AT_GOAL)[:3], TOOLS[:3]), GOAL, gantry)
    assert (verdict.success, verdict.standing, verdict.released) == (False, False, False)
    assert "something of its colour is at the tool, 0.15" in verdict.reason


def test_a_thing_that_lost_its_colour_is_known_by_where_nothing_stood(gantry: ConfiguredRobot) -> None:
    grey = (0.45, 0.44, 0.43)
    assert judge(film(gantry, carried_to(AT_GOAL, grey), TOOLS), GOAL, gantry).success


def test_another_thing_near_the_target_is_not_the_object(gantry: ConfiguredRobot) -> None:
    goal = replace(GOAL, target_base=(*OTHER.xy, 0.0))
    verdict = judge(film(gantry, [scene(AT_START)] * 3, [AWAY] * 3), goal, gantry)
    assert not verdict.success
    assert verdict.distance == pytest.approx(math.dist(OTHER.xy, AT_START), abs=0.012)


def test_a_thing_that_was_pushed_onto_the_target_is_not_the_object(gantry: ConfiguredRobot) -> None:
    pushed = replace(OTHER, xy=AT_GOAL)
    for object_first in ([Block(AT_START, HALF, RED)], []):  # seen at first, or hidden
        scenes = [[OTHER, *object_first], [pushed], [pushed], [pushed]]
        verdict = judge(film(gantry, scenes, TOOLS), GOAL, gantry)
        assert (verdict.success, verdict.reason) == (False, "the object is not seen to stand at last")
    beside = [[OTHER, Block(AT_START, HALF, RED)], *[[pushed, Block((0.5, 0.1), HALF, RED)]] * 3]
    assert judge(film(gantry, beside, TOOLS), GOAL, gantry).distance == pytest.approx(
        math.dist((0.5, 0.1), AT_GOAL), abs=0.012
    )


def test_what_is_not_seen_is_not_done(gantry: ConfiguredRobot) -> None:
    vanished = judge(film(gantry, [scene(AT_START), *[[OTHER]] * 3], [AWAY] * 4), GOAL, gantry)
    assert (vanished.success, vanished.seen, math.isnan(vanished.distance)) == (False, False, True)
    assert vanished.reason == "the object is not seen to stand at last"


def test_what_stood_on_the_target_and_is_gone_at_last_is_not_done(gantry: ConfiguredRobot) -> None:
    placed = film(gantry, [*carried_to(AT_GOAL), [OTHER]], [*TOOLS, AWAY])
    assert judge(placed, GOAL, gantry).reason == "the object is not seen to stand at last"


def test_a_thing_that_was_hidden_at_first_may_be_seen_at_last(gantry: ConfiguredRobot) -> None:
    scenes = [[OTHER], *carried_to(AT_GOAL)[1:]]
    verdict = judge(film(gantry, scenes, TOOLS), GOAL, gantry)
    assert verdict.success
    assert verdict.displacement == pytest.approx(math.dist(AT_START, AT_GOAL), abs=0.012)


def test_things_and_discs_are_found_by_their_colours(gantry: ConfiguredRobot) -> None:
    shaded = tuple(0.5 * part for part in BLUE)
    disc = [Block((0.4 + 0.01 * x, -0.2 + 0.01 * y), (0.006, 0.006, 0.0005), BLUE)
            for x in range(-7, 8) for y in range(-7, 8) if x * x + y * y <= 49]  # fmt: skip
    seen = observe(gantry, [*disc, OTHER, Block((0.55, 0.05), HALF, shaded)])
    view = view_observation(seen, Renderer(gantry.surface, seen.camera), gantry.robot)
    assert view.table == pytest.approx(0.0, abs=0.002)
    thing, middle = find_thing(view, np.array(BLUE)), find_disc(view, np.array(BLUE), 0.07)
    assert thing is not None
    assert middle is not None
    assert math.dist(thing.centre[:2], (0.55, 0.05)) < 0.012
    assert math.dist(middle, (0.4, -0.2)) < 0.012
    assert find_thing(view, np.array(RED)) is None
    assert find_disc(view, np.array(RED), 0.07) is None
    assert is_near(view, np.array(BLUE), thing.centre, 0.06)
    assert not is_near(view, np.array(BLUE), thing.centre + [0.0, 0.0, 0.12], 0.06)
