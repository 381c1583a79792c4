"""The overlay node over real DDS: a bright block in the pictures, and pointmaps that put it there or beside."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from k4d_kinematics.calibration.edge_figure import EdgeFigure
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.ros.camera_output import summary_qos
from k4d_kinematics.ros.conversions import camera_message, nanoseconds, time_message
from k4d_kinematics.ros.overlay_camera import judged
from k4d_kinematics.ros.overlay_config import OverlayNodeConfig
from k4d_kinematics.ros.overlay_node import OverlayNode

HEIGHT, WIDTH, PATIENCE, SECOND = 70, 110, 60.0, 10**9
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 100.0, 100.0, 54.5, 34.5, frame_id="front_optical")
DEPTH = 2.0


class Graph:
    """The node, and a driver that plays camera and pointmap node."""

    def __init__(self) -> None:
        overrides = [Parameter("cameras", value=["front"]), Parameter("period", value=0.05)]
        self.node, self.driver = OverlayNode(parameter_overrides=overrides), Node("driver")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.driver)
        self.overlays: list[Image] = []
        self.judgements: list[DiagnosticStatus] = []
        self.driver.create_subscription(Image, "front/overlay", self.overlays.append, 10)
        self.driver.create_subscription(
            DiagnosticStatus, "front/robot/calibration", self.judgements.append, summary_qos()
        )
        make = self.driver.create_publisher
        self.publishers = {
            "image": make(Image, "front/image_raw", 10),
            "pointmap": make(Image, "front/robot/pointmap", 10),
            "camera_info": make(CameraInfo, "front/robot/camera_info", 10),
        }
        self.until(lambda: all(each.get_subscription_count() for each in self.publishers.values()), "the node")
        self.until(lambda: self.driver.count_publishers("front/overlay"), "its overlay")
        self.stamp_ns = 1_700_000_000 * SECOND

    def until(self, condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def show(self, rgb: np.ndarray, points_cam: np.ndarray) -> None:
        self.stamp_ns += SECOND
        header, bridge = Header(stamp=time_message(self.stamp_ns), frame_id="front_optical"), CvBridge()
        self.publishers["image"].publish(bridge.cv2_to_imgmsg(rgb, "rgb8", header=header))
        self.publishers["pointmap"].publish(bridge.cv2_to_imgmsg(points_cam, "32FC3", header=header))
        self.publishers["camera_info"].publish(camera_message(CAMERA, header.stamp))

    def judge(self, rgb: np.ndarray, points_cam: np.ndarray) -> tuple[DiagnosticStatus, dict[str, str]]:
        """The judgement of one picture, shown until its turn has come."""
        self.show(rgb, points_cam)
        first_ns = self.stamp_ns

        def is_judged() -> bool:
            if self.judgements and int(values(self.judgements[-1])["stamp_ns"]) >= first_ns:
                return True
            self.show(rgb, points_cam)
            for _ in range(20):
                self.executor.spin_once(timeout_sec=0.005)
            return False

        self.until(is_judged, "a judgement")
        return self.judgements[-1], values(self.judgements[-1])


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def block(shift: int) -> np.ndarray:
    """Points (H, W, 3) of a block that lies ``shift`` pixels to the right of where the picture shows it."""
    points = np.full((HEIGHT, WIDTH, 3), np.nan, np.float32)
    z = np.full((HEIGHT, WIDTH, 1), DEPTH, np.float32)
    whole = np.concatenate([CAMERA.rays().astype(np.float32) * z, z], axis=-1)
    points[20:50, 40 + shift : 70 + shift] = whole[20:50, 40 + shift : 70 + shift]
    return points


@pytest.fixture
def graph() -> Iterator[Graph]:
    rclpy.init()
    made = Graph()
    yield made
    made.executor.shutdown()
    rclpy.try_shutdown()


@pytest.fixture
def picture() -> np.ndarray:
    rgb = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    rgb[20:50, 40:70] = 200
    return rgb


def test_a_camera_in_its_place_is_ok_and_one_beside_it_is_not(graph: Graph, picture: np.ndarray) -> None:
    status, said = graph.judge(picture, block(0))
    assert status.level == DiagnosticStatus.OK, status.message
    assert status.hardware_id == "front_optical"
    assert float(said["distance_px"]) <= 1.0
    assert float(said["confidence"]) > 0.5
    # Left and right outlines are off, upper and lower ones are not: the median says so once it is more than half.
    wide = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    wide[10:62, 30:60] = 200
    tall = np.full((HEIGHT, WIDTH, 3), np.nan, np.float32)
    z = np.full((HEIGHT, WIDTH, 1), DEPTH, np.float32)
    points = np.concatenate([CAMERA.rays().astype(np.float32) * z, z], axis=-1)
    tall[10:62, 39:69] = points[10:62, 39:69]
    status, said = graph.judge(wide, tall)
    assert status.level == DiagnosticStatus.ERROR, status.message
    assert 8.0 <= float(said["distance_px"]) <= 10.0
    # 9 px at 2 m with a focal length of 100 px.
    assert 160.0 <= float(said["distance_mm"]) <= 200.0


def test_the_overlay_keeps_stamp_and_frame_and_covers_the_robot_only(graph: Graph, picture: np.ndarray) -> None:
    graph.until(lambda: graph.node.cameras[0]._overlays.get_subscription_count(), "us to be seen")
    graph.show(picture, block(0))
    graph.until(lambda: graph.overlays, "an overlay")
    drawn = graph.overlays[-1]
    assert (nanoseconds(drawn.header.stamp), drawn.header.frame_id) == (graph.stamp_ns, "front_optical")
    rgb = CvBridge().imgmsg_to_cv2(drawn, "rgb8")
    inside = np.isfinite(block(0)[..., 2])
    np.testing.assert_array_equal(rgb[~inside], picture[~inside])
    assert (rgb[25:45, 45:65] != picture[25:45, 45:65]).any(axis=-1).all()


def test_without_edges_nothing_is_claimed(graph: Graph, picture: np.ndarray) -> None:
    status, _ = graph.judge(np.full_like(picture, 90), block(0))
    assert status.level == DiagnosticStatus.STALE
    assert "too little" in status.message


def test_pictures_of_another_size_are_named_and_survived(graph: Graph, picture: np.ndarray) -> None:
    def message() -> str:
        return graph.node.diagnostics._conditions["front: calibration"].message

    graph.show(picture[:-1], block(0))
    graph.until(lambda: "alike" in message() or "one shape" in message(), "the diagnostics")
    assert graph.judge(picture, block(0))[0].level == DiagnosticStatus.OK


def test_broken_pictures_are_named_and_survived(
    graph: Graph, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = graph.node.cameras[0]

    def message() -> str:
        return graph.node.diagnostics._conditions["front: calibration"].message

    def short(*_: object) -> np.ndarray:
        raise TypeError("buffer is too small")  # the real cv_bridge's words for it, without its own error

    graph.until(camera._overlays.get_subscription_count, "us to be seen")
    graph.show(picture[:1], block(0)[:1])
    graph.until(lambda: "too small" in message(), "what numpy says of one row")
    with monkeypatch.context() as broken:
        broken.setattr(camera._bridge, "imgmsg_to_cv2", short)
        graph.show(picture, block(0))
        graph.until(lambda: message() == "buffer is too small", "what cv_bridge says")
    assert graph.judge(picture, block(0))[0].level == DiagnosticStatus.OK


@pytest.mark.parametrize(
    ("distance", "confidence", "level"),
    [
        (3.9, 0.9, DiagnosticStatus.OK),
        (4.0, 0.9, DiagnosticStatus.WARN),
        (7.0, 0.9, DiagnosticStatus.ERROR),
        (0.5, 0.49, DiagnosticStatus.STALE),
        (float("nan"), 0.9, DiagnosticStatus.STALE),
    ],
)
def test_levels(distance: float, confidence: float, level: bytes) -> None:
    figure = EdgeFigure(distance, 0.0, distance / 100, confidence, 100)
    assert judged(figure, OverlayNodeConfig())[0] == level


@pytest.mark.parametrize("given", [{"error_px": 11.0}, {"warn_px": 8.0}, {"cameras": ("a", "a")}])
def test_thresholds_that_an_error_cannot_reach_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        OverlayNodeConfig(**given)
