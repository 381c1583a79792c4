"""Where the tool is and how far its gripper is open, against robots whose answer is plain."""

import numpy as np
import pytest

from k4d_kinematics import KinematicsError, Robot, ToolPath, tool_path

LINK = '<link name="{}"/>'
SLIDE = (
    '<joint name="{name}" type="prismatic"><parent link="hand"/><child link="{name}_tip"/><axis xyz="0 {sign} 0"/>'
    '<limit lower="{lower}" upper="{upper}" effort="1" velocity="1"/>{mimic}</joint>'
)
TURN = (
    '<joint name="{name}" type="revolute"><parent link="hand"/><child link="{name}_knuckle"/><axis xyz="{sign} 0 0"/>'
    '<origin xyz="0 {y} 0"/><limit lower="0" upper="0.8" effort="1" velocity="1"/></joint>'
    '<joint name="{name}_end" type="fixed"><parent link="{name}_knuckle"/><child link="{name}_tip"/>'
    '<origin xyz="0 0 0.1"/></joint>'
)
ARM = (
    '<joint name="arm" type="prismatic"><parent link="base"/><child link="hand"/><axis xyz="1 0 0"/>'
    '<limit lower="0" upper="2" effort="1" velocity="1"/></joint>'
    '<joint name="flange" type="fixed"><parent link="hand"/><child link="tool"/><origin xyz="0 0 0.1"/></joint>'
)


def robot(joints: str, links: tuple[str, ...]) -> Robot:
    names = ("base", "hand", "tool", *links)
    return Robot.from_urdf(f'<robot name="r">{"".join(map(LINK.format, names))}{ARM}{joints}</robot>')


def test_two_fingers_that_slide():
    left = SLIDE.format(name="left", sign=1, lower=0, upper=0.04, mimic="")
    right = SLIDE.format(name="right", sign=-1, lower=0, upper=0.04, mimic='<mimic joint="left"/>')
    path = tool_path(robot(left + right, ("left_tip", "right_tip")), "tool", [[0.0, 0.0], [0.5, 0.03], [1.0, 0.04]])
    np.testing.assert_allclose(path.opening, [0.0, 0.06, 0.08], atol=1e-12)
    np.testing.assert_allclose(path.T_base_tool[:, :3, 3], [[0, 0, 0.1], [0.5, 0, 0.1], [1, 0, 0.1]], atol=1e-12)


def test_fingers_that_open_towards_their_lower_limit():
    left = SLIDE.format(name="left", sign=1, lower=-0.05, upper=0.0, mimic="")
    right = SLIDE.format(name="right", sign=-1, lower=-0.05, upper=0.0, mimic='<mimic joint="left"/>')
    path = tool_path(robot(left + right, ("left_tip", "right_tip")), "tool", [[0.0, 0.0], [0.0, -0.05]])
    np.testing.assert_allclose(path.opening, [0.0, 0.1], atol=1e-12)


def test_fingers_that_turn_open_as_far_as_their_links_part():
    fingers = TURN.format(name="a", sign=-1, y=0.01) + TURN.format(name="b", sign=1, y=-0.01)
    tips = ("a_tip", "b_tip", "a_knuckle", "b_knuckle")
    path = tool_path(robot(fingers, tips), "tool", [[0.0, 0.0, 0.0], [0.0, 0.4, 0.4], [0.0, 0.8, 0.8]])
    assert path.opening[0] == pytest.approx(0.0, abs=1e-12)
    assert (np.diff(path.opening) >= 0).all()


def test_without_a_gripper_nothing_opens():
    path = tool_path(robot("", ()), "tool", [[0.3]])
    assert path.opening.tolist() == [0.0]
    one = SLIDE.format(name="left", sign=1, lower=0, upper=0.04, mimic="")
    assert tool_path(robot(one, ("left_tip",)), "tool", [[0.3, 0.02]]).opening.tolist() == [0.0]


def test_a_path_checks_itself():
    with pytest.raises(KinematicsError, match=r"opening \(T,\), got \(2, 4, 4\) and \(3,\)"):
        ToolPath(np.zeros((2, 4, 4)), np.zeros(3))
    with pytest.raises(KinematicsError, match="finite"):
        ToolPath(np.zeros((1, 4, 4)), np.full(1, np.nan))
    with pytest.raises(KinematicsError, match="nowhere"):
        tool_path(robot("", ()), "nowhere", [[0.3]])
