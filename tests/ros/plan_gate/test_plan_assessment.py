"""Contacts of a plan with the predicted scene, where both are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import JointTrajectory, RobotSurface, se3
from k4d_kinematics.errors import RobotModelError
from k4d_kinematics.robot import Robot
from k4d_world_model.errors import AssessmentError
from k4d_world_model.plan_assessment import Assessment, assess, links_of_tool
from k4d_world_model.robot_body import RobotBody
from k4d_world_model.rollout import Rollout
from k4d_world_model.swept_motion import sweep

from .press import JOINT, T_CAM_BASE, press, pressed

Press = tuple[Robot, RobotSurface]


@pytest.fixture(scope="module")
def hammer(tmp_path_factory: pytest.TempPathFactory) -> Press:
    return press(tmp_path_factory.mktemp("press"))


def judged(
    rollout: Rollout,
    hammer: Press,
    tool_links: tuple[str, ...] = (),
    *,
    distance: float = 0.02,
    motion: JointTrajectory | None = None,
) -> Assessment:
    return assess(rollout, RobotBody(*hammer, distance), tool_links, distance=distance, motion=motion)


def with_point(rollout: Rollout, point_base: list[float]) -> Rollout:
    """The rollout with one more place, which all frames show where there is nothing but sky."""
    points = rollout.points.copy()
    points[:, 0, 0] = (T_CAM_BASE @ [*point_base, 1.0])[:3]
    return replace(rollout, points=points, valid=np.isfinite(points).all(axis=-1))


def test_a_link_that_reaches_the_table_touches_it_there_and_then(hammer: Press) -> None:
    found = judged(pressed(*hammer, [0.0, 0.21, 0.3, 0.1]), hammer)
    (contact,) = found.contacts
    assert contact.link == "head"
    # The head is 2 cm above the table at 0.89 s, and again at 1.05 s; a step is 2 cm long at most.
    assert 0.89 <= contact.times[0] < 0.95
    assert 1.0 <= contact.times[1] <= 1.05
    assert np.abs(contact.point_base[:2]).max() < 0.08, "below the head, or just beside it"
    assert abs(contact.point_base[2]) < 1e-3
    assert contact.distance < 0.02
    assert found.clearance == contact.distance
    assert found.standing == ()
    assert found.blind == 0


def test_clearance_is_the_distance_of_the_lowest_side(hammer: Press) -> None:
    found = judged(pressed(*hammer, [0.0, 0.2, 0.1]), hammer)
    assert found.contacts == ()
    # The camera sees the table in steps of about 2 cm.
    assert 0.1 <= found.clearance < 0.105


def test_what_touches_the_middle_of_a_side_is_found(hammer: Press) -> None:
    post = with_point(pressed(*hammer, [0.0, 0.1]), [0.003, -0.004, 0.185])
    (contact,) = judged(post, hammer).contacts
    assert contact.link == "head"
    np.testing.assert_allclose(contact.point_base, [0.003, -0.004, 0.185], atol=1e-5)
    assert 0.015 <= contact.distance < 0.0165


def test_a_plan_into_the_table_stays_in_touch_with_it(hammer: Press) -> None:
    found = judged(pressed(*hammer, [0.0, 0.33, 0.33]), hammer)
    (head,) = found.contacts
    assert 0.42 <= head.times[0] < 0.47
    assert (head.link, head.times[1], head.distance) == ("head", 1.0, 0.0)
    assert found.clearance == 0.0


def test_a_plan_through_the_table_is_found(hammer: Press) -> None:
    # In both frames the head is farther from the table than what counts as near.
    found = judged(pressed(*hammer, [0.0, 0.45]), hammer)
    assert {contact.link for contact in found.contacts} == {"head", "shaft"}
    assert found.clearance == 0.0


def test_what_the_robot_passes_between_two_frames_is_found(hammer: Press) -> None:
    # All of the hammer is above the place at first, and beside or below it in the end.
    wire = with_point(pressed(*hammer, [0.0, 0.25]), [0.045, 0.0, 0.15])
    (contact,) = judged(wire, hammer).contacts
    assert contact.link == "head"
    assert contact.times[1] < 0.5
    still = pressed(*hammer, [0.0, 0.0])
    down_and_up = JointTrajectory((JOINT,), np.array([3.0, 3.25, 3.5]), np.array([[0.0], [0.3], [0.0]]))
    (contact,) = judged(still, hammer, motion=down_and_up).contacts
    assert 0.2 < contact.times[0] < 0.25 < contact.times[1] < 0.3


def test_the_tool_may_touch_and_what_it_carries_is_not_the_robot(hammer: Press) -> None:
    robot, surface = hammer
    tool = links_of_tool(robot, surface, "tip")
    assert tool == ("head", "tip")
    found = judged(pressed(robot, surface, [0.0, 0.3]), hammer, tool)
    assert [(contact.link, contact.is_tool) for contact in found.contacts] == [("head", True)]
    # The shaft stays 0.05 m above the head's lower side.
    assert 0.05 <= found.clearance < 0.06
    assert links_of_tool(robot, surface, "") == ()
    with pytest.raises(RobotModelError, match="unknown link 'hand'"):
        links_of_tool(robot, surface, "hand")


def test_what_stands_at_the_scene_is_no_contact_until_it_has_left(hammer: Press) -> None:
    found = judged(pressed(*hammer, [0.27, 0.1, 0.27]), hammer, distance=0.05)
    (standing,) = found.standing
    assert (standing.link, standing.times[0], standing.is_tool) == ("head", 0.0, False)
    assert standing.times[1] < 0.1
    (again,) = found.contacts
    assert again.link == "head"
    assert (again.times[0] > 0.9, again.times[1]) == (True, 1.0)
    assert found.clearance == again.distance
    assert judged(pressed(*hammer, [0.27, 0.26]), hammer, distance=0.05).contacts == ()


def test_what_stands_at_the_scene_may_not_go_into_it(hammer: Press) -> None:
    on_a_post = with_point(pressed(*hammer, [0.27, 0.325]), [0.0, 0.0, 0.015])
    found = judged(on_a_post, hammer)
    (standing,) = found.standing
    (contact,) = (each for each in found.contacts if each.link == "head")
    assert standing.link == "head"
    assert standing.times[1] < contact.times[0]
    assert contact.distance == 0.0


def test_what_does_not_move_touches_nothing(hammer: Press) -> None:
    beside_the_frame = with_point(pressed(*hammer, [0.0, 0.1]), [0.06, 0.0, 0.8])
    found = judged(beside_the_frame, hammer)
    assert (found.standing, found.contacts) == ((), ())
    assert found.clearance > 0.15


def test_a_scene_that_the_camera_does_not_see_is_not_near(hammer: Press) -> None:
    rollout = pressed(*hammer, [0.0, 0.3])
    nothing = np.full_like(rollout.points, np.nan)
    blind = replace(rollout, points=nothing, valid=np.zeros_like(rollout.valid))
    found = judged(blind, hammer)
    assert found.contacts == ()
    assert found.clearance == np.inf
    assert found.blind == 2


def test_a_moving_camera_remembers_in_the_base_frame(hammer: Press) -> None:
    still, away = pressed(*hammer, [0.0, 0.3]), se3.from_xyz_rpy((0.0, 0.0, 0.0), (0.0, 3.0, 0.0))
    T_cam_base = np.stack([still.T_cam_base[0], away @ still.T_cam_base[1]])
    points = still.points.copy()
    points[1] = np.nan
    turned = replace(still, T_cam_base=T_cam_base, points=points, valid=np.isfinite(points).all(axis=-1))
    found = judged(turned, hammer)
    (contact,) = found.contacts
    assert abs(contact.point_base[2]) < 1e-3
    assert contact.times[1] == 0.5
    assert found.blind == 1


def test_what_cannot_be_judged_is_named(hammer: Press) -> None:
    with pytest.raises(AssessmentError, match="joints"):
        judged(pressed(*hammer, [0.0, 0.1], joints=False), hammer)
    with pytest.raises(AssessmentError, match=r"from 0.005 m on, got 0.004 m"):
        judged(pressed(*hammer, [0.0, 0.1]), hammer, distance=0.004)
    to_and_fro = JointTrajectory((JOINT,), np.linspace(0.0, 0.5, 2001), np.tile([0.0, 0.3], 1001)[:2001, None])
    with pytest.raises(AssessmentError, match="at most 20000 steps"):
        judged(pressed(*hammer, [0.0, 0.0]), hammer, motion=to_and_fro)


def test_steps_are_as_small_as_asked_where_the_robot_is_fastest(hammer: Press) -> None:
    robot, surface = hammer
    ends = JointTrajectory((JOINT,), np.array([0.0, 0.5]), np.array([[0.0], [0.1]]), np.zeros((2, 1)))
    swept = sweep(ends, ends.times, RobotBody(robot, surface, 0.02), 0.02)
    heights = swept.T_base_link[:, robot.link_index("head"), 2, 3]
    assert np.abs(np.diff(heights)).max() <= 0.02, "half as fast again in the middle as on average"
