"""A reduced Panda before a camera with a lens, and recordings of it in still postures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer

from k4d_kinematics import Camera, ConfiguredRobot, Renderer, RenderSettings, configured_robot, se3
from k4d_world_model.dataset import bag_messages as messages
from k4d_world_model.dataset.bag_writer import write_messages

ROOT = Path(__file__).resolve().parents[3]
HEIGHT, WIDTH, SECOND, FRAME = 120, 168, 10**9, "front_camera_optical_frame"
LENS = Camera(HEIGHT, WIDTH, [[170, 0, 83], [0, 171, 60], [0, 0, 1]], (-0.2, 0.05, 0.001, -0.001, 0.0), "plumb_bob",
              frame_id=FRAME)  # fmt: skip
PINHOLE = Camera.pinhole(HEIGHT, WIDTH, 170.0, 171.0, 83.0, 60.0, frame_id=FRAME)
T_BASE_CAM = se3.inverse(se3.look_at((1.1, 0.6, 0.7), (0.25, 0.0, 0.4)))


@dataclass(frozen=True)
class Still:
    """The robot standing still: positions (J,), and what the camera sees of it."""

    positions: np.ndarray
    rgb: np.ndarray
    depth: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Lab:
    """A robot and its camera in their YAMLs, the camera's pose in its own some centimetres off."""

    robot: ConfiguredRobot
    robot_yaml: Path
    camera_yaml: Path
    cache: Path

    def stills(self, camera: Camera, count: int) -> list[Still]:
        """The robot in ``count`` postures before a wall."""
        rng, renderer = np.random.default_rng(5), Renderer(self.robot.surface, camera, RenderSettings(rgb=True))
        stills: list[Still] = []
        while len(stills) < count:
            positions = self.robot.home.copy()
            positions[:7] += rng.uniform(-0.6, 0.6, 7)
            image = renderer.render(se3.inverse(T_BASE_CAM) @ self.robot.robot.forward_kinematics(positions))
            if image.mask.mean() > 0.05:
                depth = np.where(image.mask, image.points_cam[..., 2], np.float32(3.0))
                rgb = np.where(image.mask[..., None], image.rgb, np.uint8(90))
                stills.append(Still(positions, rgb, depth, image.mask))
        return stills

    def record(self, folder: Path, camera: Camera, stills: list[Still], image_topic: str = "/front/image_raw") -> Path:
        """A bag in which the robot stands still for each of ``stills``, a second apart."""
        names, content = self.robot.robot.joint_names, []
        place = [("panda_link0", FRAME, T_BASE_CAM)]
        content.append(("/tf_static", SECOND, messages.transforms(place, SECOND)))
        for index, still in enumerate(stills):
            stamp = (index + 1) * SECOND
            for offset in (-SECOND // 10, 0, SECOND // 10):
                content.append(
                    ("/joint_states", stamp + offset, messages.joint_state(names, still.positions, stamp + offset))
                )
            content.append(("/front/camera_info", stamp, camera_info(camera, stamp)))
            content.append((image_topic, stamp, messages.image(still.rgb, stamp, FRAME)))
            content.append(("/front/depth", stamp, messages.image(still.depth.astype(np.float32), stamp, FRAME)))
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            write_messages(writer, content, [])
        return folder

    def command(self, out: Path, *more: str) -> list[str]:
        """The command line that calibrates this camera."""
        return [
            "k4d-calibrate", "--robot", str(self.robot_yaml), "--camera", str(self.camera_yaml), "--out", str(out),
            "--cache", str(self.cache), *more,
        ]  # fmt: skip


def camera_info(camera: Camera, stamp: int) -> Any:
    """A CameraInfo with the camera's lens."""
    message = messages.camera_info(camera, stamp, FRAME)
    message.d, message.distortion_model = np.array(camera.D, float), camera.distortion_model
    message.k, message.p = camera.K.reshape(-1), camera.P.reshape(-1)
    return message


def error_m(written: Path) -> float:
    """How far the camera of a written YAML is from its true place, metres."""
    found = yaml.safe_load(written.read_text())
    return float(np.linalg.norm(np.array(found["xyz"]) - T_BASE_CAM[:3, 3]))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    panda = (ROOT / "config" / "robots" / "panda.yaml").read_text()
    (folder / "panda.yaml").write_text(panda.replace("triangle_fraction: 1.0", "triangle_fraction: 0.1"))
    position, quaternion_xyzw = se3.to_xyzw(T_BASE_CAM @ se3.from_xyz_rpy((0.02, -0.02, 0.02), (0.01, -0.02, 0.02)))
    config = yaml.safe_load((ROOT / "config" / "cameras" / "front.yaml").read_text())
    config |= {"xyz": position.tolist(), "quaternion_xyzw": quaternion_xyzw.tolist()}
    (folder / "front.yaml").write_text(yaml.safe_dump(config))
    robot = configured_robot(folder / "panda.yaml", folder)
    return Lab(robot, folder / "panda.yaml", folder / "front.yaml", folder)


@pytest.fixture
def calibrate(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """Runs a command line in this process; returns its exit status."""
    from k4d_world_model.cli.calibrate import main

    def run(command: list[str]) -> int:
        monkeypatch.setattr("sys.argv", command)
        return main()

    return run
