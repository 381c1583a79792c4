"""A reduced Panda, cameras around it, and masks as bad as those of a segmenter."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from k4d_kinematics import Camera, ConfiguredRobot, Renderer, configured_robot, se3
from k4d_kinematics.calibration import Calibration, CalibrationView

PANDA = Path(__file__).resolve().parents[3] / "config" / "robots" / "panda.yaml"
NOISY = (("pinhole", 0), ("lens", 1), ("fisheye", 2), ("pinhole", 3), ("lens", 4))
CAMERAS = {
    "pinhole": Camera.pinhole(180, 240, 250.0, 252.0, 119.5, 89.5, frame_id="camera"),
    "lens": Camera(180, 240, [[250, 0, 118], [0, 249, 92], [0, 0, 1]], (-0.2, 0.05, 0.001, -0.001, 0.0), "plumb_bob"),
    "fisheye": Camera(180, 240, [[245, 0, 121], [0, 246, 88], [0, 0, 1]], (0.02, -0.01, 0.0, 0.0), "equidistant"),
}


@dataclass(frozen=True)
class SetUp:
    """A camera before a robot, its true place, a wrong guess of it, and views with their clean masks."""

    robot: ConfiguredRobot
    camera: Camera
    T_cam_base: np.ndarray
    T_guess_base: np.ndarray
    views: tuple[CalibrationView, ...]

    def errors(self, T_found_base: np.ndarray) -> tuple[float, float]:
        """Distance (m) and angle (rad) between a found place of the camera and the true one."""
        T = self.T_cam_base @ se3.inverse(T_found_base)
        return float(np.linalg.norm(T[:3, 3])), float(se3.rotation_angle(T))

    def errors_over_deviations(self, found: Calibration) -> np.ndarray:
        """Errors (6,) of position and turn along the base's axes, in their stated standard deviations."""
        T_base_found, T_base_cam = se3.inverse(found.T_cam_parent), se3.inverse(self.T_cam_base)
        turn = Rotation.from_matrix(T_base_found[:3, :3] @ T_base_cam[:3, :3].T).as_rotvec()
        errors = np.concatenate([T_base_found[:3, 3] - T_base_cam[:3, 3], turn])
        return np.asarray(errors / np.sqrt(np.diag(found.covariance)))


def reduced_panda(folder: Path) -> ConfiguredRobot:
    """A Panda with a fifth of its triangles, prepared in ``folder``."""
    path = folder / "panda.yaml"
    path.write_text(PANDA.read_text().replace("triangle_fraction: 1.0", "triangle_fraction: 0.2"))
    return configured_robot(path, folder)


def make_set_up(panda: ConfiguredRobot, seed: int, kind: str, poses: int, spread: float) -> SetUp:
    """A camera of CAMERAS somewhere before the robot, and the robot in different postures."""
    rng, camera = np.random.default_rng(seed), CAMERAS[kind]
    azimuth, distance = rng.uniform(-1.2, 1.2), rng.uniform(1.2, 1.5)
    eye = (0.2 + distance * np.cos(azimuth), distance * np.sin(azimuth), rng.uniform(0.5, 1.0))
    T_cam_base = se3.look_at(eye, (0.25, 0.0, 0.4))
    renderer, views = Renderer(panda.surface, camera), []
    while len(views) < poses:
        positions = panda.home.copy()
        positions[:7] += rng.uniform(-spread, spread, 7)
        T_base_link = panda.robot.forward_kinematics(positions)
        mask = renderer.render(T_cam_base @ T_base_link).mask
        if mask.mean() > 0.03:
            views.append(CalibrationView(mask, T_base_link, f"pose {len(views)}"))
    offset, turn = rng.normal(size=(2, 3))
    offset *= rng.uniform(0.04, 0.08) / np.linalg.norm(offset)
    turn *= np.radians(rng.uniform(2.0, 3.0)) / np.linalg.norm(turn)
    T_wrong = se3.from_rotation_translation(Rotation.from_rotvec(turn).as_matrix(), offset)
    return SetUp(panda, camera, T_cam_base, T_wrong @ T_cam_base, tuple(views))


def spoil(views: tuple[CalibrationView, ...], seed: int) -> tuple[CalibrationView, ...]:
    """The views with a jagged outline, spots missing and added, and something before the robot."""
    rng = np.random.default_rng(seed)
    return tuple(replace(view, mask=_spoil(view.mask, rng)) for view in views)


def grow(views: tuple[CalibrationView, ...], pixels: int) -> tuple[CalibrationView, ...]:
    """The views with masks that reach so many pixels too far all around; too short for negative ones."""
    return tuple(replace(view, mask=_grow(view.mask, pixels)) for view in views)


@pytest.fixture(scope="session")
def panda(tmp_path_factory: pytest.TempPathFactory) -> ConfiguredRobot:
    return reduced_panda(tmp_path_factory.mktemp("robot"))


@pytest.fixture(scope="session")
def set_up(panda: ConfiguredRobot) -> Callable[..., SetUp]:
    """``set_up(seed, kind, poses=..., spread=...)``: see ``make_set_up``."""

    def make(seed: int, kind: str = "pinhole", *, poses: int = 7, spread: float = 0.6) -> SetUp:
        return make_set_up(panda, seed, kind, poses, spread)

    return make


@pytest.fixture(scope="session")
def spoiled() -> Callable[..., tuple[CalibrationView, ...]]:
    """``spoiled(views, seed)``: see ``spoil``."""
    return spoil


@pytest.fixture(scope="session")
def grown() -> Callable[..., tuple[CalibrationView, ...]]:
    """``grown(views, pixels)``: see ``grow``."""
    return grow


def _grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    if pixels < 0:
        return ~_grow(~mask, -pixels)
    return np.asarray(ndimage.distance_transform_edt(~mask) <= pixels)


def _spoil(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    distance = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    jitter = ndimage.gaussian_filter(rng.normal(size=mask.shape), 2.0)
    spoiled = distance + 0.6 * jitter / jitter.std() < 0
    v, u = np.indices(mask.shape)
    inside = np.argwhere(mask)
    for at_v, at_u in inside[rng.integers(len(inside), size=4)]:
        spoiled &= np.hypot(v - at_v, u - at_u) >= rng.uniform(2, 6)
    for at in rng.uniform(0, mask.shape, (4, 2)):
        spoiled |= np.hypot(v - at[0], u - at[1]) < rng.uniform(2, 6)
    (at_v, at_u), (height, width) = inside[rng.integers(len(inside))], rng.uniform(10, 22, 2)
    return np.asarray(spoiled & ~((np.abs(v - at_v) < height) & (np.abs(u - at_u) < width)))
