"""The compare node over real DDS: a plan is predicted, a robot follows it, and its pictures differ in a known way."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header, String

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_kinematics.ros.camera_output import summaries_qos, summary_qos
from k4d_kinematics.ros.conversions import camera_message, nanoseconds, time_message
from k4d_world_model.comparison import pictures
from k4d_world_model.rollout import MetricFit, Provenance, Rollout
from k4d_world_model.ros.compare_node import CompareNode
from k4d_world_model.ros.rollout_messages import frame_message, summary_message

FRAMES, HEIGHT, WIDTH, PATIENCE, SECOND = 5, 14, 20, 60.0, 10**9
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 20.0, 21.0, 9.4, 6.6, frame_id="front_optical")
OTHER_CAMERA = Camera.pinhole(HEIGHT, WIDTH, 26.0, 21.0, 9.4, 6.6, frame_id="front_optical")
OBSERVED, BEGAN = 1_700_000_000 * SECOND, 1_700_000_004 * SECOND
TIMES = 0.1 * np.arange(FRAMES)
ARM = """<robot name="arm">
  <link name="base"><visual><geometry><box size="0.2 0.2 0.1"/></geometry></visual></link>
  <link name="tip"><visual><origin xyz="0.2 0 0"/><geometry><box size="0.4 0.1 0.1"/></geometry></visual></link>
  <joint name="turn" type="revolute"><parent link="base"/><child link="tip"/><origin xyz="0 0 0.1"/>
    <axis xyz="0 0 1"/><limit lower="-3" upper="3" velocity="1" effort="1"/></joint>
