"""The honest baseline: nothing but the robot moves."""

from dataclasses import replace

import torch

from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import WorldModelError
from k4d_world_model.prediction import Measurement, check_visible, installed_versions, rollout_of
from k4d_world_model.preparation import prepare
from k4d_world_model.rollout import Provenance, Rollout
from k4d_world_model.wan.architecture import Architecture, CodecSize, RobotTokenSize, TransformerSize
from k4d_world_model.wan.prior import frozen_world
from k4d_world_model.world_model import OnStep
from k4d_world_model.world_model_config import WorldModelConfig

CPU = torch.device("cpu")


class FrozenWorld:
    """The first frame with the robot taken out, the hole in-painted, and the rendered robot moved over it.

    It reads what the small model reads, the first frame's measured points included, and is what that model starts from.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        self._config = config
        self._architecture = Architecture(
            config.frames,
            config.height,
            config.width,
            first_frame_geometry="measured",
            normalization="robot",
            robot_pictures="rendered",
            prior="frozen_world",
            # Any size divides into cells of one pixel.
            codec=CodecSize("pixels", spatial=1, temporal=1, latent_channels=3),
            transformer=TransformerSize(patch_size=(1, 1, 1), image_dim=0),
            robot_tokens=RobotTokenSize(patch=1),
        )

    @property
    def config(self) -> WorldModelConfig:
        """See ``WorldModel``."""
        return self._config

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """See ``WorldModel``."""
        return self._config.frames, self._config.height, self._config.width

    @property
    def weights_sha256(self) -> str:
        """Empty: there are none."""
        return ""

    def predict(
        self, conditioning: Conditioning, *, seed: int, on_step: OnStep | None = None, steps: int | None = None
    ) -> Rollout:
        """See ``WorldModel``. It is done in one step and draws nothing: ``seed`` is recorded, other ``steps`` refused.

        Raises ConditioningError without ``first_points`` and ``robot_rgb``, RobotNotVisibleError, PredictionError.
        """
        if steps not in (None, 1):
            raise WorldModelError(f"{self._config.name} takes 1 step, got {steps}")
        on_step = on_step or (lambda step, total: None)
        on_step(0, 1)
        with Measurement(CPU) as measured:
            check_visible(conditioning)
            inputs, normalization = prepare(conditioning, self._architecture)
            rgb, points = frozen_world(inputs)
        on_step(1, 1)
        provenance = Provenance(
            model_name=self._config.name,
            weights_sha256=self.weights_sha256,
            robot_sha256=conditioning.robot_sha256,
            seed=seed,
            steps=1,
            guidance="none",
            device=str(CPU),
            computation_time=measured.seconds,
            peak_memory_bytes=measured.peak_memory_bytes,
            versions=installed_versions(),
        )
        return rollout_of(rgb[0], points[0], normalization, conditioning, provenance)

    def with_frames(self, frames: int) -> "FrozenWorld":
        """See ``WorldModel``; any number of at least 1 will do."""
        return FrozenWorld(replace(self._config, frames=frames))

    def close(self) -> None:
        """See ``WorldModel``; it holds nothing."""
