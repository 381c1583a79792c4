"""Who takes part in an evaluation: world models, and predictions that somebody left as files."""

from pathlib import Path
from typing import Literal, Protocol

from k4d_kinematics import Camera, ConfiguredRobot
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import EvaluationError
from k4d_world_model.evaluation.fitted_episode import shortened
from k4d_world_model.evaluation.foreign_predictions import ForeignPredictions
from k4d_world_model.evaluation.held_out import conditioning_with_robot
from k4d_world_model.evaluation.model_identity import LatentCodec, codec_of, model_sha256
from k4d_world_model.evaluation.prediction import Prediction
from k4d_world_model.fitting import fitted
from k4d_world_model.frozen_world import FrozenWorld
from k4d_world_model.world_model import WorldModel, open_world_model
from k4d_world_model.world_model_config import WorldModelConfig

FROZEN_WORLD: Literal["frozen_world"] = "frozen_world"


class Entrant(Protocol):
    """Predicts an episode, or did."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def weights_sha256(self) -> str:
        """Hash of its weights, empty where it has or tells none."""

    @property
    def codec(self) -> LatentCodec | None:
        """What encodes its pictures and the truth's for the latent distance: its own, or one that it was lent."""

    def identity(self, episode_id: str) -> str:
        """A hash of all that its prediction of an episode depends on, besides the protocol."""

    def predict(self, episode: Episode, robot: ConfiguredRobot, seed: int, frames: int, camera: Camera) -> Prediction:
        """Its prediction, scored at ``frames`` frames of the size of ``camera``. Raises WorldModelError and
        KinematicsError with the reason why there is none."""


class ModelEntrant:
    """A world model, known by ``sha256``. It predicts at its own size and number of frames."""

    def __init__(self, model: WorldModel, sha256: str, codec: LatentCodec | None = None) -> None:
        self.model = model
        self.codec = codec
        self._sha256 = sha256

    @property
    def name(self) -> str:
        """The configuration's."""
        return self.model.config.name

    @property
    def weights_sha256(self) -> str:
        """See ``WorldModel``."""
        return self.model.weights_sha256

    def identity(self, episode_id: str) -> str:
        """See ``model_sha256``; the same of every episode."""
        return self._sha256

    def predict(self, episode: Episode, robot: ConfiguredRobot, seed: int, frames: int, camera: Camera) -> Prediction:
        """See ``Entrant``."""
        count, height, width = self.model.frame_shape
        start = conditioning_with_robot(shortened(episode, count), robot)
        rollout = self.model.predict(fitted(start, height, width), seed=seed)
        return Prediction.of_rollout(rollout).fitted(frames, camera, self.name)


class FilesEntrant:
    """A folder of predictions."""

    weights_sha256 = ""

    def __init__(self, files: ForeignPredictions, codec: LatentCodec | None = None) -> None:
        self.codec = codec
        self._files = files

    @property
    def name(self) -> str:
        """The folder's."""
        return self._files.name

    def identity(self, episode_id: str) -> str:
        """Of the episode's files."""
        return self._files.identity(episode_id)

    def predict(self, episode: Episode, robot: ConfiguredRobot, seed: int, frames: int, camera: Camera) -> Prediction:
        """See ``Entrant``."""
        episode_id = episode.info.episode_id
        return self._files.read(episode_id).fitted(frames, camera, f"{self.name}/{episode_id}")


def open_entrants(
    models: tuple[Path, ...], predictions: tuple[Path, ...], size: tuple[int, int, int] | None, device: str | None
) -> tuple[Entrant, ...]:
    """The models, then the predictions, and the frozen world last unless it is among the models.

    The frozen world predicts at the first model's size, or at ``size`` where there is no model. Who has no codec is
    lent that of the first model with one. Raises EvaluationError when two have one name or one has a reserved name,
    and what opening raises.
    """
    opened = [open_world_model(path, device=device) for path in models]
    codecs = [codec_of(model, path.parent) for model, path in zip(opened, models, strict=True)]
    lent = next((codec for codec in codecs if codec is not None), None)
    entrants: list[Entrant] = [
        ModelEntrant(model, model_sha256(model, path.parent), codec or lent)
        for model, path, codec in zip(opened, models, codecs, strict=True)
    ]
    entrants += [FilesEntrant(ForeignPredictions(folder), lent) for folder in predictions]
    names = [entrant.name for entrant in entrants]
    has_baseline = any(model.config.name == model.config.model == FROZEN_WORLD for model in opened)
    reserved = {"truth"} if has_baseline else {"truth", FROZEN_WORLD}
    if len(set(names)) < len(names) or reserved & set(names):
        raise EvaluationError(
            f"each must have a name of its own, other than {' and '.join(sorted(reserved))}, got {', '.join(names)}"
        )
    if not has_baseline:
        frames, height, width = opened[0].frame_shape if opened else size or (0, 0, 0)
        baseline = FrozenWorld(WorldModelConfig(FROZEN_WORLD, FROZEN_WORLD, frames=frames, height=height, width=width))
        entrants.append(ModelEntrant(baseline, model_sha256(baseline, Path()), lent))
    return tuple(entrants)
