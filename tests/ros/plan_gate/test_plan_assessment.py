"""Contacts of a plan with the predicted scene, where both are known in closed form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import se3
from k4d_kinematics.errors import RobotModelError
from k4d_world_model.errors import AssessmentError
from k4d_world_model.plan_assessment import assess, links_of_tool

from .press import T_CAM_BASE, press, pressed


def test_a_link_that_reaches_the_table_touches_it_there_and_then(tmp_path: Path) -> None:
    robot, surface = press(tmp_path)
    rollout = pressed(robot, surface, [0.0, 0.2, 0.3, 0.1])
    found = assess(rollout, robot, surface, (), distance=0.02)
    (contact,) = found.contacts
    assert contact.link == "head"
    assert contact.times == (1.0, 1.0)
    assert np.abs(contact.point_base[:2]).max() < 0.08, "below the head, or just beside it"
    assert abs(contact.point_base[2]) < 1e-3
    assert contact.distance < 0.02
    assert found.clearance == contact.distance
    assert found.standing == ()


def test_clearance_is_the_distance_of_the_lowest_side(tmp_path: Path) -> None:
    robot, surface = press(tmp_path)
    found = assess(pressed(robot, surface, [0.0, 0.2, 0.1]), robot, surface, (), distance=0.02)
    assert found.contacts == ()
    # The camera sees the table in steps of about 2 cm.
    assert 0.1 <= found.clearance < 0.105


def test_the_tool_may_touch_and_what_it_carries_is_not_the_robot(tmp_path: Path) -> None:
    robot, surface = press(tmp_path)
    tool = links_of_tool(robot, surface, "tip")
    assert tool == ("head", "tip")
    found = assess(pressed(robot, surface, [0.0, 0.3]), robot, surface, tool, distance=0.02)
    assert [(contact.link, contact.is_tool) for contact in found.contacts] == [("head", True)]
    # The shaft stays 0.05 m above the head's lower side.
    assert 0.05 <= found.clearance < 0.06
    assert links_of_tool(robot, surface, "") == ()
    with pytest.raises(RobotModelError, match="unknown link 'hand'"):
        links_of_tool(robot, surface, "hand")


def test_what_stands_at_the_scene_from_the_beginning_is_no_contact(tmp_path: Path) -> None:
    robot, surface = press(tmp_path)
    rollout = pressed(robot, surface, [0.27, 0.1, 0.27])
    found = assess(rollout, robot, surface, (), distance=0.05)
    assert found.contacts == ()
    assert found.standing == ("head",)
    # What does not move touches nothing: here the frame, with something just beside it.
    beside = rollout.points.copy()
    beside[:, 0, 0] = (T_CAM_BASE @ [0.06, 0.0, 0.8, 1.0])[:3]
    valid = np.isfinite(beside).all(axis=-1)
    found = assess(replace(rollout, points=beside, valid=valid), robot, surface, (), distance=0.05)
    assert found.standing == ("head",)
    assert found.contacts == ()


def test_a_scene_that_the_camera_does_not_see_is_not_near(tmp_path: Path) -> None:
    robot, surface = press(tmp_path)
    rollout = pressed(robot, surface, [0.0, 0.3])
    nothing = np.full_like(rollout.points, np.nan)
    blind = replace(rollout, points=nothing, valid=np.zeros_like(rollout.valid))
    found = assess(blind, robot, surface, (), distance=0.02)
    assert found.contacts == ()
    assert found.clearance == np.inf


def test_a_moving_camera_remembers_in_the_base_frame(tmp_path: Path) -> None:
    robot, surface = press(tmp_path)
    still, away = pressed(robot, surface, [0.0, 0.3]), se3.from_xyz_rpy((0.0, 0.0, 0.0), (0.0, 3.0, 0.0))
    T_cam_base = np.stack([still.T_cam_base[0], away @ still.T_cam_base[1]])
    points = still.points.copy()
    points[1] = np.nan
    turned = replace(still, T_cam_base=T_cam_base, points=points, valid=np.isfinite(points).all(axis=-1))
    (contact,) = assess(turned, robot, surface, (), distance=0.02).contacts
    assert abs(contact.point_base[2]) < 1e-3


def test_without_joints_nothing_can_be_said(tmp_path: Path) -> None:
    robot, surface = press(tmp_path)
    with pytest.raises(AssessmentError, match="joints"):
        assess(pressed(robot, surface, [0.0, 0.1], joints=False), robot, surface, (), distance=0.02)
