"""k4d-calibrate --live against a robot that publishes over real DDS while it goes from one posture to the next."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from cv_bridge import CvBridge
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header

from k4d_kinematics import Camera, ConfiguredRobot, Renderer, configured_robot, se3
from k4d_kinematics.ros.conversions import camera_message, time_message
from k4d_world_model.cli.calibrate import main

ROOT = Path(__file__).resolve().parents[3]
HEIGHT, WIDTH, SECOND, FRAME = 90, 126, 10**9, "front_camera_optical_frame"
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 128.0, 129.0, 62.0, 45.0, frame_id=FRAME)
T_BASE_CAM = se3.inverse(se3.look_at((1.1, 0.6, 0.7), (0.25, 0.0, 0.4)))
POSTURES, STEPS_STILL, STEPS_MOVING, PERIOD = 6, 30, 5, 0.02


class LiveRobot:
    """Holds still in one posture, moves to the next, and so on; pictures every fourth joint state."""

    def __init__(self, robot: ConfiguredRobot) -> None:
        rng, renderer = np.random.default_rng(5), Renderer(robot.surface, CAMERA)
        positions, depths = [], []
        while len(positions) < POSTURES:
            candidate = robot.home.copy()
            candidate[:7] += rng.uniform(-0.6, 0.6, 7)
            image = renderer.render(se3.inverse(T_BASE_CAM) @ robot.robot.forward_kinematics(candidate))
            if image.mask.mean() > 0.05:
                positions.append(candidate)
                depths.append(np.where(image.mask, image.points_cam[..., 2], np.float32(3.0)))
        self._names, self._positions, self._depths = list(robot.robot.joint_names), positions, depths
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        context = Context()
        context.init()
        node, bridge = Node("live_robot", context=context), CvBridge()
        joints = node.create_publisher(JointState, "/joint_states", 10)
        camera_infos = node.create_publisher(CameraInfo, "/front/camera_info", 5)
        # As drivers do: best effort.
        images = node.create_publisher(
            Image, "/front/image_raw", QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        )
        depths = node.create_publisher(Image, "/front/depth", 5)
        step, cycle = 0, STEPS_STILL + STEPS_MOVING
        while not self._stop.wait(PERIOD):
            place, phase = (step // cycle) % POSTURES, max(0, step % cycle - STEPS_STILL) / STEPS_MOVING
            after = (place + 1) % POSTURES
            positions = (1 - phase) * self._positions[place] + phase * self._positions[after]
            header = Header(stamp=time_message(time.time_ns()), frame_id=FRAME)
            if step % 4 == 0:
                depth = self._depths[place].astype(np.float32)
                camera_infos.publish(camera_message(CAMERA, header.stamp))
                images.publish(bridge.cv2_to_imgmsg(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), "rgb8", header=header))
                depths.publish(bridge.cv2_to_imgmsg(depth, "32FC1", header=header))
            joints.publish(JointState(header=header, name=self._names, position=positions.tolist()))
            step += 1
        context.try_shutdown()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    folder = tmp_path_factory.mktemp("live")
    panda = (ROOT / "config" / "robots" / "panda.yaml").read_text()
    (folder / "panda.yaml").write_text(panda.replace("triangle_fraction: 1.0", "triangle_fraction: 0.1"))
    position, quaternion_xyzw = se3.to_xyzw(T_BASE_CAM @ se3.from_xyz_rpy((0.02, -0.02, 0.02), (0.01, -0.02, 0.02)))
    config = yaml.safe_load((ROOT / "config" / "cameras" / "front.yaml").read_text())
    config |= {"xyz": position.tolist(), "quaternion_xyzw": quaternion_xyzw.tolist()}
    (folder / "front.yaml").write_text(yaml.safe_dump(config))

    def make(out: Path, *more: str) -> list[str]:
        robot, camera, cache = str(folder / "panda.yaml"), str(folder / "front.yaml"), str(folder)
        return ["k4d-calibrate", "--robot", robot, "--camera", camera, "--cache", cache, "--out", str(out), *more]

    return make


@pytest.fixture
def live_robot(command: Callable[..., list[str]]) -> Iterator[LiveRobot]:
    words = command(Path())
    robot = LiveRobot(configured_robot(Path(words[2]), Path(words[6])))
    yield robot
    robot.close()


def test_a_moving_robot_is_calibrated_live_as_from_the_recording_that_this_leaves(
    command: Callable[..., list[str]], live_robot: LiveRobot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.argv", command(tmp_path / "out", "--live", "--poses", str(POSTURES), "--enough-mm", "0.1"))
    assert main() == 0
    said = capsys.readouterr().out
    for count in range(POSTURES):
        assert f"pose {count} taken; the camera's position will be known to" in said
    assert "not yet: too like a used one, 0.000 m from pose" in said
    assert "not yet: moving, " in said
    found = yaml.safe_load((tmp_path / "out" / "front.yaml").read_text())
    assert np.linalg.norm(np.array(found["xyz"]) - T_BASE_CAM[:3, 3]) < 0.01
    live_robot.close()
    # The recording holds just these poses, and gives the same to the last digit.
    monkeypatch.setattr("sys.argv", command(tmp_path / "again", "--bag", str(tmp_path / "out" / "poses")))
    assert main() == 0
    assert yaml.safe_load((tmp_path / "again" / "front.yaml").read_text()) == found
    monkeypatch.setattr("sys.argv", command(tmp_path / "out", "--live"))
    assert main() == 1
    assert "poses exists already: give another --out, or --bag" in capsys.readouterr().err


def test_what_is_not_heard_is_named(
    command: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.argv", command(tmp_path / "out", "--live", "--most-seconds", "0.3"))
    assert main() == 1
    assert "in 0.3 s nothing has come on /joint_states, /front/camera_info, /front/image_raw" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", command(tmp_path / "out", "--live", "--masks", "masks"))
    assert main() == 1
    assert "pictures to come have no mask files" in capsys.readouterr().err
