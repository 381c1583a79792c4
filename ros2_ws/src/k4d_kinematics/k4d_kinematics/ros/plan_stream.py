"""Plans of the pointmap node: accepted when all that they need is known, published while the node goes on."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header
from tf2_ros import Buffer

from k4d_kinematics.errors import KinematicsError, NotReadyError, TransformError
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.camera_output import CameraOutput
from k4d_kinematics.ros.camera_sequence import CameraSequence
from k4d_kinematics.ros.conversions import nanoseconds, time_message
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.plan import Plan, refusal
from k4d_kinematics.ros.plan_inputs import PlanInputs, PlanTopic
from k4d_kinematics.ros.pointmap_config import PointmapNodeConfig
from k4d_kinematics.ros.tf_transforms import TfSnapshot, mount_link
from k4d_kinematics.surface import RobotSurface

_TICK = 0.002


@dataclass
class _Candidate:
    """A message that is being made a plan, and the cameras that have not shown or refused it yet.

    ``number`` counts the messages accepted.
    """

    number: int
    topic: PlanTopic
    message: Any
    now_ns: int
    deadline: float  # seconds of the monotonic clock, which also runs where the simulated one is paused
    waiting: list[CameraOutput]
    plan: "Future[Plan]"
    reasons: list[str] = field(default_factory=list)

    @property
    def header(self) -> Header:
        """When the plan starts: the message's stamp, or when it came."""
        stamp_ns = nanoseconds(self.message.header.stamp) if hasattr(self.message, "header") else 0
        return Header(stamp=time_message(stamp_ns or self.now_ns))


