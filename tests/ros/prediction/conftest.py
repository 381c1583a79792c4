"""A prediction node and a driver that talks to it over real DDS, and what one observation is made of."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from cv_bridge import CvBridge
from k4d_msgs.action import PredictRollout
from k4d_msgs.msg import PointmapFrame, PointmapSequence, Rollout, RolloutFrame
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from std_msgs.msg import Header

from k4d_kinematics import Camera, se3
from k4d_kinematics.ros.camera_output import summaries_qos
from k4d_kinematics.ros.conversions import (
    camera_message,
    duration_message,
    time_message,
    transform_message,
)
from k4d_world_model.ros.prediction_node import PredictionNode

from ..heard_diagnostics import HearsDiagnostics
from .fake_model import COUNT, PATIENCE, FakeModel, Gate

HEIGHT, WIDTH, JOINTS = 12, 18, 2
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 20.0, 21.0, 8.5, 5.5, frame_id="front_optical")
T_BASE_CAM = se3.inverse(se3.look_at((1.0, 0.5, 0.8), (0.1, 0.0, 0.2)))
START_NS = 1_700_000_000_123_456_789
TIMES = np.array([0.0, 0.1, 0.25, 0.3, 0.45])
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Inputs:
    """Messages of one observation, to be spoilt by tests."""

    def __init__(self, sequence_id: str = "plan", stamp_ns: int = START_NS, camera: Camera = CAMERA) -> None:
        rng = np.random.default_rng(5)
        self.camera, self.bridge = camera, CvBridge()
        self.header = Header(stamp=time_message(stamp_ns), frame_id=camera.frame_id)
        size = (camera.image_height, camera.image_width)
        self.rgb = rng.integers(0, 255, (*size, 3), np.uint8)
        self.depth_m = rng.uniform(1.0, 2.0, size).astype(np.float32)
        self.mask = np.zeros((COUNT, *size), bool)
        for index in range(COUNT):
            self.mask[index, 3:9, 4 + index : 10 + index] = True
        z = np.where(self.mask, np.float32(0.9), np.float32(np.nan))[..., None]
        self.points = np.concatenate([camera.rays().astype(np.float32) * z, z], axis=-1)
        self.robot_rgb = np.where(self.mask[..., None], np.uint8(180), np.uint8(0)).repeat(3, axis=-1)
        self.image = self.bridge.cv2_to_imgmsg(self.rgb, "rgb8", header=self.header)
        self.depth = self.bridge.cv2_to_imgmsg(self.depth_m, "32FC1", header=self.header)
        self.camera_info = camera_message(camera, self.header.stamp)
        self.summary = PointmapSequence(
            header=Header(stamp=self.header.stamp, frame_id="base"),
            sequence_id=sequence_id,
            camera="front",
            frame_count=COUNT,
            time_from_start=[duration_message(time) for time in TIMES.tolist()],
            height=size[0],
            width=size[1],
            robot_sha256="cd" * 32,
        )
        self.frames = [self._frame(sequence_id, index) for index in range(COUNT)]

    def _frame(self, sequence_id: str, index: int) -> PointmapFrame:
        mask = self.mask[index].view(np.uint8) * np.uint8(255)
        return PointmapFrame(
            header=self.header,
            sequence_id=sequence_id,
            index=index,
            time_from_start=duration_message(float(TIMES[index])),
            base_frame_id="base",
            t_base_cam=transform_message(T_BASE_CAM),
            camera_info=self.camera_info,
            joint_state=JointState(name=["a", "b"], position=[0.1 * index, -0.2]),
            pointmap=self.bridge.cv2_to_imgmsg(self.points[index], "32FC3", header=self.header),
            mask=self.bridge.cv2_to_imgmsg(mask, "mono8", header=self.header),
            rgb=self.bridge.cv2_to_imgmsg(self.robot_rgb[index], "rgb8", header=self.header),
        )

    def messages(self) -> list[tuple[str, Any]]:
        """All messages with their topics below the camera's name, in the order in which they come."""
        inputs = [("image_raw", self.image), ("depth", self.depth), ("camera_info", self.camera_info)]
        plan = [("robot/plan/sequence", self.summary), *(("robot/plan/frames", frame) for frame in self.frames)]
        return inputs + plan


