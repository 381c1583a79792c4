"""Masses and largest efforts of a robot, from the parts of its URDF that concern dynamics. SI units."""

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Robot, se3
from k4d_kinematics.xml_elements import optional_child, parse_xml, read_limit, read_numbers, required_child

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Inertial:
    """A link's ``mass`` (kg), ``center`` (3,) of mass and ``inertia`` (3, 3) about it, along the link's axes."""

    mass: float
    center: Array
    inertia: Array


@dataclass(frozen=True, eq=False)
class RobotDynamics:
    """Inertials by link name, for links that have a mass, and the largest effort (N or Nm, inf without) by joint."""

    inertials: dict[str, Inertial]
    efforts: dict[str, float]


def read_dynamics(robot: Robot) -> RobotDynamics:
    """The dynamics that ``robot``'s URDF states. Raises RobotModelError on malformed numbers."""
    root = parse_xml(robot.urdf)
    inertials, efforts = {}, {}
    for link in root.findall("link"):
        element = optional_child(link, "inertial", f"link {link.get('name')!r}")
        inertial = None if element is None else _read_inertial(element, f"link {link.get('name')!r}")
        if inertial is not None and inertial.mass > 0.0:
            inertials[link.get("name", "")] = inertial
    for joint in root.findall("joint"):
        where = f"joint {joint.get('name')!r}"
        limit = optional_child(joint, "limit", where)
        efforts[joint.get("name", "")] = math.inf if limit is None else read_limit(limit, "effort", where, math.inf)
    return RobotDynamics(inertials, efforts)


def _read_inertial(element: Element, where: str) -> Inertial:
    (mass,) = read_numbers(required_child(element, "mass", where), "value", where, None)
    tensor = required_child(element, "inertia", where)
    xx, xy, xz, yy, yz, zz = (
        read_numbers(tensor, name, where, (0.0,))[0] for name in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    )
    origin = optional_child(element, "origin", where)
    xyz, rpy = (
        (0.0, 0.0, 0.0) if origin is None else read_numbers(origin, name, where, (0.0, 0.0, 0.0), 3)
        for name in ("xyz", "rpy")
    )
    R = se3.from_xyz_rpy(xyz, rpy)[:3, :3]
    return Inertial(mass, np.array(xyz), R @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ R.T)
