"""k4d_playback_node: plays a predicted future on one clock: robot joints, pictures, points."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from k4d_msgs.srv import Seek, SetRate, Step
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.camera_output import frames_qos, summaries_qos
from k4d_kinematics.ros.conversions import seconds
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.parameters import declare_parameters
from k4d_kinematics.ros.running import run_node
from k4d_world_model.errors import PlaybackError, WorldModelError
from k4d_world_model.rollout_files import read_rollout
from k4d_world_model.ros.playback_config import PlaybackNodeConfig
from k4d_world_model.ros.playback_stage import PlaybackStage
from k4d_world_model.ros.player import PREFIX
from k4d_world_model.ros.rollout_messages import rollout_from_messages
from k4d_world_model.ros.sequence_collector import SequenceCollector

_TICK = 0.005


class PlaybackNode(Node):
    """Plays files, or the newest whole prediction of each camera, on the node's clock, simulated or not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("k4d_playback_node", **kwargs)
        self.config = declare_parameters(self, PlaybackNodeConfig)
        recordings = [read_rollout(Path(file)) for file in self.config.recordings]
        self.diagnostics = Diagnostics(self)
        self.stage = PlaybackStage(self, self.config.names, self.config, self.diagnostics)
        self._collectors: dict[str, SequenceCollector[RolloutMessage, RolloutFrame]] = {}
        self.create_service(Trigger, f"{PREFIX}/pause", self._on_pause)
        self.create_service(Trigger, f"{PREFIX}/resume", self._on_resume)
        self.create_service(Seek, f"{PREFIX}/seek", self._on_seek)
        self.create_service(Step, f"{PREFIX}/step", self._on_step)
        self.create_service(SetRate, f"{PREFIX}/set_rate", self._on_set_rate)
        self.create_service(SetBool, f"{PREFIX}/set_loop", self._on_set_loop)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_TICK, lambda: self.stage.tick(self._now_ns()), clock=steady)
        for name, rollout in zip(self.config.names, recordings, strict=False):
            self.stage.load(name, rollout, self.config.base_frame, self._now_ns())
        if not recordings:
            for camera in self.config.cameras:
                self._listen(camera)

    def _listen(self, camera: str) -> None:
        collector = self._collectors[camera] = SequenceCollector(partial(self.stage.refuse, camera))

        def on_summary(message: RolloutMessage) -> None:
            if message.error_code == RolloutMessage.NONE:
                self._collect(camera, collector.announce, message)

        def on_frame(message: RolloutFrame) -> None:
            self._collect(camera, collector.add, message)

        topic = f"{camera}/predicted"
        self.create_subscription(RolloutMessage, f"{topic}/rollout", on_summary, summaries_qos())
        self.create_subscription(RolloutFrame, f"{topic}/frames", on_frame, frames_qos())

    def _collect(self, camera: str, take: Callable[[Any], bool], message: RolloutMessage | RolloutFrame) -> None:
        collector = self._collectors[camera]
        try:
            if take(message):
                summary, frames = collector.take()
                base_frame = self.config.base_frame or frames[0].base_frame_id
                collector.drop()
                self.stage.load(camera, rollout_from_messages(summary, frames), base_frame, self._now_ns())
        except WorldModelError as error:
            self.stage.refuse(camera, str(error))

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = _attempt(lambda: self.stage.pause(self._now_ns()))
        return response

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = _attempt(lambda: self.stage.resume(self._now_ns()))
        return response

    def _on_seek(self, request: Seek.Request, response: Seek.Response) -> Seek.Response:
        position = seconds(request.time_from_start)
        response.success, response.error_string = _attempt(lambda: self.stage.seek(position, self._now_ns()))
        if not response.success:
            response.error_code = Seek.Request.OUT_OF_RANGE if self.stage.is_loaded else Seek.Request.NOTHING_LOADED
        return response

    def _on_step(self, request: Step.Request, response: Step.Response) -> Step.Response:
        response.success, response.error_string = _attempt(lambda: self.stage.step(request.frames, self._now_ns()))
        if not response.success:
            response.error_code = Step.Request.OUT_OF_RANGE if self.stage.is_loaded else Step.Request.NOTHING_LOADED
        return response

    def _on_set_rate(self, request: SetRate.Request, response: SetRate.Response) -> SetRate.Response:
        response.success, response.error_string = _attempt(lambda: self.stage.set_rate(request.rate, self._now_ns()))
        if not response.success:
            response.error_code = SetRate.Request.OUT_OF_RANGE
        return response

    def _on_set_loop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.stage.set_loop(is_looping=request.data)
        response.success = True
        return response

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)


def _attempt(what: Callable[[], None]) -> tuple[bool, str]:
    """Whether it was possible, and why not."""
    try:
        what()
    except PlaybackError as error:
        return False, str(error)
    return True, ""


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(PlaybackNode, PlaybackNodeConfig, __doc__, (KinematicsError, WorldModelError))
