import logging
import textwrap

import numpy as np
import pytest

from k4d_kinematics.errors import RobotModelError
from k4d_kinematics.robot import Robot
from k4d_kinematics.urdf import read_description

LINKS = '<link name="a"/><link name="b"/><link name="c"/>'
LIMIT = '<limit lower="-1" upper="1" velocity="1" effort="1"/>'
ENDS = '<parent link="a"/><child link="b"/>'
B_TO_C = '<joint name="k" type="fixed"><parent link="b"/><child link="c"/></joint>'


def joint(inside, name="j", joint_type="revolute"):
    return f'<joint name="{name}" type="{joint_type}">{inside}</joint>'


def robot(inside):
    return f'<robot name="r">{inside}</robot>'


def with_joint(inside, joint_type="revolute"):
    return robot(LINKS + joint(inside, joint_type=joint_type) + B_TO_C)


def with_visual(inside):
    return robot(f'<link name="a"><visual>{inside}</visual></link>')


BILLION = """<?xml version="1.0"?><!DOCTYPE robot [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><robot name="&c;"><link name="a"/></robot>"""
EXTERNAL = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><robot name="r"><link name="&x;"/></robot>'

CASES = {
    "empty": ("", "well-formed XML"),
    "not xml": ("hello", "well-formed XML"),
    "truncated": ('<robot name="r"><link name="a">', "well-formed XML"),
    "two roots of the document": ("<robot/><robot/>", "well-formed XML"),
    "zero byte": ("<robot>\0</robot>", "well-formed XML"),
    "lone surrogate": ("<robot>\ud800</robot>", "well-formed XML"),
    "undefined entity": ('<robot name="r"><link name="&a;"/></robot>', "well-formed XML"),
    "entity expansion": (BILLION, "without a document type"),
    "external entity": (EXTERNAL, "without a document type"),
    "external DTD": ('<!DOCTYPE robot SYSTEM "http://x/y.dtd"><robot name="r"/>', "without a document type"),
    "another root": ("<sdf/>", "must be <robot>, got <sdf>"),
    "no name": (
        '<robot><link name="a"/></robot>',
        'the description: <robot> needs name="a non-empty text", got nothing',
    ),
    "empty name": ('<robot name=" "><link name="a"/></robot>', "got ' '"),
    "unexpanded xacro": (
        '<robot name="r" xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:arm/></robot>',
        "expand it first",
    ),
    "no link": (robot(""), r"exactly one root link, got \[\]"),
    "nameless link": (robot("<link/>"), 'a link: <link> needs name="a non-empty text", got nothing'),
    "twin links": (robot('<link name="a"/><link name="a"/>'), "link names must be unique, repeated: a"),
    "twin joints": (
        robot(LINKS + joint(ENDS + LIMIT) + joint(ENDS + LIMIT)),
        "joint names must be unique, repeated: j",
    ),
    "two roots": (robot(LINKS), r"one root link, got \['a', 'b', 'c'\], none of them any joint's child$"),
    "full cycle": (
        robot(
            '<link name="a"/><link name="b"/>'
            + joint(ENDS + LIMIT)
            + joint('<parent link="b"/><child link="a"/>', "k", "fixed")
        ),
        "form a cycle",
    ),
    "cycle apart": (
        robot(
            LINKS
            + joint('<parent link="b"/><child link="c"/>', "k", "fixed")
            + joint('<parent link="c"/><child link="b"/>', "l", "fixed")
        ),
        "cycle apart from it: b, c",
    ),
    "own parent": (
        robot('<link name="a"/><link name="b"/>' + joint('<parent link="b"/><child link="b"/>', "k", "fixed")),
        "cycle apart from it: b",
    ),
    "two parents": (
        robot(LINKS + joint(ENDS + LIMIT) + joint('<parent link="c"/><child link="b"/>', "k", "fixed")),
        "link 'b' must be the child of one joint, is the child of 'j' and 'k'",
    ),
    "unknown parent": (
        with_joint('<parent link="x"/><child link="b"/>' + LIMIT),
        "joint 'j' names the unknown parent link 'x', links are: a, b, c",
    ),
    "unknown child": (with_joint('<parent link="a"/><child link="x"/>' + LIMIT), "unknown child link 'x'"),
    "no parent": (with_joint('<child link="b"/>' + LIMIT), "joint 'j': <joint> must hold one <parent>, got none"),
    "parent without link": (with_joint('<parent/><child link="b"/>' + LIMIT), "<parent> needs link="),
    "two children": (with_joint(ENDS + '<child link="c"/>' + LIMIT), "may hold one <child>, got 2"),
    "nameless joint": (robot(LINKS + "<joint/>"), "a joint: <joint> needs name="),
    "no type": (robot(LINKS + '<joint name="j"/>'), 'needs type="one of revolute, continuous, prismatic, fixed'),
    "unknown type": (with_joint(ENDS, "hinge"), "got 'hinge'"),
    "planar": (with_joint(ENDS, "planar"), "joint 'j' is planar; supported are fixed, revolute, continuous, prismatic"),
    "floating inside": (
        robot(LINKS + joint(ENDS, "j", "fixed") + joint('<parent link="b"/><child link="c"/>', "k", "floating")),
        "joint 'k' is floating; supported are .* one floating joint that alone connects the root link",
    ),
    "floating beside another": (
        robot(LINKS + joint(ENDS, "j", "floating") + joint('<parent link="a"/><child link="c"/>', "k", "fixed")),
        "joint 'j' is floating",
    ),
    "shape above a floating base": (
        robot(
            '<link name="a"><visual><geometry><sphere radius="1"/></geometry></visual></link><link name="b"/>'
            + joint(ENDS, "j", "floating")
        ),
        "link 'a' above the floating joint 'j' must have no visual",
    ),
    "no limit": (with_joint(ENDS), "joint 'j': <joint> must hold one <limit>, got none"),
    "crossed limits": (
        with_joint(ENDS + '<limit lower="2" upper="1"/>', "prismatic"),
        "joint 'j': <limit> needs lower=\"a number <= upper, 1.0\", got '2'",
    ),
    "limit above default": (with_joint(ENDS + '<limit lower="2"/>'), "got '2'"),
    "NaN limit": (with_joint(ENDS + '<limit lower="nan"/>'), "lower=\"a number or inf\", got 'nan'"),
    "word limit": (with_joint(ENDS + '<limit upper="pi"/>'), "got 'pi'"),
    "negative velocity": (with_joint(ENDS + '<limit velocity="-1"/>'), 'velocity="a number >= 0"'),
    "NaN velocity": (with_joint(ENDS + '<limit velocity="nan"/>', "continuous"), 'velocity="a number or inf"'),
    "zero axis": (
        with_joint(ENDS + LIMIT + '<axis xyz="0 0 0"/>'),
        "joint 'j': <axis> needs xyz=\"a vector that is not",
    ),
    "short axis": (with_joint(ENDS + LIMIT + '<axis xyz="0 1"/>'), "xyz=\"3 finite numbers\", got '0 1'"),
    "NaN axis": (with_joint(ENDS + LIMIT + '<axis xyz="0 nan 1"/>'), "got '0 nan 1'"),
    "empty axis": (with_joint(ENDS + LIMIT + "<axis/>"), 'xyz="3 finite numbers", got nothing'),
    "infinite origin": (with_joint(ENDS + LIMIT + '<origin xyz="0 0 1e999"/>'), "<origin> needs xyz="),
    "NaN angle": (with_joint(ENDS + LIMIT + '<origin rpy="0 nan 0"/>'), "<origin> needs rpy="),
    "word in origin": (with_joint(ENDS + LIMIT + '<origin xyz="0 0 ${h}"/>'), "got '0 0 \\${h}'"),
    "underscored number": (with_joint(ENDS + LIMIT + '<origin xyz="0 0 1_0"/>'), "got '0 0 1_0'"),
    "zero quaternion": (
        with_joint(ENDS + LIMIT + '<origin quat_xyzw="0 0 0 0"/>'),
        "joint 'j': <origin>: a quaternion",
    ),
    "angles twice": (with_joint(ENDS + LIMIT + '<origin rpy="0 0 0" quat_xyzw="0 0 0 1"/>'), "rpy or quat_xyzw"),
    "two origins": (with_joint(ENDS + LIMIT + "<origin/><origin/>"), "may hold one <origin>, got 2"),
    "mimic of nothing": (with_joint(ENDS + LIMIT + "<mimic/>"), "<mimic> needs joint="),
    "mimic of unknown": (
        with_joint(ENDS + LIMIT + '<mimic joint="x"/>'),
        "joint 'j' must mimic a movable joint, got 'x', movable are: j",
    ),
    "mimic of fixed": (with_joint(ENDS + LIMIT + '<mimic joint="k"/>'), "must mimic a movable joint, got 'k'"),
    "mimic of itself": (with_joint(ENDS + LIMIT + '<mimic joint="j"/>'), "cycle, got j -> j"),
    "mimic cycle": (
        robot(
            LINKS
            + joint(ENDS + '<mimic joint="k"/>', "j", "continuous")
            + joint('<parent link="b"/><child link="c"/><mimic joint="j"/>', "k", "continuous")
        ),
        "cycle, got j -> k -> j",
    ),
    "mimic multiplier": (
        with_joint(ENDS + LIMIT + '<mimic joint="k" multiplier="x"/>'),
        'multiplier="a finite number"',
    ),
    "no geometry": (with_visual(""), "<visual> of link 'a': <visual> must hold one <geometry>, got none"),
    "empty geometry": (with_visual("<geometry/>"), "one of box, cylinder, sphere, capsule, mesh, got nothing"),
    "unknown geometry": (with_visual("<geometry><cone/></geometry>"), "got <cone>"),
    "two geometries": (
        with_visual('<geometry><sphere radius="1"/><box size="1 1 1"/></geometry>'),
        "got <sphere>, <box>",
    ),
    "negative radius": (with_visual('<geometry><sphere radius="-1"/></geometry>'), "radius=.*positive.*got '-1'"),
    "flat box": (with_visual('<geometry><box size="1 0 1"/></geometry>'), "size=.*positive.*got '1 0 1'"),
    "no length": (with_visual('<geometry><cylinder radius="1"/></geometry>'), "<cylinder> needs length="),
    "no filename": (with_visual("<geometry><mesh/></geometry>"), "<mesh> needs filename="),
    "zero scale": (with_visual('<geometry><mesh filename="m.stl" scale="1 0 1"/></geometry>'), "scale=.*got '1 0 1'"),
    "bright colour": (
        with_visual('<geometry><sphere radius="1"/></geometry><material name="m"><color rgba="1 2 0 1"/></material>'),
        "rgba=\"four numbers in 0..1\", got '1 2 0 1'",
    ),
    "short colour": (
        with_visual('<geometry><sphere radius="1"/></geometry><material name="m"><color rgba="1 1 0"/></material>'),
        "rgba=\"4 finite numbers\", got '1 1 0'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_with_what_is_valid(case):
    text, message = CASES[case]
    with pytest.raises(RobotModelError, match=message):
        Robot.from_urdf(text)


def test_a_text_of_endless_size_is_refused(monkeypatch):
    monkeypatch.setattr("k4d_kinematics.xml_elements.MAX_TEXT_CHARACTERS", 100)
    assert Robot.from_urdf('<robot name="r"><link name="a"/></robot>').name == "r"
    with pytest.raises(RobotModelError, match="may have 100 characters, got 139"):
        Robot.from_urdf('<robot name="r"><link name="a"/></robot>' + " " * 99)


def test_axes_of_any_length_become_unit_vectors():
    for scale in (1e-200, 1e-3, 5.0, 1e200):
        xyz = f"{scale} {-2 * scale} {2 * scale}"
        tree = Robot.from_urdf(with_joint(f'{ENDS}{LIMIT}<axis xyz="{xyz}"/>')).tree
        np.testing.assert_allclose(tree.axis[1], [1 / 3, -2 / 3, 2 / 3], rtol=1e-12)


def test_an_origin_may_state_a_quaternion():
    tree = Robot.from_urdf(with_joint(f'{ENDS}{LIMIT}<origin xyz="1 2 3" quat_xyzw="0 0 0.6 0.8"/>')).tree
    angle = 2 * np.arctan2(0.6, 0.8)
    expected = [[np.cos(angle), -np.sin(angle), 0, 1], [np.sin(angle), np.cos(angle), 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(tree.T_parent_joint[1], expected, atol=1e-12)


def test_limits_may_be_infinite():
    robot_ = Robot.from_urdf(with_joint(f'{ENDS}<limit lower="-inf" upper="inf" velocity="inf"/>', "prismatic"))
    assert (robot_.lower[0], robot_.upper[0], robot_.velocity_limits[0]) == (-np.inf, np.inf, np.inf)


def test_an_undefined_material_is_logged(caplog):
    text = with_visual('<geometry><sphere radius="1"/></geometry><material name="pink"/>')
    with caplog.at_level(logging.WARNING):
        assert Robot.from_urdf(text).visuals[0].material is None
    assert "<visual> of link 'a': material 'pink' is not defined" in caplog.text


def test_nothing_is_printed(capsys, every_joint_urdf):
    Robot.from_urdf(every_joint_urdf)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_xacro_files_are_expanded(tmp_path):
    path = tmp_path / "arm.urdf.xacro"
    path.write_text(
        textwrap.dedent("""\
        <robot name="arm" xmlns:xacro="http://www.ros.org/wiki/xacro">
          <xacro:property name="height" value="0.25"/>
          <xacro:macro name="segment" params="k">
            <link name="link${k}"/>
            <joint name="joint${k}" type="fixed"><parent link="base"/><child link="link${k}"/>
              <origin xyz="0 0 ${height * k}"/></joint>
          </xacro:macro>
          <link name="base"/><xacro:segment k="1"/><xacro:segment k="2"/>
        </robot>""")
    )
    robot_ = Robot.from_file(path)
    assert robot_.link_names == ("base", "link1", "link2")
    np.testing.assert_allclose(robot_.forward_kinematics([])[2, :3, 3], [0, 0, 0.5])


@pytest.mark.parametrize(
    "inside",
    [
        "<link name='${unknown}'/>",
        "<link name='${1/0}'/>",
        "<link name='${'/>",
        "<link name='$(find no_such_package)'/>",
        "<link name='$(arg none)'/>",
        "<xacro:include filename='missing.xacro'/>",
        "<xacro:include filename='package://no_such_package/missing.xacro'/>",
        "<xacro:include/>",
        "<xacro:macro/>",
        "<xacro:if value='maybe'/>",
        "<xacro:unknown_macro/>",
        "<xacro:property name='a' value='${a}'/><link name='${a}'/>",
        "<xacro:macro name='m' params='k'><xacro:m k='1'/></xacro:macro><xacro:m k='1'/>",
        "<xacro:macro name='m' params='k'/><xacro:m/>",
        "<link name='${[].append}'/><link name='${lambda: 0}'/><link name='${open}'/>",
        "<link name=\"${load_yaml('missing.yaml')}\"/>",
        "<link",
        "<!-- x -->",
    ],
)
def test_broken_xacro_files_are_named(tmp_path, inside):
    path = tmp_path / "broken.xacro"
    path.write_text(f'<robot name="r" xmlns:xacro="http://www.ros.org/wiki/xacro">{inside}</robot>')
    with pytest.raises(RobotModelError):
        Robot.from_file(path)


def test_a_document_type_in_a_xacro_file_is_refused(tmp_path):
    path = tmp_path / "bomb.xacro"
    path.write_text(BILLION)
    with pytest.raises(RobotModelError, match="without a document type"):
        read_description(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(RobotModelError, match=r"cannot read the robot description .*none\.urdf"):
        Robot.from_file(tmp_path / "none.urdf")
    (tmp_path / "latin.urdf").write_bytes(b'<robot name="\xe9"/>')
    with pytest.raises(RobotModelError, match="UTF-8"):
        Robot.from_file(tmp_path / "latin.urdf")
