"""What one entrant achieved on one episode, as a file of its own: a chunk of an evaluation."""

import hashlib
import json
import math
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dacite
import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.episode import EpisodeInfo, check_episode_id
from k4d_world_model.errors import EvaluationError
from k4d_world_model.evaluation.figure import NOT_PREDICTED, Figure, NamedFigure
from k4d_world_model.evaluation.rollout_metrics import RolloutMetrics

TRUTH = "truth"
_VERSION = 2
Features = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class EpisodeRecord:
    """The figures of ``entrant`` on an episode of ``domain``; with ``invalid`` the reason why it has none.

    identity: of all that the entrant's prediction depends on. codec_sha256: of what encoded it for the latent distance,
    empty where nothing did. protocol_sha256: of the evaluation. truth_sha256: of what it was compared with. metrics:
    errors that pool with other episodes'. features_sha256: of the file beside it with features for set figures, empty
    where there are none.
    """

    entrant: str
    identity: str
    codec_sha256: str
    weights_sha256: str
    protocol_sha256: str
    domain: str
    episode: EpisodeInfo
    truth_sha256: str
    invalid: str = ""
    metrics: RolloutMetrics | None = None
    figures: tuple[NamedFigure, ...] = ()
    seconds: Figure = NOT_PREDICTED
    peak_memory_bytes: Figure = NOT_PREDICTED
    features_sha256: str = ""

    def figure(self, name: str) -> Figure:
        """The figure of that name; none where the record has no such."""
        return next(
            (named.figure for named in self.figures if named.name == name),
            Figure(None, self.invalid or f"{self.entrant} has no {name}"),
        )


def record_path(out: Path, entrant: str, episode_id: str) -> Path:
    """Where an evaluation keeps a record. Raises EvaluationError on names that are no safe file names."""
    if not entrant or entrant != Path(entrant).name or entrant.startswith("."):
        raise EvaluationError(f"an entrant's name must be a safe file name, got {entrant!r}")
    return out / "episodes" / entrant / f"{check_episode_id(episode_id)}.json"


def write_record(out: Path, record: EpisodeRecord, features: Features) -> None:
    """Writes a record whole or not at all, its features before it."""
    path = record_path(out, record.entrant, record.episode.episode_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": _VERSION, **asdict(record), "features_sha256": ""}
    if features:
        staged = _staged(_features_path(path))
        with staged.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(features))
        content["features_sha256"] = hashlib.sha256(staged.read_bytes()).hexdigest()
        os.replace(staged, _features_path(path))
    staged = _staged(path)
    staged.write_text(json.dumps(_encoded(content), indent=1) + "\n")
    os.replace(staged, path)


def read_record(path: Path) -> EpisodeRecord:
    """The record of a file. Raises EvaluationError naming one that is damaged or of another version."""
    try:
        content = json.loads(path.read_text())
        if content.pop("version") != _VERSION:
            raise EvaluationError(f"{path}: is of another version than {_VERSION}")
        return dacite.from_dict(EpisodeRecord, _decoded(content), dacite.Config(strict=True, cast=[tuple, float]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, dacite.DaciteError) as error:
        if isinstance(error, EvaluationError):
            raise
        raise EvaluationError(f"{path}: cannot be read as a record: {error}") from error


def check_of_truth(path: Path, record: EpisodeRecord, truth: EpisodeRecord, protocol_sha256: str) -> None:
    """Raises EvaluationError naming the file of a record of another protocol or another truth than the episode's."""
    for what, found, expected in (
        ("protocol", record.protocol_sha256, protocol_sha256),
        ("truth", record.truth_sha256, truth.truth_sha256),
    ):
        if found != expected:
            raise EvaluationError(
                f"{path}: was scored against {what} {found}, which is {expected} now: figures of both cannot be "
                "compared; remove the file and evaluate again"
            )


def read_features(out: Path, record: EpisodeRecord) -> Features:
    """The features beside a record. Raises EvaluationError when the file is missing or is another one."""
    if not record.features_sha256:
        return {}
    path = _features_path(record_path(out, record.entrant, record.episode.episode_id))
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != record.features_sha256:
            raise EvaluationError(f"{path}: is not the file that its record was written with; remove both")
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except OSError as error:
        raise EvaluationError(f"{path}: {error}") from error


def _features_path(path: Path) -> Path:
    return path.with_suffix(".npz")


def _staged(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def _encoded(value: Any) -> Any:
    """The value for JSON, which has no infinity and no NaN: they become texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, dict):
        return {key: _encoded(part) for key, part in value.items()}
    return [_encoded(part) for part in value] if isinstance(value, list | tuple) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if set(value) == {"float"} else {key: _decoded(v) for key, v in value.items()}
    return [_decoded(part) for part in value] if isinstance(value, list) else value
