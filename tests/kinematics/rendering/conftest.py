"""Robots, cameras and an independent ray-caster: Embree finds the triangle, float64 the point on it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import open3d as o3d
import pytest

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.meshes import LinkMesh, load_link_meshes
from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_surface import RobotSurface, build_surface

URDFS = {
    "panda": "package://example-robot-data/robots/panda_description/urdf/panda.urdf",
    "ur5": "package://example-robot-data/robots/ur_description/urdf/ur5_robot.urdf",
}
POSTURES = {"panda": [0.1, -0.5, 0.0, -2.0, 0.2, 1.6, 0.8, 0.03], "ur5": [0.2, -1.2, 1.4, -1.6, -1.5, 0.3]}
CLOSE_LINKS = {"panda": "panda_link4", "ur5": "forearm_link"}


@dataclass(frozen=True)
class RayCast:
    """What the ray-caster saw: points (H, W, 3) NaN outside, link ids (H, W) -1 outside."""

    points: np.ndarray
    link_ids: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        return self.link_ids >= 0


@dataclass(frozen=True)
class Scene:
    """A posed robot: its surface, its meshes as loaded, and where its links are."""

    robot: Robot
    meshes: tuple[LinkMesh, ...]
    surface: RobotSurface
    T_base_link: np.ndarray
    close_link: str

    def cast(self, T_cam_base: np.ndarray, rays: np.ndarray, near: float) -> RayCast:
        """What rays (H, W, 2) as x/z, y/z see from depth ``near`` on."""
        T_cam_link = T_cam_base @ self.T_base_link
        placed, links = [], []
        for mesh in self.meshes:
            link = self.robot.link_index(mesh.link_name)
            placed.append(se3.transform_points(T_cam_link[link], mesh.vertices)[mesh.triangles])
            links.append(np.full(len(mesh.triangles), link))
        return cast_rays(np.concatenate(placed), np.concatenate(links), rays, near)

    def camera_near_link(self, distance: float) -> np.ndarray:
        """``T_cam_base`` of a camera that looks at the close link's surface from ``distance`` along its axis."""
        middle = self.T_base_link[self.robot.link_index(self.close_link)][:3, 3]
        outside = middle + np.array([0.6, 0.6, 0.3])
        T = se3.look_at(outside, middle)
        depth = self.cast(T, np.zeros((1, 1, 2)), 0.0).points[0, 0, 2]
        direction = (middle - outside) / np.linalg.norm(middle - outside)
        return se3.look_at(outside + (depth - distance) * direction, middle)


def cast_rays(corners: np.ndarray, links: np.ndarray, rays: np.ndarray, near: float) -> RayCast:
    """First hits of rays through triangles with corners (n, 3, 3) in the camera frame, of links (n,)."""
    scene = o3d.t.geometry.RaycastingScene()
    vertices = corners.reshape(-1, 3).astype(np.float32)
    faces = np.arange(len(vertices), dtype=np.uint32).reshape(-1, 3)
    scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(faces))
    d = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1)  # (H, W, 3)
    known = np.isfinite(d).all(axis=-1)
    safe = np.where(known[..., None], d, [0.0, 0.0, -1.0])
    answer = scene.cast_rays(o3d.core.Tensor(np.concatenate([near * safe, safe], axis=-1).astype(np.float32)))
    hit = np.isfinite(answer["t_hit"].numpy()) & known
    triangle = np.where(hit, answer["primitive_ids"].numpy().astype(np.int64), 0)
    p = corners[triangle]
    n = np.cross(p[..., 1, :] - p[..., 0, :], p[..., 2, :] - p[..., 0, :])
    with np.errstate(all="ignore"):
        z = (n * p[..., 0, :]).sum(axis=-1) / (n * d).sum(axis=-1)
    embree = answer["t_hit"].numpy() + near
    z = np.where(np.abs(z - embree) < 1e-3, z, embree)  # on triangles seen edge-on only Embree's own depth makes sense
    return RayCast(np.where(hit[..., None], d * z[..., None], np.nan), np.where(hit, links[triangle], -1))


def load_scene(name: str) -> Scene:
    robot = Robot.from_file(URDFS[name])
    meshes = load_link_meshes(robot)
    T_base_link = robot.forward_kinematics(POSTURES[name])
    return Scene(robot, meshes, build_surface(robot.link_names, meshes), T_base_link, CLOSE_LINKS[name])


@pytest.fixture(scope="session")
def panda() -> Scene:
    return load_scene("panda")


@pytest.fixture(scope="session")
def ur5() -> Scene:
    return load_scene("ur5")


@pytest.fixture(scope="session", params=["panda", "ur5"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def camera() -> Camera:
    return Camera.pinhole(240, 352, 310.0, 300.0, 175.3, 119.6, frame_id="camera")


@pytest.fixture(scope="session")
def raycaster() -> Callable[..., RayCast]:
    return cast_rays


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def to_link_mesh(name: str, vertices: np.ndarray, triangles: np.ndarray, rgb: tuple[int, int, int]) -> LinkMesh:
    colors = np.tile(np.array(rgb, np.uint8), (len(triangles), 3, 1))
    return LinkMesh(
        name, np.asarray(vertices, np.float64), np.asarray(triangles, np.int32), colors, None, None, f"test {name}"
    )


@pytest.fixture(scope="session")
def make_mesh() -> Callable[..., LinkMesh]:
    """``make_mesh(name, vertices, triangles, rgb=...)``: a plainly coloured LinkMesh."""
    return lambda name, vertices, triangles, rgb=(200, 100, 50): to_link_mesh(name, vertices, triangles, rgb)