class PlanStream:
    """Publishes the pointmaps of the newest plan for all cameras side by side.

    Inverse kinematics runs in a thread of its own. A plan or camera whose transforms or renderer are not there yet
    waits for them up to the configured timeout; a camera that cannot show a plan refuses it for itself.
    """

    def __init__(
        self,
        node: Node,
        robot: Robot,
        surface: RobotSurface,
        inputs: PlanInputs,
        outputs: list[CameraOutput],
        transforms: Buffer,
        diagnostics: Diagnostics,
        config: PointmapNodeConfig,
    ) -> None:
        self._robot, self._surface, self._inputs, self._outputs = robot, surface, inputs, outputs
        self._transforms, self._diagnostics, self._config = transforms, diagnostics, config
        self._candidate: _Candidate | None = None
        self._sequences: list[CameraSequence] = []
        self._worker = ThreadPoolExecutor(1)
        # Numbers of the newest message, and of the one that the worker converts.
        self._newest = self._converting = 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.timer = node.create_timer(_TICK, self._tick, clock=steady, autostart=False)

    def accept(self, topic: PlanTopic, message: Any, now_ns: int) -> None:
        """Takes a message that came at ``now_ns``; once it proves valid, it replaces the plan being published."""
        self._supersede()
        deadline = time.monotonic() + self._config.transform_timeout
        plan = self._convert(self._newest, topic, message, now_ns)
        self._candidate = _Candidate(self._newest, topic, message, now_ns, deadline, list(self._outputs), plan)
        self.timer.reset()

    def is_superseded(self) -> bool:
        """Whether nobody waits any more for what the worker converts; asked by solvers in its thread."""
        return self._converting != self._newest

    def prepare(self, work: Callable[[], object]) -> None:
        """Does ``work``, which reports its own errors, in the thread that converts plans and before any of them."""
        self._worker.submit(work)

    def stop(self) -> None:
        """Drops the frames that have not been published and the plan that has not been accepted."""
        self._supersede()
        self._sequences = []
        self.timer.cancel()

    def close(self, last: Callable[[], object]) -> None:
        """Stops for good, as when another robot takes this one's place, and lets the worker do ``last``.

        Does not wait: the worker ends what it has begun, between two poses of a tool path, then does ``last``.
        """
        self.stop()
        self._worker.submit(last)
        self._worker.shutdown(wait=False)

    def _supersede(self) -> None:
        self._newest += 1
        if self._candidate is not None:
            self._candidate.plan.cancel()
        self._candidate = None

    def _convert(self, number: int, topic: PlanTopic, message: Any, now_ns: int) -> "Future[Plan]":
        def convert() -> Plan:
            self._converting = number
            return topic.convert(self._inputs, message, now_ns)

        return self._worker.submit(convert)

    def _tick(self) -> None:
        if self._candidate is not None and self._candidate.plan.done():
            self._advance(self._candidate)
        for sequence in self._sequences:
            try:
                sequence.step()
            except KinematicsError as error:
                self._diagnostics.error(f"plan of camera {sequence.output.name}", str(error))
                self._sequences = [other for other in self._sequences if other is not sequence]
        self._finish()
        if self._candidate is None and not self._sequences:
            self.timer.cancel()

    def _finish(self) -> None:
        for sequence in self._sequences:
            name = f"plan of camera {sequence.output.name}"
            if sequence.is_done and sequence.lost:
                self._diagnostics.error(name, "a consumer of plan/frames does not take its messages; some may be lost")
            elif sequence.is_done:
                self._diagnostics.ok(name, f"{sequence.summary.frame_count} frames")
        self._sequences = [sequence for sequence in self._sequences if not sequence.is_done]

    def _advance(self, candidate: _Candidate) -> None:
        expired = time.monotonic() >= candidate.deadline
        try:
            plan = candidate.plan.result()
        except TransformError as error:
            if expired:
                self._refuse_all(candidate, error)
            else:
                message, now_ns = candidate.message, candidate.now_ns
                candidate.plan = self._convert(candidate.number, candidate.topic, message, now_ns)
            return
        except KinematicsError as error:
            self._refuse_all(candidate, error)
            return
        if len(candidate.waiting) == len(self._outputs):
            self._sequences = []
        for output in list(candidate.waiting):
            self._offer(candidate, plan, output, expired=expired)
        if not candidate.waiting:
            self._report(candidate, plan)

    def _offer(self, candidate: _Candidate, plan: Plan, output: CameraOutput, *, expired: bool) -> None:
        prefix = self._config.frame_prefix
        try:
            link = mount_link(self._transforms, self._robot, output.camera.frame_id, prefix)
            snapshot = TfSnapshot(self._transforms, plan.transform_stamp_ns, prefix)
            sequence = CameraSequence(
                plan, self._robot, self._surface, output, snapshot,
                mount_link=link, tool_link=self._inputs.tool_link, frame_prefix=prefix, rgb=self._config.plan_rgb,
                patience=self._config.frame_patience,
            )  # fmt: skip
        except KinematicsError as error:
            if isinstance(error, TransformError | NotReadyError) and not expired:
                return
            self._refuse(candidate, output, error)
        else:
            output.summaries.publish(sequence.summary)
            self._sequences.append(sequence)
        candidate.waiting.remove(output)

    def _refuse_all(self, candidate: _Candidate, error: KinematicsError) -> None:
        for output in candidate.waiting:
            self._refuse(candidate, output, error)
        self._diagnostics.error(candidate.topic.name, str(error))
        self._candidate = None

    def _refuse(self, candidate: _Candidate, output: CameraOutput, error: KinematicsError) -> None:
        header = candidate.header
        header.frame_id = self._config.frame_prefix + self._robot.link_names[0]
        output.summaries.publish(refusal(error, output.name, candidate.topic.source, header))
        candidate.reasons.append(f"camera {output.name}: {error}")

    def _report(self, candidate: _Candidate, plan: Plan) -> None:
        problems = [*candidate.reasons, *([plan.remark] if plan.held_frames else [])]
        if problems:
            self._diagnostics.error(candidate.topic.name, "; ".join(problems))
        else:
            self._diagnostics.ok(candidate.topic.name, plan.remark or f"{len(plan.trajectory)} frames")
        self._candidate = None
