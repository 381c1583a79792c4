"""Predictions of an active node: from a goal or a new plan, through the worker, to messages and the goal's result."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from k4d_msgs.action import PredictRollout
from k4d_msgs.msg import Rollout as RolloutMessage
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header

from k4d_kinematics import se3
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.conversions import duration_message, nanoseconds
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_world_model.errors import CanceledError, ConditioningError, RolloutError, WorldModelError
from k4d_world_model.fitting import fitted
from k4d_world_model.prediction_worker import PredictionJob, PredictionWorker, Progress
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.camera_inputs import CameraInputs
from k4d_world_model.ros.observation import Observation
from k4d_world_model.ros.rollout_messages import failure, summary_message
from k4d_world_model.ros.rollout_output import Delivery, RolloutOutput
from k4d_world_model.world_model import OnStep, WorldModel

_TICK = 0.002


@dataclass(eq=False)
class _Prediction:
    """One wish for a prediction: what it starts from as far as it is known, and who waits for it, if anybody."""

    camera: str
    seed: int
    steps: int
    goal: Any = None  # rclpy's ServerGoalHandle
    header: Header = field(default_factory=Header)
    sequence_id: str = ""
    base_frame_id: str = ""
    T_points_base: se3.Array | None = None  # as in Delivery
    job: PredictionJob | None = None
    delivery: Delivery | None = None


class PredictionStream:
    """Owns the worker; everything of ROS happens in the node's executor, which the worker only wakes."""

    def __init__(
        self,
        node: Node,
        model: WorldModel,
        inputs: Mapping[str, CameraInputs],
        outputs: Mapping[str, RolloutOutput],
        diagnostics: Diagnostics,
    ) -> None:
        self._node, self._model, self._inputs, self._outputs = node, model, inputs, outputs
        self._diagnostics = diagnostics
        self._predictions: list[_Prediction] = []
        self._guard = node.create_guard_condition(self._drain)
        self._worker = PredictionWorker(self._wake)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_TICK, self._deliver, clock=steady, autostart=False)

    def accept(self, goal: Any) -> None:
        """Predicts for a goal, whose result says what became of it in every case."""
        wish: PredictRollout.Goal = goal.request
        camera = wish.camera or (next(iter(self._inputs)) if len(self._inputs) == 1 else "")
        self._begin(_Prediction(camera, wish.seed, wish.steps, goal), wish.sequence_id)

    def predict_automatically(self, camera: str, seed: int, steps: int) -> None:
        """Predicts the newest plan of a camera, in place of the older automatic ones that are not done yet."""
        self._begin(_Prediction(camera, seed, steps), "")

    def cancel(self, goal: Any) -> None:
        """Lets the prediction of a goal end at its next step, or its frames at the next one."""
        for prediction in [found for found in self._predictions if found.goal == goal]:
            assert prediction.job is not None
            prediction.job.cancel()
            if prediction.delivery is not None:
                self._outputs[prediction.camera].withdraw(prediction.delivery)
                self._fail(prediction, CanceledError("cancelled while its frames were published"))

    def close(self) -> None:
        """Ends all predictions, within one step, and frees what they held; those who wait are told."""
        self._worker.close()
        if self._node.context.ok():
            self._drain()
            for prediction in list(self._predictions):
                assert prediction.delivery is not None
                self._outputs[prediction.camera].withdraw(prediction.delivery)
                self._fail(prediction, CanceledError("the node was deactivated while the frames were published"))
        self._node.destroy_timer(self._timer)
        self._node.destroy_guard_condition(self._guard)

    def _begin(self, prediction: _Prediction, sequence_id: str) -> None:
        prediction.sequence_id = sequence_id
        try:
            if prediction.camera not in self._inputs:
                raise ConditioningError(f"camera must be one of {', '.join(self._inputs)}, got {prediction.camera!r}")
            observation = self._inputs[prediction.camera].observation(sequence_id)
            prediction.sequence_id = observation.summary.sequence_id
            prediction.base_frame_id = observation.frames[0].base_frame_id
            prediction.header = observation.frames[0].header
            stamp_ns = nanoseconds(prediction.header.stamp)
            prediction.T_points_base = self._outputs[prediction.camera].place(prediction.base_frame_id, stamp_ns)
            count, expected = len(observation.frames), self._model.frame_shape[0]
            if count != expected:
                raise ConditioningError(
                    f"the model predicts {expected} frames, the plan has {count}: set plan_frames of k4d_pointmap_node"
                )
            prediction.job = self._job(prediction, observation)
            self._worker.submit(prediction.job)
        except (WorldModelError, KinematicsError) as error:
            self._fail(prediction, error)
        else:
            self._predictions.append(prediction)

    def _job(self, prediction: _Prediction, observation: Observation) -> PredictionJob:
        model = self._model
        _, height, width = model.frame_shape

        def predict(on_step: OnStep) -> Rollout:
            conditioning = fitted(observation.conditioning(), height, width)
            try:
                return model.predict(
                    conditioning, seed=prediction.seed, on_step=on_step, steps=prediction.steps or None
                )
            except ConditioningError as error:
                raise ConditioningError(f"{error}{observation.remark}") from error

        return PredictionJob(predict, prediction.camera, is_automatic=prediction.goal is None)

    def _wake(self) -> None:
        if self._node.context.ok():
            self._guard.trigger()

    def _drain(self) -> None:
        for event in self._worker.events():
            prediction = next(found for found in self._predictions if found.job is event.job)
            if isinstance(event, Progress):
                self._tell(prediction, event)
            elif event.rollout is None:
                assert event.error is not None
                self._fail(prediction, event.error)
            else:
                self._send(prediction, event.rollout)

    def _tell(self, prediction: _Prediction, progress: Progress) -> None:
        self._diagnostics.ok("prediction", f"step {progress.step} of {progress.total}")
        if prediction.goal is not None:
            remaining = duration_message(progress.time_remaining)
            prediction.goal.publish_feedback(
                PredictRollout.Feedback(step=progress.step, total=progress.total, time_remaining=remaining)
            )

    def _send(self, prediction: _Prediction, rollout: Rollout) -> None:
        try:
            summary = summary_message(
                rollout,
                prediction.header,
                sequence_id=str(uuid.uuid4()),
                pointmap_sequence_id=prediction.sequence_id,
                camera=prediction.camera,
            )
        except RolloutError as error:
            self._fail(prediction, error)
            return
        made, fit = rollout.provenance, rollout.fit
        reason = f"; {fit.reason}" if fit.reason else ""
        text = f"{made.computation_time:.2f} s, metric residual {fit.residual * 1000:.1f} mm{reason}"
        self._diagnostics.ok("prediction", text)
        self._diagnostics.ok("memory", f"at most {made.peak_memory_bytes / 1e6:.0f} MB on {made.device}")
        self._replace_waiting(prediction.camera)
        prediction.delivery = Delivery(
            rollout, summary, prediction.base_frame_id, lambda _: self._finish(prediction), prediction.T_points_base
        )
        self._outputs[prediction.camera].deliver(prediction.delivery)
        self._timer.reset()

    def _replace_waiting(self, camera: str) -> None:
        """Gives up what nobody asked for and what still waits for a slow consumer to take the rollout before it."""
        for older in [found for found in self._predictions if found.camera == camera and found.goal is None]:
            if older.delivery is not None and not older.delivery.has_begun:
                self._outputs[camera].withdraw(older.delivery)
                self._fail(older, CanceledError("a newer prediction came before its frames could be published"))

    def _deliver(self) -> None:
        for output in self._outputs.values():
            output.step()
        if all(output.is_idle for output in self._outputs.values()):
            self._timer.cancel()

    def _finish(self, prediction: _Prediction) -> None:
        assert prediction.delivery is not None
        self._predictions.remove(prediction)
        if prediction.goal is not None:
            conclude(prediction.goal, prediction.delivery.summary)

    def _fail(self, prediction: _Prediction, error: BaseException) -> None:
        summary = failure(error, prediction.header, prediction.camera, prediction.sequence_id, prediction.seed)
        if prediction in self._predictions:
            self._predictions.remove(prediction)
        if summary.error_code == RolloutMessage.CANCELED:
            self._diagnostics.ok("prediction", summary.error_string)
        else:
            self._diagnostics.error("prediction", summary.error_string)
        if prediction.camera in self._outputs:
            self._outputs[prediction.camera].tell(summary)
        if prediction.goal is not None:
            conclude(prediction.goal, summary)


def conclude(goal: Any, summary: RolloutMessage) -> None:
    """Ends an action goal (rclpy's ServerGoalHandle) with a rollout's summary as its result."""

    def finish(handle: Any) -> PredictRollout.Result:
        if summary.error_code == RolloutMessage.NONE:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return PredictRollout.Result(sequence_id=summary.sequence_id, rollout=summary)

    goal.execute(finish)