</robot>"""


def turn(moment: float) -> float:
    """Where the plan has the joint."""
    return float(np.interp(moment, TIMES[[0, -1]], [-0.3, 0.4]))


def make_rollout() -> Rollout:
    z = np.full((FRAMES, HEIGHT, WIDTH, 1), 0.8, np.float32)
    points = np.concatenate([np.broadcast_to(CAMERA.rays().astype(np.float32), (*z.shape[:3], 2)) * z, z], axis=-1)
    points[:, 1, 2] = np.nan
    rgb = np.random.default_rng(4).integers(50, 190, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    return Rollout(
        rgb=rgb, points=points, valid=np.isfinite(points).all(axis=-1), times=TIMES, camera=CAMERA,
        T_cam_base=np.tile(se3.look_at((1.2, 0.0, 0.6), (0.1, 0.0, 0.1)), (FRAMES, 1, 1)),
        fit=MetricFit(np.ones(3), np.zeros(3), 0.003, 50),
        provenance=Provenance("fake", "ab" * 32, "cd" * 32, 3, 20, "none", "cpu", 1.0, 0, ()),
        joints=JointTrajectory(("turn",), TIMES, np.array([[turn(time)] for time in TIMES])),
    )  # fmt: skip


class Graph:
    """The node, and a driver that plays prediction node, camera and robot."""

    def __init__(self, folder: Path) -> None:
        values = {"camera": "front", "report_folder": str(folder), "max_rate_hz": 100.0}
        self.node = CompareNode(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
        self.driver = Node("driver", use_global_arguments=False)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.driver)
        self.heard: dict[str, list[Any]] = {"figures": [], "side_by_side": [], "error_map": []}
        for topic, kind in (("figures", DiagnosticArray), ("side_by_side", Image), ("error_map", Image)):
            full = f"front/comparison/{topic}"
            self.driver.create_subscription(kind, full, self.heard[topic].append, summary_qos())
            self.until(lambda full=full: self.driver.count_publishers(full), full)
        make = self.driver.create_publisher
        self.summaries = make(RolloutMessage, "front/predicted/rollout", summaries_qos())
        self.frames = make(RolloutFrame, "front/predicted/frames", 50)
        self.states = make(JointState, "joint_states", 500)
        self.images, self.depths = make(Image, "front/image_raw", 50), make(Image, "front/depth", 50)
        self.infos = make(CameraInfo, "front/camera_info", 50)
        self.descriptions = make(String, "robot_description", summary_qos())
        publishers = (self.summaries, self.frames, self.states, self.images, self.depths, self.infos, self.descriptions)
        self.until(lambda: all(each.get_subscription_count() for each in publishers), "the node's subscriptions")

    def until(self, condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def message(self, name: str) -> str:
        return self.node.diagnostics._conditions[name].message

    def predict(self, rollout: Rollout, name: str) -> None:
        header = Header(stamp=time_message(OBSERVED), frame_id=CAMERA.frame_id)
        summary = summary_message(rollout, header, sequence_id=name, pointmap_sequence_id="plan", camera="front")
        self.summaries.publish(summary)
        for index in range(FRAMES):
            self.frames.publish(frame_message(rollout, index, summary, "base"))

    def execute(
        self,
        rollout: Rollout,
        levels: int,
        *,
        began: int = BEGAN,
        camera: Camera = CAMERA,
        moves: bool = True,
        sees: bool = True,
        seconds: float = 1.2,
    ) -> None:
        """Joints at 50 Hz and pictures at 10 Hz, from half a second before a plan's begin to ``seconds`` after it.

        The pictures are brighter than predicted by ``levels``.
        """
        self.infos.publish(camera_message(camera, time_message(began)))
        self.until(lambda: self.node._pictures._camera == camera, "the calibration")
        bridge = CvBridge()
        for k in range(-25, round(50 * seconds)):
            stamp_ns = began + k * SECOND // 50
            header = Header(stamp=time_message(stamp_ns), frame_id=CAMERA.frame_id)
            self.states.publish(JointState(header=header, name=["turn"], position=[turn(k / 50 if moves else 0.0)]))
            if sees and k % 5 == 0:
                index = min(max(k // 5, 0), FRAMES - 1)
                brighter = rollout.rgb[index] + np.uint8(levels)
                self.images.publish(bridge.cv2_to_imgmsg(brighter, "rgb8", header=header))
                self.depths.publish(bridge.cv2_to_imgmsg(rollout.points[index, ..., 2] + 0.01, "32FC1", header=header))
            self.until(lambda s=stamp_ns: self.node.watch._newest_of.get("joints", 0) >= s, "the joint state")

    def close(self) -> None:
        self.node.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.driver.destroy_node()


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Graph]:
    rclpy.init()
    made = Graph(tmp_path / "reports")
    yield made
    made.close()
    rclpy.try_shutdown()


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def test_an_executed_plan_is_compared(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_by = []
    draw = pictures.heat
    monkeypatch.setattr(pictures, "heat", lambda *a: drawn_by.append(threading.current_thread()) or draw(*a))
    rollout = make_rollout()
    graph.descriptions.publish(String(data=ARM))
    graph.until(lambda: graph.message("robot") == "described", "the robot")
    graph.predict(rollout, "standing")
    graph.until(lambda: graph.node.watch.is_waiting, "the rollout")
    graph.execute(rollout, 10)
    graph.until(lambda: all(graph.heard.values()), "the comparison")
    (figures,), (sheet,), (error_map,) = graph.heard.values()
    whole, *frames = figures.status
    said = values(whole)
    assert whole.level == DiagnosticStatus.OK, whole.message
    assert (said["sequence_id"], said["frames"], said["frames_with_partner"]) == ("standing", "5", "5")
    assert float(said["start_s"]) == pytest.approx(BEGAN / SECOND, abs=5e-3)
    assert nanoseconds(figures.header.stamp) == pytest.approx(BEGAN, abs=5e6)
    assert figures.header.frame_id == whole.hardware_id == "front_optical"
    assert len(frames) == FRAMES
    for k, status in enumerate(frames):
        figure = values(status)
        assert figure["index"] == str(k)
        assert float(figure["psnr_db"]) == pytest.approx(20 * np.log10(25.5), abs=1e-5)
        assert 10.0 <= float(figure["distance_median_mm"]) <= 12.0  # 10 mm of depth on rays that are not straight
        assert float(figure["robot_iou"]) == pytest.approx(1.0, abs=0.1)
    assert (sheet.encoding, sheet.height, sheet.width) == ("rgb8", 3 * HEIGHT, 4 * WIDTH)
    distances = CvBridge().imgmsg_to_cv2(error_map, "32FC1")
    assert distances.shape == (HEIGHT, WIDTH)
    assert np.isnan(distances[1, 2])
    assert np.nanmedian(distances) == pytest.approx(0.0105, abs=0.001)
    assert len(drawn_by) == 4, "two errors of each frame and two maps, once"
    assert threading.main_thread() not in drawn_by, "the executor has other things to do"
    (report,) = (tmp_path / "reports").iterdir()
    assert report.name.endswith("_front@standing")
    assert graph.message("report") == "of rollout standing written"
    assert json.loads((report / "figures.json").read_text())["by_frame"][4]["psnr_db"] == pytest.approx(28.13, abs=0.01)
    assert (report / "report.html").is_file()


def test_wrong_input_is_named_and_survived(graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("no folder")
    rollout = make_rollout()
    graph.descriptions.publish(String(data="<robot"))
    graph.predict(rollout, "of another camera")
    graph.until(lambda: graph.node.watch.is_waiting, "the rollout")
    graph.execute(rollout, 10, camera=OTHER_CAMERA)
    graph.until(lambda: "they are of fx 26.0000" in graph.message("comparison"), "the refusal")
    graph.predict(rollout, "not executed")
    graph.until(lambda: graph.node.watch.is_waiting, "the rollout")
    graph.execute(rollout, 10, began=BEGAN + 10 * SECOND, moves=False)
    graph.until(lambda: "is standing" in graph.message("execution"), "a look at the joints")
    header = Header(stamp=time_message(BEGAN + 13 * SECOND))
    graph.states.publish(JointState(header=header, name=["turn"], position=[0.1, 0.2]))
    graph.until(lambda: "one position for each" in graph.message("joint_states"), "the refusal of a joint state")
    graph.images.publish(Image(header=header, encoding="rgb8", height=3, width=3, step=9, data=[0] * 27))
    graph.depths.publish(Image(header=header, encoding="32FC1", height=3, width=3, step=12, data=[0] * 36))
    graph.until(lambda: "must have the camera's size" in graph.message("pictures"), "the refusal of a picture")
    assert graph.message("front/image_raw") == "receiving"
    assert not graph.heard["figures"]
    graph.execute(rollout, 0, began=BEGAN + 20 * SECOND)
    graph.until(lambda: graph.heard["figures"], "a comparison after all")
    assert values(graph.heard["figures"][0].status[2])["psnr_db"] == "identical"
    assert values(graph.heard["figures"][0].status[2])["robot_iou"] == "no robot is given"
    assert "XML" in graph.message("robot")
    assert "cannot be written" in graph.message("report")
    (tmp_path / "reports").unlink()
    graph.predict(rollout, "written")
    graph.until(lambda: graph.node.watch.is_waiting, "the rollout")
    graph.execute(rollout, 0, began=BEGAN + 30 * SECOND)
    graph.until(lambda: graph.message("report") == "of rollout written written", "a report after all")
    assert graph.node.diagnostics._conditions["report"].level == DiagnosticStatus.OK
    graph.predict(rollout, "unseen")
    graph.until(lambda: graph.node.watch.is_waiting, "the rollout")
    graph.execute(rollout, 0, began=BEGAN + 40 * SECOND, sees=False, seconds=2.1)
    graph.until(lambda: graph.message("comparison").endswith("no picture was kept of it"), "the complaint")
    graph.until(lambda: graph.message("execution").startswith("0 rollouts wait"), "a look that finds nothing wrong")
    assert graph.message("comparison").endswith("no picture was kept of it"), "until one is compared again"
