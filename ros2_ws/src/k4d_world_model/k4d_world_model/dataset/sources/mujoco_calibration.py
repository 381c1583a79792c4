"""A standing camera and the robot's base from the MuJoCo model (MJCF text) that robosuite recordings carry."""

from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, KinematicsError, se3
from k4d_kinematics.xml_elements import parse_xml, read_numbers
from k4d_world_model.dataset.sources.calibration import Calibration
from k4d_world_model.errors import SourceError

# MuJoCo's cameras look along -z with y up, the optical frame along z with y down.
_T_MUJOCO_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])
_OTHER_ORIENTATIONS = ("axisangle", "euler", "xyaxes", "zaxis")
_OTHER_LENSES = ("focal", "focalpixel", "principal", "principalpixel", "sensorsize", "orthographic", "projection")
_JOINTS = ("joint", "freejoint")


def mujoco_calibration(xml: str, camera: str, base_body: str, height: int, width: int, where: str) -> Calibration:
    """The camera named ``camera`` for pictures of ``height`` x ``width`` and T_world_base of the body ``base_body``.

    MuJoCo's field of view is the picture's height, its pixels are square and the principal point is the centre. Raises
    SourceError beginning with ``where`` when one of the two is missing, moves, or is described in a way not supported.
    """
    try:
        root = parse_xml(xml)
        camera_chain = _chain(root, "camera", camera, where)
        base_chain = _chain(root, "body", base_body, where)
        T_world_cam = _pose(camera_chain, where) @ _T_MUJOCO_OPTICAL
        return Calibration(_lens(camera_chain[-1], height, width, where), T_world_cam, _pose(base_chain, where))
    except KinematicsError as error:
        raise SourceError(f"{where}: {error}") from error


def _chain(root: Element, tag: str, name: str, where: str) -> list[Element]:
    """The elements from the top of the worldbody down to the one of that tag and name."""
    world = [body for body in root if body.tag == "worldbody"]
    stack = [[child] for body in world for child in body]
    names = []
    while stack:
        chain = stack.pop()
        if chain[-1].tag == tag:
            names.append(chain[-1].get("name", ""))
            if names[-1] == name:
                return chain
        stack += [[*chain, child] for child in chain[-1] if child.tag in ("body", "camera")]
    raise SourceError(f"{where}: no {tag} {name!r}; the model has {', '.join(sorted(filter(None, names))) or 'none'}")


def _pose(chain: list[Element], where: str) -> NDArray[np.float64]:
    """The pose (4, 4) in the world of the last element of a chain of which nothing moves."""
    T_world_element = np.eye(4)
    for element in chain:
        label = f"{where}: {element.tag} {element.get('name', '')!r}"
        moving = [child.tag for child in element if child.tag in _JOINTS]
        if moving or element.get("mocap", "false") != "false" or element.get("mode", "fixed") != "fixed":
            raise SourceError(f"{label} moves; only standing cameras and bases are supported")
        other = [name for name in _OTHER_ORIENTATIONS if name in element.attrib]
        if other:
            raise SourceError(f"{label} has its orientation as {other[0]}, only quat is supported")
        xyz = read_numbers(element, "pos", label, (0.0, 0.0, 0.0), 3)
        w, x, y, z = read_numbers(element, "quat", label, (1.0, 0.0, 0.0, 0.0), 4)
        quaternion_xyzw = np.array([x, y, z, w])
        norm = float(np.linalg.norm(quaternion_xyzw))
        if norm < 1e-6:
            raise SourceError(f"{label} has the quaternion {element.get('quat')!r}, which has no direction")
        T_world_element = T_world_element @ se3.from_xyzw(xyz, quaternion_xyzw / norm)
    return T_world_element


def _lens(camera: Element, height: int, width: int, where: str) -> Camera:
    label = f"{where}: camera {camera.get('name')!r}"
    other = [name for name in _OTHER_LENSES if name in camera.attrib]
    if other:
        raise SourceError(f"{label} has {other[0]}, only fovy is supported")
    (fovy_deg,) = read_numbers(camera, "fovy", label, (45.0,), 1)
    if not 0.0 < fovy_deg < 180.0:
        raise SourceError(f"{label} must have a fovy between 0 and 180 degrees, got {fovy_deg}")
    focal = 0.5 * height / np.tan(0.5 * np.deg2rad(fovy_deg))
    return Camera.pinhole(height, width, focal, focal, (width - 1) / 2, (height - 1) / 2)
