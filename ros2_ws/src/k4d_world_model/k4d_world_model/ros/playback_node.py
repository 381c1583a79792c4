"""k4d_playback_node: plays a predicted future on one clock: robot joints, pictures, points."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from k4d_msgs.srv import Seek, SetRate
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.camera_output import image_qos
from k4d_kinematics.ros.conversions import seconds
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.parameters import declare_parameters
from k4d_kinematics.ros.running import run_node
from k4d_world_model.errors import PlaybackError, WorldModelError
from k4d_world_model.rollout_files import read_rollout
from k4d_world_model.ros.playback_config import PlaybackNodeConfig
from k4d_world_model.ros.player import PREFIX, Player
from k4d_world_model.ros.rollout_messages import rollout_from_messages
from k4d_world_model.ros.rollout_output import summaries_qos
from k4d_world_model.ros.sequence_collector import SequenceCollector

_TICK = 0.005


class PlaybackNode(Node):
    """Plays a file, or the newest whole prediction of a camera; it runs on the node's clock, simulated or not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("k4d_playback_node", **kwargs)
        self.config = declare_parameters(self, PlaybackNodeConfig)
        recorded = read_rollout(Path(self.config.file)) if self.config.file else None
        self.diagnostics = Diagnostics(self)
        self.diagnostics.waiting("rollout", "no rollout has been received")
        self._collector: SequenceCollector[RolloutMessage, RolloutFrame] = SequenceCollector()
        self.player = Player(self, self.config, self.diagnostics)
        self.create_service(Trigger, f"{PREFIX}/pause", self._on_pause)
        self.create_service(Trigger, f"{PREFIX}/resume", self._on_resume)
        self.create_service(Seek, f"{PREFIX}/seek", self._on_seek)
        self.create_service(SetRate, f"{PREFIX}/set_rate", self._on_set_rate)
        self.create_service(SetBool, f"{PREFIX}/set_loop", self._on_set_loop)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_TICK, lambda: self.player.tick(self._now_ns()), clock=steady)
        if recorded is not None:
            self.player.load(recorded, self.config.base_frame, self._now_ns())
        else:
            topic = f"{self.config.camera}/predicted"
            self.create_subscription(RolloutMessage, f"{topic}/rollout", self._on_summary, summaries_qos())
            self.create_subscription(RolloutFrame, f"{topic}/frames", self._on_frame, image_qos())

    def _on_summary(self, message: RolloutMessage) -> None:
        if message.error_code == RolloutMessage.NONE:
            self._collect(self._collector.announce, message)

    def _on_frame(self, message: RolloutFrame) -> None:
        self._collect(self._collector.add, message)

    def _collect(self, take: Any, message: Any) -> None:
        try:
            if take(message):
                summary, frames = self._collector.take()
                base_frame = self.config.base_frame or frames[0].base_frame_id
                self._collector.drop()
                self.player.load(rollout_from_messages(summary, frames), base_frame, self._now_ns())
        except WorldModelError as error:
            self.diagnostics.error("rollout", str(error))

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = _attempt(lambda: self.player.pause(self._now_ns()))
        return response

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = _attempt(lambda: self.player.resume(self._now_ns()))
        return response

    def _on_seek(self, request: Seek.Request, response: Seek.Response) -> Seek.Response:
        position = seconds(request.time_from_start)
        response.success, response.error_string = _attempt(lambda: self.player.seek(position, self._now_ns()))
        if not response.success:
            response.error_code = Seek.Request.OUT_OF_RANGE if self.player.is_loaded else Seek.Request.NOTHING_LOADED
        return response

    def _on_set_rate(self, request: SetRate.Request, response: SetRate.Response) -> SetRate.Response:
        response.success, response.error_string = _attempt(lambda: self.player.set_rate(request.rate, self._now_ns()))
        if not response.success:
            response.error_code = SetRate.Request.OUT_OF_RANGE
        return response

    def _on_set_loop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.player.set_loop(is_looping=request.data)
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
