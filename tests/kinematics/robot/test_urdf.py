"""What is read agrees with urdf_parser_py, the reader of the ROS tools, on published robots."""

from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from urdf_parser_py import urdf as ros_urdf

from k4d_kinematics.description import Box, Capsule, Cylinder, Material, MeshFile, Sphere
from k4d_kinematics.urdf import parse_urdf

FILES = [
    "panda_description/urdf/panda.urdf",
    "ur_description/urdf/ur5_robot.urdf",
    "pr2_description/urdf/pr2.urdf",
    "talos_data/robots/talos_reduced.urdf",
    "tiago_description/robots/tiago.urdf",
    "kinova_description/robots/kinova.urdf",
]


def origin_matrix(origin):
    T = np.eye(4)
    if origin is not None:
        T[:3, :3] = Rotation.from_euler("xyz", origin.rpy or [0, 0, 0]).as_matrix()
        T[:3, 3] = origin.xyz or [0, 0, 0]
    return T


def assert_same_shape(ours, theirs):
    if isinstance(theirs, ros_urdf.Mesh):
        assert ours == MeshFile(theirs.filename, tuple(theirs.scale or (1.0, 1.0, 1.0)))
    elif isinstance(theirs, ros_urdf.Box):
        assert ours == Box(tuple(theirs.size))
    elif isinstance(theirs, ros_urdf.Cylinder):
        assert ours == Cylinder(theirs.radius, theirs.length)
    else:
        assert ours == Sphere(theirs.radius)


@pytest.mark.parametrize("file", FILES)
def test_joints_and_shapes_agree_with_urdf_parser_py(file, robots_folder):
    text = (robots_folder / file).read_text()
    # Its transmission reader refuses the PR2's.
    without_transmissions = ElementTree.fromstring(text)
    for element in without_transmissions.findall("transmission"):
        without_transmissions.remove(element)
    ours, theirs = parse_urdf(text), ros_urdf.URDF.from_xml_string(ElementTree.tostring(without_transmissions))
    assert ours.link_names == tuple(link.name for link in theirs.links)
    assert [joint.name for joint in ours.joints] == [joint.name for joint in theirs.joints]
    for mine, other in zip(ours.joints, theirs.joints, strict=True):
        assert (mine.joint_type, mine.parent, mine.child) == (other.type, other.parent, other.child)
        np.testing.assert_allclose(mine.T_parent_joint, origin_matrix(other.origin), atol=1e-12)
        if other.type in ("revolute", "prismatic"):
            assert (mine.lower, mine.upper) == (other.limit.lower, other.limit.upper)
            assert mine.velocity_limit == other.limit.velocity
        if other.mimic is not None and other.type != "fixed":
            assert mine.mimic.joint_name == other.mimic.joint
            assert mine.mimic.multiplier == (1.0 if other.mimic.multiplier is None else other.mimic.multiplier)
    for mine, kind in ((ours.visuals, "visuals"), (ours.collisions, "collisions")):
        flat = [(link.name, shape) for link in theirs.links for shape in getattr(link, kind)]
        assert [geometry.link_name for geometry in mine] == [name for name, _ in flat]
        for geometry, (_, other) in zip(mine, flat, strict=True):
            assert_same_shape(geometry.shape, other.geometry)
            np.testing.assert_allclose(geometry.T_link_geometry, origin_matrix(other.origin), atol=1e-12)


def test_materials_are_found_by_name_wherever_they_are_stated():
    sphere = '<geometry><sphere radius="1"/></geometry>'
    text = f"""<robot name="r">
      <link name="a">
        <visual>{sphere}<material name="late"/></visual>
        <visual>{sphere}<material name="inline"><color rgba="0 1 0 0.5"/></material></visual>
        <visual>{sphere}<material name="inline"/></visual>
        <visual>{sphere}<material name=""><color rgba="0 0 1 1"/><texture filename=""/></material></visual>
        <visual>{sphere}<material name="wood"/></visual>
        <visual>{sphere}<material name="inline"><color rgba="1 1 1 1"/></material></visual>
        <visual>{sphere}</visual>
        <visual><geometry><capsule radius="0.1" length="0.4"/></geometry></visual>
      </link>
      <material name="late"><color rgba="1 0 0 1"/></material>
      <material name="wood"><texture filename="package://p/wood.png"/></material>
    </robot>"""
    visuals = parse_urdf(text).visuals
    assert [visual.material for visual in visuals] == [
        Material((1, 0, 0, 1), None),
        Material((0, 1, 0, 0.5), None),
        Material((0, 1, 0, 0.5), None),
        Material((0, 0, 1, 1), None),
        Material(None, "package://p/wood.png"),
        Material((0, 1, 0, 0.5), None),
        None,
        None,
    ]
    assert visuals[7].shape == Capsule(0.1, 0.4)
