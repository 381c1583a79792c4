import copy
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.robot import Robot

JUNK = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "nan",
            "inf",
            "-1",
            "0",
            "0 0 0",
            "1e999",
            "1e308 1e308 1e308",
            "1 2",
            "elbow",
            "base",
            "world",
            "tip",
            "floating",
            "planar",
            "fixed",
            "revolute",
            "mimic",
            "${x}",
            "../../..",
            "0x10",
            "１",
        ]
    ),
    st.text(max_size=12),
    st.floats().map(str),
)


def assert_parses_or_names_the_error(text: str) -> None:
    try:
        robot = Robot.from_urdf(text)
        T_base_link = robot.forward_kinematics(np.zeros(len(robot.joint_names)))
    except KinematicsError:
        return
    assert T_base_link.shape == (len(robot.link_names), 4, 4)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_cut_and_spliced_texts_parse_or_are_refused(data, every_joint_urdf):
    start = data.draw(st.integers(0, len(every_joint_urdf)))
    stop = data.draw(st.integers(start, min(len(every_joint_urdf), start + 60)))
    assert_parses_or_names_the_error(every_joint_urdf[:start] + data.draw(JUNK) + every_joint_urdf[stop:])
    assert_parses_or_names_the_error(every_joint_urdf[:start])


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_mutated_elements_parse_or_are_refused(data, every_joint_urdf):
    root = ElementTree.fromstring(every_joint_urdf)
    for _ in range(data.draw(st.integers(1, 3))):
        elements = list(root.iter())
        element = elements[data.draw(st.integers(0, len(elements) - 1))]
        action = data.draw(st.sampled_from(["attribute", "drop attribute", "tag", "drop child", "copy child", "graft"]))
        if action == "attribute":
            names = [*element.attrib, "name", "type", "link", "xyz", "rpy", "quat_xyzw", "lower", "joint", "filename"]
            element.set(data.draw(st.sampled_from(names)), data.draw(JUNK))
        elif action == "drop attribute" and element.attrib:
            del element.attrib[data.draw(st.sampled_from(sorted(element.attrib)))]
        elif action == "tag":
            element.tag = data.draw(st.sampled_from(sorted({other.tag for other in elements})))
        elif action == "drop child" and len(element):
            element.remove(element[data.draw(st.integers(0, len(element) - 1))])
        elif action == "copy child" and len(element):
            element.append(element[data.draw(st.integers(0, len(element) - 1))])
        elif action == "graft":
            element.append(copy.deepcopy(data.draw(st.sampled_from(elements))))
    assert_parses_or_names_the_error(ElementTree.tostring(root, encoding="unicode"))


@settings(deadline=None, max_examples=100)
@given(text=st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
def test_arbitrary_texts_are_refused(text):
    with pytest.raises(KinematicsError):
        Robot.from_urdf(text)


def test_deep_nesting_is_read_or_refused():
    assert_parses_or_names_the_error('<robot name="r">' + "<a>" * 100_000 + "</a>" * 100_000 + "</robot>")


def test_long_chains_and_long_mimic_chains_end():
    count = 2000
    links = "".join(f'<link name="l{k}"/>' for k in range(count + 1))
    joints = "".join(
        f'<joint name="j{k}" type="continuous"><parent link="l{k}"/><child link="l{k + 1}"/><axis xyz="0 0 1"/>'
        + (f'<mimic joint="j{k - 1}"/>' if k % 500 else "")
        + "</joint>"
        for k in range(count)
    )
    robot = Robot.from_urdf(f'<robot name="long">{links}{joints}</robot>')
    assert robot.joint_names == ("j0", "j500", "j1000", "j1500")
    T_base_link = robot.forward_kinematics([1e-3, 0, 0, 0])
    np.testing.assert_allclose(T_base_link[-1, :2, 0], [np.cos(0.5), np.sin(0.5)], atol=1e-9)
