"""k4d_compare_node: once a predicted plan has been executed, says how far the prediction was from what happened."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.camera_output import frames_qos, summaries_qos, summary_qos
from k4d_kinematics.ros.conversions import nanoseconds
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.parameters import declare_parameters
from k4d_kinematics.ros.running import run_node
from k4d_world_model.comparison.comparison import Comparison, compare_execution
from k4d_world_model.comparison.execution_watch import Awaited, Execution, ExecutionWatch
from k4d_world_model.comparison.pictures import ComparisonPictures, comparison_pictures
from k4d_world_model.comparison.report_files import execution_folder, write_comparison
from k4d_world_model.errors import ComparisonError, WorldModelError
from k4d_world_model.ros.compare_config import CompareNodeConfig
from k4d_world_model.ros.comparison_output import ComparisonOutput
from k4d_world_model.ros.deferred_robot import DeferredRobot
from k4d_world_model.ros.executed_pictures import ExecutedPictures
from k4d_world_model.ros.rollout_messages import rollout_from_messages
from k4d_world_model.ros.sequence_collector import SequenceCollector

_PERIOD = 1.0
_JOINT_QOS = QoSProfile(depth=100)
_STALE_AFTER = 2.0
_Outcome = tuple[Comparison, ComparisonPictures, str]
M = TypeVar("M", RolloutMessage, RolloutFrame)


class CompareNode(Node):
    """An execution is known by its joints alone: whoever sent the plan, they follow it from its start to its end."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("k4d_compare_node", **kwargs)
        self.config = declare_parameters(self, CompareNodeConfig)
        self.diagnostics = Diagnostics(self)
        self.watch = ExecutionWatch(self.config.limits)
        self._collector: SequenceCollector[RolloutMessage, RolloutFrame] = SequenceCollector(
            partial(self.diagnostics.error, "rollout")
        )
        self._robot = DeferredRobot(self.config)
        self._worker = ThreadPoolExecutor(1)
        self._running: deque[tuple[Execution, Future[_Outcome]]] = deque()
        self._output = ComparisonOutput(self, self.config.camera)
        self._pictures = ExecutedPictures(self, self.config, self.watch, self.diagnostics)
        self.diagnostics.waiting("joint_states", "no joint state has been received")
        self.diagnostics.waiting("rollout", "no rollout has been received")
        self.diagnostics.waiting("comparison", "nothing has been executed yet")
        if not self.config.robot:
            self.diagnostics.waiting("robot", "no robot_description has been received")
            self.create_subscription(String, "robot_description", self._on_description, summary_qos())
        self.create_subscription(JointState, "joint_states", self._on_joint_state, _JOINT_QOS)
        prefix = f"{self.config.camera}/predicted"
        self.create_subscription(RolloutMessage, f"{prefix}/rollout", self._on_summary, summaries_qos())
        self.create_subscription(RolloutFrame, f"{prefix}/frames", self._on_frame, frames_qos())
        self.create_timer(_PERIOD, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_description(self, message: String) -> None:
        self._robot.describe(message.data)
        self.diagnostics.ok("robot", "described")

    def _on_joint_state(self, message: JointState) -> None:
        try:
            self.watch.move(nanoseconds(message.header.stamp), list(message.name), list(message.position))
        except WorldModelError as error:
            self.diagnostics.error("joint_states", str(error))
        else:
            self.diagnostics.ok("joint_states", "receiving", stale_after=_STALE_AFTER)

    def _on_summary(self, message: RolloutMessage) -> None:
        if message.error_code == RolloutMessage.NONE:
            self._collect(self._collector.announce, message)

    def _on_frame(self, message: RolloutFrame) -> None:
        self._collect(self._collector.add, message)

    def _collect(self, take: Callable[[M], bool], message: M) -> None:
        try:
            if take(message):
                summary, frames = self._collector.take()
                self._collector.drop()
                rollout = rollout_from_messages(summary, frames)
                self.watch.await_execution(Awaited(summary.sequence_id, rollout, nanoseconds(summary.header.stamp)))
                self.diagnostics.ok("rollout", f"{summary.frame_count} frames of {summary.model_name}")
        except WorldModelError as error:
            self.diagnostics.error("rollout", str(error))

    def _on_timer(self) -> None:
        executions, problems = self.watch.executed()
        for execution in executions:
            self._running.append((execution, self._worker.submit(self._compare, execution)))
        if problems:
            self.diagnostics.error("comparison", "; ".join(problems))
        self.diagnostics.ok("execution", self.watch.state)
        if self._running and self._running[0][1].done():
            self._conclude(*self._running.popleft())

    def _compare(self, execution: Execution) -> _Outcome:
        """The comparison, its pictures, and why its report could not be written; runs in the worker's thread."""
        start, rollout = execution.following.start, execution.awaited.rollout
        comparison = compare_execution(rollout, execution.frames, start, self.config.tolerance, self._robot.prepare())
        pictures = comparison_pictures(comparison)
        if self.config.report_folder:
            name = execution_folder(start, self.config.camera, execution.awaited.name)
            known_by = f"joints, which follow the plan within {execution.following.error:.4f}"
            try:
                write_comparison(Path(self.config.report_folder) / name, comparison, pictures, known_by)
            except ComparisonError as error:
                return comparison, pictures, str(error)
        return comparison, pictures, ""

    def _conclude(self, execution: Execution, done: "Future[_Outcome]") -> None:
        try:
            comparison, pictures, problem = done.result()
        except (WorldModelError, KinematicsError) as error:
            self.diagnostics.error("comparison", str(error))
            return
        self._output.publish(execution, comparison, pictures)
        self.diagnostics.ok("comparison", f"rollout {execution.awaited.name} was executed and compared")
        if self.config.report_folder and not problem:
            self.diagnostics.ok("report", f"of rollout {execution.awaited.name} written")
        for name, why in (("report", problem), ("robot", self._robot.problem)):
            if why:
                self.diagnostics.error(name, why)

    def close(self) -> None:
        """Ends the thread that compares."""
        self._worker.shutdown(wait=False, cancel_futures=True)


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(CompareNode, CompareNodeConfig, __doc__, (KinematicsError, WorldModelError))
