"""URDF text to a checked description: each element by itself, not yet how links and joints connect.

Reads the URDF 1.2 elements that concern kinematics and appearance; inertial, gazebo, transmission, ros2_control and
other elements are not ours and pass by. Format: http://wiki.ros.org/urdf/XML

Read from the XML itself: urdf_parser_py knows no capsule, refuses whole robots over a transmission, and turns a missing
parent link into a link named "None". It is the oracle of the tests instead.
"""

import logging
import math
from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element
from xml.parsers.expat import ExpatError

import numpy as np

from k4d_kinematics import se3
from k4d_kinematics.description import (
    Box,
    Capsule,
    Cylinder,
    Description,
    Joint,
    LinkGeometry,
    Material,
    MeshFile,
    Mimic,
    Shape,
    Sphere,
)
from k4d_kinematics.errors import RobotModelError, TransformError
from k4d_kinematics.xml_elements import (
    fail,
    optional_child,
    parse_xml,
    read_limit,
    read_numbers,
    read_positive,
    read_text,
    required_child,
)

JOINT_TYPES = ("revolute", "continuous", "prismatic", "fixed", "floating", "planar")
SHAPES = ("box", "cylinder", "sphere", "capsule", "mesh")

# What xacro raises beside its own errors, for elements without attributes, endless macros, missing packages.
_XACRO_ERRORS = (ExpatError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError)

_logger = logging.getLogger(__name__)


def parse_urdf(text: str) -> Description:
    """The description that a URDF text states.

    Raises RobotModelError naming the element, the attribute, its value and the valid ones.
    """
    root = parse_xml(text)
    if root.tag != "robot":
        raise RobotModelError(f"a URDF's root element must be <robot>, got <{root.tag}>")
    if any("xacro" in element.tag.rpartition("}")[0] for element in root.iter()):
        raise RobotModelError("this description holds xacro elements; expand it first or read it from a .xacro file")
    materials = _named_materials(root)
    links = root.findall("link")
    names = [read_text(link, "name", "a link") for link in links]
    joints = tuple(_read_joint(element) for element in root.findall("joint"))
    _check_unique(names, "link")
    _check_unique([joint.name for joint in joints], "joint")
    visuals, collisions = (
        tuple(
            _read_geometry(element, name, materials)
            for name, link in zip(names, links, strict=True)
            for element in link.findall(kind)
        )
        for kind in ("visual", "collision")
    )
    return Description(read_text(root, "name", "the description"), tuple(names), joints, visuals, collisions)


def read_description(path: Path) -> str:
    """The URDF text of a file, expanded where its name ends in ``.xacro``.

    Raises RobotModelError where the file cannot be read, holds a document type or does not expand.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RobotModelError(f"cannot read the robot description {path} as UTF-8 text: {error}") from error
    if path.suffix != ".xacro":
        return text
    parse_xml(text)
    import xacro

    try:
        return str(xacro.process_file(str(path)).toxml())
    except (xacro.XacroException, *_XACRO_ERRORS) as error:
        raise RobotModelError(f"xacro cannot expand {path}: {type(error).__name__}: {error}") from error


def _check_unique(names: list[str], kind: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise RobotModelError(f"{kind} names must be unique, repeated: {', '.join(repeated)}")


def _read_origin(element: Element, where: str) -> se3.Array:
    origin = optional_child(element, "origin", where)
    if origin is None:
        return np.eye(4)
    xyz = read_numbers(origin, "xyz", where, (0.0, 0.0, 0.0), 3)
    if "quat_xyzw" not in origin.attrib:
        return se3.from_xyz_rpy(xyz, read_numbers(origin, "rpy", where, (0.0, 0.0, 0.0), 3))
    if "rpy" in origin.attrib:
        raise RobotModelError(f"{where}: <origin> takes rpy or quat_xyzw, got both")
    try:
        return se3.from_xyzw(xyz, read_numbers(origin, "quat_xyzw", where, None, 4))
    except TransformError as error:
        raise RobotModelError(f"{where}: <origin>: {error}") from error


def _read_limits(element: Element, joint_type: str, where: str) -> tuple[float, float, float]:
    """Lower, upper and velocity limit; URDF lets lower and upper default to 0 inside a <limit>."""
    bounded = joint_type in ("revolute", "prismatic")
    limit = required_child(element, "limit", where) if bounded else optional_child(element, "limit", where)
    if limit is None or joint_type in ("fixed", "floating", "planar"):
        return -math.inf, math.inf, math.inf
    velocity = read_limit(limit, "velocity", where, math.inf)
    if velocity < 0:
        fail(limit, "velocity", where, '"a number >= 0"')
    if not bounded:
        return -math.inf, math.inf, velocity
    lower, upper = (read_limit(limit, name, where, 0.0) for name in ("lower", "upper"))
    if lower > upper:
        fail(limit, "lower", where, f'"a number <= upper, {upper}"')
    return lower, upper, velocity


def _read_axis(element: Element, joint_type: str, where: str) -> se3.Array:
    """The unit axis (3,); URDF's default is x, and exporters write a zero axis where a joint has no use for one."""
    axis = optional_child(element, "axis", where)
    if axis is None or joint_type in ("fixed", "floating"):
        return np.array([1.0, 0.0, 0.0])
    vector = np.array(read_numbers(axis, "xyz", where, None, 3))
    largest = np.abs(vector).max()
    if largest == 0:
        fail(axis, "xyz", where, '"a vector that is not zero"')
    # Division by the largest entry first keeps the norm of tiny and huge vectors finite.
    scaled = vector / largest
    return np.asarray(scaled / np.linalg.norm(scaled))


