"""k4d_prediction_node: pictures and a plan's robot pointmaps in; predicted pictures and metric points out."""

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from k4d_msgs.action import PredictRollout
from rclpy.action import ActionServer, CancelResponse
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_msgs.msg import Header

from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.parameters import declare_parameters
from k4d_kinematics.ros.running import run_node
from k4d_world_model.errors import ModelUnavailableError, WorldModelError
from k4d_world_model.ros.camera_inputs import CameraInputs
from k4d_world_model.ros.prediction_config import PredictionNodeConfig
from k4d_world_model.ros.prediction_stream import PredictionStream, conclude
from k4d_world_model.ros.rollout_messages import failure
from k4d_world_model.ros.rollout_output import RolloutOutput
from k4d_world_model.world_model import WorldModel, open_world_model

OpenModel = Callable[[Path, str | None], WorldModel]
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def _open(path: Path, device: str | None) -> WorldModel:
    return open_world_model(path, device=device)


class PredictionNode(LifecycleNode):
    """Configured it holds a model, active it listens and predicts; what goes wrong becomes a goal's result."""

    def __init__(self, open_model: OpenModel = _open, **kwargs: Any) -> None:
        super().__init__("k4d_prediction_node", **kwargs)
        self.config = declare_parameters(self, PredictionNodeConfig)
        self.diagnostics = Diagnostics(self)
        self._open_model = open_model
        self._model: WorldModel | None = None
        self._inputs: dict[str, CameraInputs] = {}
        self._stream: PredictionStream | None = None
        self._obstacle = "the node has not been configured"
        self.diagnostics.waiting("model", self._obstacle)
        # Loading takes seconds to minutes: before anything is advertised, so that no goal has to wait for it.
        is_configured = self.config.autostart and self.trigger_configure() == _SUCCESS
        points_frame, patience = self.config.points_frame, self.config.frame_patience
        self._outputs = {
            name: RolloutOutput(self, name, self.diagnostics, points_frame=points_frame, patience=patience)
            for name in self.config.cameras
        }
        self._actions = ActionServer(
            self,
            PredictRollout,
            "predict_rollout",
            execute_callback=lambda _: PredictRollout.Result(),
            handle_accepted_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )
        if is_configured:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the model; fails, with the reason in the diagnostics, when that is not possible."""
        try:
            if not self.config.model:
                raise ModelUnavailableError("model must be the path of a YAML as in config/world_models, got ''")
            self._model = self._open_model(Path(self.config.model), self.config.device or None)
        except (ValueError, OSError, RuntimeError, MemoryError, ImportError) as error:
            known = isinstance(error, WorldModelError | KinematicsError)
            self._obstacle = str(error) if known else f"{type(error).__name__}: {error}"
            self.diagnostics.error("model", self._obstacle)
            return _FAILURE
        count, height, width = self._model.frame_shape
        config = self._model.config
        device = self.config.device or config.runtime.device
        weights = f"weights {self._model.weights_sha256[:12]}" if self._model.weights_sha256 else "no weights"
        self.diagnostics.ok("model", f"{config.name} on {device}, {count} x {height} x {width}, {weights}")
        self.diagnostics.ok("memory", f"{_resident_mb():.0f} MB of this process at most")
        self._obstacle = "the node is not active"
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begins to listen."""
        assert self._model is not None
        self._inputs.update(
            (name, CameraInputs(self, name, self.config, self.diagnostics, self._on_plan))
            for name in self.config.cameras
        )
        self._stream = PredictionStream(self, self._model, self._inputs, self._outputs, self.diagnostics)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends what is being predicted, within one step, and forgets all inputs; the model stays loaded."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Frees the model."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends everything, from whatever state."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def _stop(self) -> None:
        if self._stream is not None:
            self._stream.close()
        for inputs in self._inputs.values():
            inputs.close()
        self._inputs.clear()
        self._stream = None

    def _free(self) -> None:
        if self._model is not None:
            self._model.close()
            self.diagnostics.waiting("model", "its memory was freed")
        self._model, self._obstacle = None, "the node has been cleaned up"

    def _on_goal(self, goal: Any) -> None:
        if self._stream is not None:
            self._stream.accept(goal)
            return
        error = ModelUnavailableError(f"there is no model to predict with: {self._obstacle}")
        conclude(goal, failure(error, Header(), goal.request.camera, goal.request.sequence_id, goal.request.seed))

    def _on_cancel(self, goal: Any) -> CancelResponse:
        if self._stream is not None:
            self._stream.cancel(goal)
        return CancelResponse.ACCEPT

    def _on_plan(self, camera: str) -> None:
        if self.config.predict_automatically and self._stream is not None:
            self._stream.predict_automatically(camera, self.config.seed, self.config.steps)

    def close(self) -> None:
        """Ends a running prediction and frees the model."""
        self._stop()
        self._free()


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(PredictionNode, PredictionNodeConfig, __doc__, (KinematicsError, WorldModelError))