class Spinning:
    """Nodes of one executor, among them a driver, spun until a condition holds."""

    executor: SingleThreadedExecutor
    driver: Node

    def until(self, condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def spin_until_or_for(self, condition: Callable[[], object], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def open_inputs(self) -> None:
        """Creates the publishers of what a prediction node listens to."""
        self._publishers = {
            topic: self.driver.create_publisher(kind, f"front/{topic}", qos)
            for topic, kind, qos in (
                ("image_raw", Image, 10),
                ("depth", Image, 10),
                ("camera_info", CameraInfo, 10),
                ("robot/plan/frames", PointmapFrame, 10),
                ("robot/plan/sequence", PointmapSequence, LATCHED),
            )
        }

    def publish(self, topic: str, message: Any) -> None:
        self.until(self._publishers[topic].get_subscription_count, f"a subscriber of {topic}")
        self._publishers[topic].publish(message)


class Graph(HearsDiagnostics, Spinning):
    """The node under test and a driver node."""

    def __init__(self, model: FakeModel | None) -> None:
        self.model = model or FakeModel()
        self.node = PredictionNode(lambda path, device: self.model) if model else PredictionNode()
        self.driver = Node("driver")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.driver)
        self.received: dict[str, list[Any]] = {}
        self.feedback: list[PredictRollout.Feedback] = []
        self.hear_diagnostics()
        for topic, kind, qos in (
            ("predicted/rollout", Rollout, summaries_qos()),
            ("predicted/frames", RolloutFrame, 200),
            ("predicted/image", Image, 200),
            ("predicted/points", PointCloud2, 200),
            ("predicted/camera_info", CameraInfo, 200),
        ):
            self.received[topic] = []
            self.driver.create_subscription(kind, f"front/{topic}", self.received[topic].append, qos)
        self.open_inputs()
        self.client = ActionClient(self.driver, PredictRollout, "predict_rollout")
        self._states = self.driver.create_client(GetState, "k4d_prediction_node/get_state")
        self._changes = self.driver.create_client(ChangeState, "k4d_prediction_node/change_state")

    def show(self, inputs: Inputs, *, depth: bool = True) -> None:
        """Publishes an observation and waits until the node has heard all of it."""
        for topic in ("predicted/rollout", "predicted/frames", "predicted/image", "predicted/points"):
            self.until(lambda topic=topic: self.driver.count_publishers(f"front/{topic}"), f"a publisher of {topic}")
        heard = self.node._inputs["front"]
        self.publish("image_raw", inputs.image)
        self.until(lambda: heard._images._recent and _stamp(heard._images) == inputs.image.header.stamp, "the picture")
        if depth:
            self.publish("depth", inputs.depth)
            self.until(lambda: heard._depths._recent and _stamp(heard._depths) == inputs.depth.header.stamp, "depth")
        self.publish("camera_info", inputs.camera_info)
        self.until(lambda: heard._camera_info is not None, "camera_info")
        self.publish("robot/plan/sequence", inputs.summary)
        for frame in inputs.frames:
            self.publish("robot/plan/frames", frame)
            self.until(self._publishers["robot/plan/frames"].wait_for_all_acked, "a frame's way")
        expected = len({frame.index for frame in inputs.frames})
        self.until(lambda: self._heard_frames(inputs.summary.sequence_id) == expected, "all frames to be heard")

    def _heard_frames(self, sequence_id: str) -> int:
        plans = self.node._inputs["front"]._plans
        kept = [plan for plan in (plans._complete, plans._coming) if plan and plan.sequence_id == sequence_id]
        return len(kept[0].frames) if kept and kept[0].summary else 0

    def send(self, **goal: Any) -> Any:
        """Sends a goal; returns its handle once it is accepted."""
        self.until(self.client.server_is_ready, "the action server")
        sent = self.client.send_goal_async(
            PredictRollout.Goal(**goal), feedback_callback=lambda message: self.feedback.append(message.feedback)
        )
        self.until(sent.done, "the goal to be accepted")
        assert sent.result().accepted
        return sent.result()

    def result(self, handle: Any) -> tuple[int, PredictRollout.Result]:
        """Status and result of a goal."""
        got = handle.get_result_async()
        self.until(got.done, "a result")
        return got.result().status, got.result().result

    def predict(self, **goal: Any) -> tuple[int, PredictRollout.Result]:
        return self.result(self.send(**goal))

    def cancel(self, handle: Any) -> None:
        answer = handle.cancel_goal_async()
        self.until(answer.done, "the answer to a cancellation")

    def state(self) -> str:
        self.until(self._states.service_is_ready, "the lifecycle's services")
        answer = self._states.call_async(GetState.Request())
        self.until(answer.done, "the state")
        return answer.result().current_state.label

    def change(self, label: str) -> bool:
        self.until(self._changes.service_is_ready, "the lifecycle's services")
        request = ChangeState.Request()
        request.transition.label = label
        answer = self._changes.call_async(request)
        self.until(answer.done, "the change of state")
        return answer.result().success

    def close(self) -> None:
        if isinstance(self.model.at_step, Gate):
            self.model.at_step.opened.set()
        self.node.close()
        self.executor.shutdown()
        self.client.destroy()
        self.node.destroy_node()
        self.driver.destroy_node()


def _stamp(history: Any) -> Any:
    return history._recent[-1][1].header.stamp


@pytest.fixture
def start() -> Iterator[Callable[..., Graph]]:
    """Starts a graph whose node has the given parameters and fake model (without one it opens real ones)."""
    graphs: list[Graph] = []

    def start_graph(fake: FakeModel | None = None, /, **parameters: object) -> Graph:
        values = {"cameras": "[front]", "model": "fake.yaml", **parameters}
        words = [word for name, value in values.items() if value != "" for word in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", *words])
        graphs.append(Graph(fake))
        return graphs[-1]

    yield start_graph
    for graph in graphs:
        graph.close()
    rclpy.try_shutdown()
