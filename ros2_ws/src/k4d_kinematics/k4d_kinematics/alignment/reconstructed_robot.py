"""A URDF whose visuals are pieces of a reconstruction; everything else stays as in the robot's own URDF."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import trimesh
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.alignment.reconstruction import Reconstruction
from k4d_kinematics.alignment.segmentation import Segmentation
from k4d_kinematics.alignment.similarity import Similarity
from k4d_kinematics.errors import RobotModelError
from k4d_kinematics.resources import resolve
from k4d_kinematics.robot import Robot
from k4d_kinematics.xml_elements import parse_xml

URDF_NAME = "robot.urdf"
MESH_FOLDER = "meshes"

_logger = logging.getLogger(__name__)


def write_reconstructed_robot(
    folder: Path,
    robot: Robot,
    reconstruction: Reconstruction,
    similarity: Similarity,
    segmentation: Segmentation,
    T_base_link: se3.Array,
    *,
    absolute: bool = False,
) -> Path:
    """The path of the URDF written to ``folder``, one GLB per link with faces in its ``meshes`` folder beside it.

    ``T_base_link`` (L, 4, 4) is the posture of the reconstruction. Links without faces have no visual. Joints, limits,
    inertials, collisions and all other elements are kept; collision meshes that could not be found from the new place
    are named by their ``file://`` URI. The visuals' own URIs are relative to the URDF, which keeps the folder movable,
    or with ``absolute`` ``file://`` URIs, which RViz and ``robot_description`` need.
    """
    meshes = folder.resolve() / MESH_FOLDER
    meshes.mkdir(parents=True, exist_ok=True)
    vertices_base = similarity.to_base(reconstruction.vertices_recon)
    uris: dict[str, str] = {}
    for link in np.unique(segmentation.face_link[segmentation.face_link >= 0]):
        name = robot.link_names[link]
        own = segmentation.face_link == link
        path = meshes / _file_name(int(link), name)
        vertices_link = se3.transform_points(se3.inverse(T_base_link[link]), vertices_base)
        path.write_bytes(_to_glb(vertices_link, reconstruction.triangles[own], reconstruction.corner_rgb[own]))
        uris[name] = path.as_uri() if absolute else f"{MESH_FOLDER}/{path.name}"
    urdf = folder.resolve() / URDF_NAME
    urdf.write_text(_replace_visuals(robot, uris, folder.resolve()))
    return urdf


def _file_name(link: int, name: str) -> str:
    """A name that stays inside its folder whatever a link is called."""
    return f"{link:02d}_{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:80]}.glb"


def _to_glb(vertices: se3.Array, triangles: NDArray[np.int32], corner_rgb: NDArray[np.uint8]) -> bytes:
    """Triangles and the colours of their corners as GLB; corners of one vertex and one colour are one."""
    corners = np.concatenate([triangles.reshape(-1, 1), corner_rgb.reshape(-1, 3)], axis=1)
    unique, faces = np.unique(corners, axis=0, return_inverse=True)
    mesh = trimesh.Trimesh(
        vertices[unique[:, 0]], faces.reshape(-1, 3), vertex_colors=unique[:, 1:].astype(np.uint8), process=False
    )
    scene: Any = trimesh.Scene(mesh)  # its export is not typed
    return bytes(scene.export(file_type="glb"))


def _replace_visuals(robot: Robot, uris: dict[str, str], folder: Path) -> str:
    root = parse_xml(robot.urdf)
    for link in root.findall("link"):
        for visual in link.findall("visual"):
            link.remove(visual)
        uri = uris.get(link.get("name", ""))
        if uri is not None:
            geometry = ElementTree.SubElement(ElementTree.SubElement(link, "visual"), "geometry")
            ElementTree.SubElement(geometry, "mesh", filename=uri)
    for mesh in _collision_meshes(root):
        mesh.set("filename", _findable_uri(mesh.get("filename", ""), robot, folder))
    ElementTree.indent(root)
    return f'<?xml version="1.0"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _collision_meshes(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    yield from root.iterfind("link/collision/geometry/mesh")


def _findable_uri(uri: str, robot: Robot, folder: Path) -> str:
    """The URI where it names the same file from ``folder`` without package paths, else that file's own URI."""
    try:
        file = resolve(uri.strip(), robot.base_folder, robot.package_paths)
    except RobotModelError as error:
        _logger.warning("collision mesh kept although no file is found for it: %s", error)
        return uri
    try:
        same = resolve(uri.strip(), folder) == file
    except RobotModelError:
        same = False
    return uri if same else file.resolve().as_uri()
