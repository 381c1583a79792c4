"""A prediction node that is killed while it predicts: those who listen to it go on, and its successor is heard."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from k4d_msgs.action import PredictRollout
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from k4d_world_model.ros.playback_node import PlaybackNode

from .conftest import Inputs, Spinning

# A node whose model needs minutes, in a process of its own.
SLOW = """
import time
from k4d_kinematics.ros.running import run_node
from k4d_world_model.ros.prediction_config import PredictionNodeConfig
from k4d_world_model.ros.prediction_node import PredictionNode
from k4d_world_model.world_model_config import WorldModelConfig

class Slow:
    config = WorldModelConfig("slow", "frozen_world", frames=5, height=6, width=9)
    frame_shape, weights_sha256 = (5, 6, 9), ""
    def predict(self, conditioning, *, seed, on_step=None, steps=None):
        for step in range(10_000):
            on_step(step, 10_000)
            time.sleep(0.05)
    def close(self):
        pass

run_node(lambda: PredictionNode(lambda path, device: Slow()), PredictionNodeConfig, "", ())
"""


class Listeners(Spinning):
    """A playback node and somebody who asks for predictions."""

    def __init__(self) -> None:
        self.playback = PlaybackNode(
            use_global_arguments=False, parameter_overrides=[Parameter("cameras", value=["front"])]
        )
        self.driver = Node("driver")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.playback)
        self.executor.add_node(self.driver)
        self.feedback: list[Any] = []
        self.client = ActionClient(self.driver, PredictRollout, "predict_rollout")
        self.resume = self.driver.create_client(Trigger, "playback/resume")
        self.open_inputs()

    def predicting(self) -> None:
        """Asks until a prediction is under way: a process needs some seconds to be there and to have heard all."""
        self.feedback.clear()
        number = 0
        while not self.feedback:
            inputs, number = Inputs(f"plan {os.getpid()} {number}"), number + 1
            for topic, message in inputs.messages():
                self.publish(topic, message)
            self.client.send_goal_async(PredictRollout.Goal(), lambda message: self.feedback.append(message.feedback))
            self.spin_until_or_for(lambda: self.feedback, 1.0)

    def close(self) -> None:
        self.executor.shutdown()
        self.client.destroy()
        self.playback.destroy_node()
        self.driver.destroy_node()


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    rclpy.init()
    made = Listeners()
    yield made
    made.close()
    rclpy.try_shutdown()


def started() -> subprocess.Popen[bytes]:
    words = ["--ros-args", "-p", "cameras:=[front]", "-p", "model:=slow.yaml"]
    return subprocess.Popen([sys.executable, "-c", SLOW, *words])


def test_listeners_go_on_and_a_successor_is_heard(listeners: Listeners) -> None:
    for _ in range(2):
        process = started()
        try:
            listeners.predicting()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        listeners.until(listeners.resume.service_is_ready, "the playback's services")
        answer = listeners.resume.call_async(Trigger.Request())
        listeners.until(answer.done, "an answer of the playback node")
        assert answer.result().message == "there is no rollout to play yet"