def _read_mimic(element: Element, where: str) -> Mimic | None:
    mimic = optional_child(element, "mimic", where)
    if mimic is None:
        return None
    (multiplier,), (offset,) = (
        read_numbers(mimic, "multiplier", where, (1.0,)),
        read_numbers(mimic, "offset", where, (0.0,)),
    )
    return Mimic(read_text(mimic, "joint", where), multiplier, offset)


def _read_joint(element: Element) -> Joint:
    name = read_text(element, "name", "a joint")
    where = f"joint {name!r}"
    joint_type = element.get("type", "")
    if joint_type not in JOINT_TYPES:
        fail(element, "type", where, f'"one of {", ".join(JOINT_TYPES)}"')
    lower, upper, velocity_limit = _read_limits(element, joint_type, where)
    return Joint(
        name=name,
        joint_type=joint_type,
        parent=read_text(required_child(element, "parent", where), "link", where),
        child=read_text(required_child(element, "child", where), "link", where),
        T_parent_joint=_read_origin(element, where),
        axis=_read_axis(element, joint_type, where),
        lower=lower,
        upper=upper,
        velocity_limit=velocity_limit,
        mimic=None if joint_type == "fixed" else _read_mimic(element, where),
    )


def _read_shape(geometry: Element, where: str) -> Shape:
    children = list(geometry)
    if len(children) != 1 or children[0].tag not in SHAPES:
        got = ", ".join(f"<{child.tag}>" for child in children) or "nothing"
        raise RobotModelError(f"{where}: <geometry> must hold one of {', '.join(SHAPES)}, got {got}")
    shape = children[0]
    if shape.tag == "box":
        x, y, z = read_positive(shape, "size", where, 3)
        return Box((x, y, z))
    if shape.tag == "mesh":
        sx, sy, sz = read_numbers(shape, "scale", where, (1.0, 1.0, 1.0), 3)
        if 0 in (sx, sy, sz):
            fail(shape, "scale", where, '"three numbers that are not zero"')
        return MeshFile(read_text(shape, "filename", where).strip(), (sx, sy, sz))
    (radius,) = read_positive(shape, "radius", where)
    if shape.tag == "sphere":
        return Sphere(radius)
    (length,) = read_positive(shape, "length", where)
    return Cylinder(radius, length) if shape.tag == "cylinder" else Capsule(radius, length)


def _read_geometry(element: Element, link_name: str, materials: dict[str, Material]) -> LinkGeometry:
    where = f"<{element.tag}> of link {link_name!r}"
    shape = _read_shape(required_child(element, "geometry", where), where)
    material = optional_child(element, "material", where)
    return LinkGeometry(link_name, shape, _read_origin(element, where), _read_material(material, where, materials))


def _read_material(element: Element | None, where: str, named: dict[str, Material]) -> Material | None:
    """The material of a shape: the first one of its name wins over its own statement, as in urdfdom."""
    if element is None:
        return None
    name = element.get("name", "")
    material = named.get(name, _stated_material(element, where))
    if material is None:
        _logger.warning("%s: material %r is not defined, so it has no colour", where, name)
    return material


def _stated_material(element: Element, where: str) -> Material | None:
    """The material that an element states by itself; None where it only refers to a name."""
    color, texture = optional_child(element, "color", where), optional_child(element, "texture", where)
    # Exporters write an empty <texture> where they mean none.
    texture_uri = None if texture is None else texture.get("filename", "").strip() or None
    if color is None:
        return None if texture_uri is None else Material(None, texture_uri)
    r, g, b, a = read_numbers(color, "rgba", where, None, 4)
    if min(r, g, b, a) < 0 or max(r, g, b, a) > 1:
        fail(color, "rgba", where, '"four numbers in 0..1"')
    return Material((r, g, b, a), texture_uri)


def _named_materials(root: Element) -> dict[str, Material]:
    """Materials by name: those of <robot>, then those first stated inside a visual."""
    named: dict[str, Material] = {}
    for element in [*root.findall("material"), *root.findall("link/visual/material")]:
        name = element.get("name", "")
        material = _stated_material(element, f"material {name!r}")
        if name and material is not None:
            named.setdefault(name, material)
    return named
