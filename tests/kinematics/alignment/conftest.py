"""Robots and what a camera that walks around them reconstructs: noisy, open, in a frame and a unit of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from k4d_kinematics import Camera, Renderer, RenderSettings, Robot, RobotSurface, prepare_surface, se3
from k4d_kinematics.alignment import Reconstruction

URDFS = {
    "panda": "package://example-robot-data/robots/panda_description/urdf/panda.urdf",
    "ur5": "package://example-robot-data/robots/ur_description/urdf/ur5_robot.urdf",
}
NOISE = 0.004
TABLE, JOINT = -1, -2  # in place of a link's index: faces of the table, and faces over two links


@dataclass(frozen=True)
class Scan:
    """A reconstruction, and what is true about it: vertices in metres of the base frame and the link of each face."""

    reconstruction: Reconstruction
    vertices_base: np.ndarray
    face_link: np.ndarray
    scale: float
    R_recon_base: np.ndarray
    t_recon: np.ndarray

    @property
    def robot_vertices(self) -> np.ndarray:
        return np.unique(self.reconstruction.triangles[self.face_link >= 0])


def scan_robot(
    robot: Robot, surface: RobotSurface, positions: np.ndarray, *, seed: int, scale: float | None = None, views: int = 6
) -> Scan:
    """What ``views`` cameras around the robot see of it, with 4 mm of noise and a piece of the table under it.

    The frame is tilted by 25 degrees about a random axis after a random yaw, and 15 cm off.
    """
    rng = np.random.default_rng(seed)
    pieces = [_table(rng)]
    for k in range(views):
        angle = rng.uniform(0, 0.5) + 2 * np.pi * k / views
        eye = np.array([0.15 + 1.2 * np.cos(angle), 1.2 * np.sin(angle), 0.8 + 0.5 * (k % 2)])
        pieces.append(_seen_from(robot, surface, positions, eye))
    first = np.cumsum([0, *(len(vertices) for vertices, _, _ in pieces)])
    vertices = np.concatenate([vertices for vertices, _, _ in pieces])
    vertices += rng.normal(0.0, NOISE, vertices.shape)
    triangles = np.concatenate([faces + n for (_, faces, _), n in zip(pieces, first, strict=False)]).astype(np.int32)
    axis = rng.normal(size=3)
    tilt = Rotation.from_rotvec(np.deg2rad(25.0) * axis / np.linalg.norm(axis))
    R = (tilt * Rotation.from_rotvec([0.0, 0.0, rng.uniform(0, 2 * np.pi)])).as_matrix()
    s = rng.uniform(0.8, 1.15) if scale is None else scale
    direction = rng.normal(size=3)
    t = 0.15 * s * direction / np.linalg.norm(direction)
    rgb = np.tile(np.array([200, 120, 40], np.uint8), (len(triangles), 3, 1))
    reconstruction = Reconstruction(s * vertices @ R.T + t, triangles, rgb)
    return Scan(reconstruction, vertices, np.concatenate([link for _, _, link in pieces]), s, R, t)


def _seen_from(
    robot: Robot, surface: RobotSurface, positions: np.ndarray, eye: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles between neighbouring pixels without jumps in depth, and the link of each."""
    height, width = 110, 131
    camera = Camera.pinhole(height, width, 120.0, 118.0, 64.6, 54.3)
    T_cam_base = se3.look_at(eye, (0.15, 0.0, 0.4))
    renderer = Renderer(surface, camera, RenderSettings(link_ids=True))
    image = renderer.render(T_cam_base @ robot.forward_kinematics(positions))
    pixel = np.arange(height * width).reshape(height, width)
    upper = np.stack([pixel[:-1, :-1], pixel[1:, :-1], pixel[1:, 1:]], axis=-1).reshape(-1, 3)
    lower = np.stack([pixel[:-1, :-1], pixel[1:, 1:], pixel[:-1, 1:]], axis=-1).reshape(-1, 3)
    faces = np.concatenate([upper, lower])
    depth = image.points_cam[..., 2].reshape(-1)[faces]
    faces = faces[np.ptp(depth, axis=1) < 0.035]  # NaN outside the robot is not
    kept, compact = np.unique(faces, return_inverse=True)
    links = image.link_ids.reshape(-1)[faces]
    link = np.where(np.ptp(links, axis=1) == 0, links[:, 0], JOINT)
    points_cam = image.points_cam.reshape(-1, 3)[kept].astype(np.float64)
    return se3.transform_points(se3.inverse(T_cam_base), points_cam), compact.reshape(-1, 3), link


def _table(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A piece of 0.8 m x 0.6 m under the robot, somewhat off its middle."""
    x, y = np.meshgrid(np.linspace(-0.35, 0.45, 25), np.linspace(-0.3, 0.3, 21))
    vertices = np.stack([x, y, np.full_like(x, -0.002)], axis=-1).reshape(-1, 3)
    vertices[:, :2] += rng.uniform(-0.05, 0.05, 2)
    k = np.arange(25 * 21).reshape(21, 25)
    upper = np.stack([k[:-1, :-1], k[1:, 1:], k[1:, :-1]], axis=-1).reshape(-1, 3)
    lower = np.stack([k[:-1, :-1], k[:-1, 1:], k[1:, 1:]], axis=-1).reshape(-1, 3)
    faces = np.concatenate([upper, lower])
    return vertices, faces, np.full(len(faces), TABLE)


@pytest.fixture(scope="session")
def panda() -> Robot:
    return Robot.from_file(URDFS["panda"])


@pytest.fixture(scope="session")
def ur5() -> Robot:
    return Robot.from_file(URDFS["ur5"])


@pytest.fixture(scope="session")
def panda_surface(panda: Robot) -> RobotSurface:
    return prepare_surface(panda)


@pytest.fixture(scope="session")
def panda_hulls(panda: Robot) -> RobotSurface:
    """The collision shapes: the Panda with few triangles."""
    return prepare_surface(panda, kind="collision")


@pytest.fixture(scope="session")
def scan() -> Callable[..., Scan]:
    """``scan(robot, surface, positions, seed=...)``: a Scan."""
    return scan_robot


@pytest.fixture(scope="session")
def posture() -> Callable[..., np.ndarray]:
    """``posture(robot, seed)``: joint positions well inside the limits."""

    def draw(robot: Robot, seed: int) -> np.ndarray:
        low, high = np.maximum(robot.lower, -np.pi), np.minimum(robot.upper, np.pi)
        return low + (high - low) * np.random.default_rng(seed).uniform(0.15, 0.85, len(low))

    return draw
