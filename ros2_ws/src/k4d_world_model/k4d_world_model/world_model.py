"""The seam of prediction: one protocol, and the one function that opens a model of it from its YAML file."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from k4d_kinematics import read_configuration
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.rollout import Rollout
from k4d_world_model.world_model_config import WorldModelConfig

# Called as on_step(step, total) before the first and after every step; may raise CanceledError to end the prediction.
OnStep = Callable[[int, int], None]


class WorldModel(Protocol):
    """Predicts what a camera will see."""

    @property
    def config(self) -> WorldModelConfig:
        """What it was opened from."""

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(T, H, W) of what it predicts."""

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights, empty for a model without any."""

    def predict(
        self, conditioning: Conditioning, *, seed: int, on_step: OnStep | None = None, steps: int | None = None
    ) -> Rollout:
        """The future of ``conditioning``, which must be of ``frame_shape``; see ``fitted``.

        The same inputs, weights, device and seed give the same rollout. ``steps`` replaces the configuration's own.
        Raises ConditioningError when the input does not fit the model, RobotNotVisibleError when there is too little
        robot, SamplingError for steps out of range, PredictionError when the model gives no numbers, OutOfMemoryError,
        and whatever ``on_step`` raises. Memory that the prediction took is free again afterwards in every case.
        """

    def with_frames(self, frames: int) -> "WorldModel":
        """The same model, weights shared, that predicts another number of frames; each is closed by itself.

        Raises ArchitectureError for a number that the model's cells do not divide.
        """

    def close(self) -> None:
        """Frees the model's memory; it cannot predict any more."""


def open_world_model(path: Path, *, device: str | None = None) -> WorldModel:
    """The world model of a YAML file as in config/world_models. ``device`` replaces the configuration's own.

    Raises ConfigurationError, CheckpointError, ArchitectureError, AccelerationError for switches that cannot be, and
    OutOfMemoryError before anything is allocated where the estimate does not fit the device.
    """
    config = read_configuration(path, WorldModelConfig)
    if config.model == "frozen_world":
        from k4d_world_model.frozen_world import FrozenWorld

        return FrozenWorld(config)
    from k4d_world_model.wan.model import WanWorldModel

    return WanWorldModel.open(config, path.parent, device=device)
