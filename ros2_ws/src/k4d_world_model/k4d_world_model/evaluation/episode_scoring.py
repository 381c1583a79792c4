"""The work on one episode: predict it with every entrant that has no record of it yet, and score the predictions."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from k4d_kinematics import configured_robot
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.pictures import write_png
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.dataset.episode import EpisodeInfo
from k4d_world_model.errors import EvaluationError, OutOfMemoryError, RejectedEpisodeError, WorldModelError
from k4d_world_model.evaluation.entrants import Entrant, ModelEntrant, open_entrants
from k4d_world_model.evaluation.episode_record import TRUTH, EpisodeRecord, read_record, record_path, write_record
from k4d_world_model.evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.evaluation.fitted_episode import fitted_episode, shortened
from k4d_world_model.evaluation.held_out import HeldOut, of_source, of_split
from k4d_world_model.evaluation.judges import Judges
from k4d_world_model.evaluation.latent_distances import LatentDistances
from k4d_world_model.evaluation.pixel_figures import figures_of, structural_figures, truths_own_figures
from k4d_world_model.evaluation.prediction import Prediction
from k4d_world_model.evaluation.rollout_metrics import compare
from k4d_world_model.evaluation.sheet import comparison_sheet
from k4d_world_model.evaluation.truth import Truth, truth_of

SHEETS = "sheets"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoringTask:
    """What a worker on any machine needs to score one episode. ``drawn`` asks for a contact sheet."""

    settings: EvaluationSettings
    protocol_sha256: str
    domain: str
    episode_id: str
    drawn: bool


@dataclass(frozen=True, eq=False)
class Bench:
    """What is opened once a process: entrants, episodes by domain, judging networks, and what is read and scored.

    Raises EvaluationError when a model's frames are not among those that are read, or those that are scored not among
    a model's.
    """

    entrants: tuple[Entrant, ...]
    domains: dict[str, HeldOut]
    judges: Judges
    read_frames: int
    size: tuple[int, int, int]


@lru_cache(maxsize=1)
def open_bench(settings: EvaluationSettings) -> Bench:
    """The bench of an evaluation. Raises WorldModelError and KinematicsError on what cannot be opened."""
    entrants = open_entrants(settings.models, settings.predictions, settings.size, settings.device)
    shapes = [entrant.model.frame_shape for entrant in entrants if isinstance(entrant, ModelEntrant)]
    fewest = min(frames for frames, _, _ in shapes)
    frames, height, width = settings.size or (fewest, *shapes[0][1:])
    read_frames = max(frames, *(count for count, _, _ in shapes))
    for count, tall, wide in shapes:
        if count < 2 or (read_frames - 1) % (count - 1) or (count - 1) % (frames - 1) or tall * width != wide * height:
            raise EvaluationError(
                f"a model of {count} frames of {tall} x {wide} px cannot be scored at {frames} frames of {height} x "
                f"{width} px, read from {read_frames}: intervals must divide, and pictures be of one shape"
            )
    domains = {path.stem: of_source(path, read_frames, settings.cache) for path in settings.sources}
    if settings.data:
        robot = configured_robot(settings.robot, settings.cache)
        domains |= {root.name: of_split(root, settings.split, robot) for root in settings.data}
    first = {name: part.first(settings.episodes) for name, part in domains.items()}
    return Bench(entrants, first, Judges(settings.judges), read_frames, (frames, height, width))


def score_episode(task: ScoringTask) -> Outcome:
    """What became of the episode: "kept" when all its records were there, "written", or why there are none.

    Raises nothing: this is the edge of a worker, where any error is a reason.
    """
    try:
        return _score(task, open_bench(task.settings))
    except RejectedEpisodeError as error:
        return Outcome(task.episode_id, "rejected", str(error))
    except Exception as error:
        _logger.exception("episode %s", task.episode_id)
        return Outcome(task.episode_id, "failed", f"{type(error).__name__}: {error}")


def _score(task: ScoringTask, bench: Bench) -> Outcome:
    """Writes what is missing. Where the machine failed an entrant, which says nothing about it, there is no record, so
    that the same command tries again."""
    pending = [entrant for entrant in bench.entrants if not _is_done(task, entrant.name, entrant)]
    if not pending and _is_done(task, TRUTH, None):
        return Outcome(task.episode_id, "kept")
    held_out = bench.domains[task.domain]
    frames, height, width = bench.size
    episode = shortened(held_out.read(task.episode_id), bench.read_frames)
    scored = fitted_episode(shortened(episode, frames), height, width)
    truth, camera = truth_of(scored), scored.camera
    if camera is None:
        raise RejectedEpisodeError("it has no camera")
    predictions: list[tuple[Entrant, Prediction]] = []
    machine_failure: Exception | None = None
    for entrant in pending:
        try:
            prediction = entrant.predict(episode, held_out.robot, task.settings.seed, frames, camera)
        except (OutOfMemoryError, MemoryError, OSError) as error:
            machine_failure = error
            continue
        except (WorldModelError, KinematicsError) as error:
            reason = f"{type(error).__name__}: {error}"
            write_record(task.settings.out, replace(_record(task, entrant, episode.info, truth), invalid=reason), {})
            continue
        predictions.append((entrant, prediction))
        if task.drawn:
            _draw(task, entrant, truth, prediction)
    _write_records(task, bench, episode.info, truth, predictions)
    if machine_failure is not None:
        raise machine_failure
    return Outcome(task.episode_id, "written")


def _draw(task: ScoringTask, entrant: Entrant, truth: Truth, prediction: Prediction) -> None:
    path = task.settings.out / SHEETS / task.episode_id / f"{entrant.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, comparison_sheet(truth, [prediction], names=[entrant.name]))


def _write_records(
    task: ScoringTask,
    bench: Bench,
    info: EpisodeInfo,
    truth: Truth,
    predictions: Sequence[tuple[Entrant, Prediction]],
) -> None:
    settings = task.settings
    of_truth, *judgements = bench.judges.judge(truth.rgb, [prediction.rgb for _, prediction in predictions])
    latents = LatentDistances(truth.rgb)
    for (entrant, prediction), judgement in zip(predictions, judgements, strict=True):
        metrics = compare(prediction, truth)
        figures = figures_of(metrics) + structural_figures(prediction, truth, cloud_sample=settings.cloud_sample)
        figures += [*judgement.figures, *latents.figures(entrant.codec, prediction.rgb)]
        record = replace(
            _record(task, entrant, info, truth), metrics=metrics, figures=tuple(figures), seconds=prediction.seconds,
            peak_memory_bytes=prediction.peak_memory_bytes,
        )  # fmt: skip
        write_record(settings.out, record, judgement.features)
    own = tuple(truths_own_figures(truth, cloud_sample=settings.cloud_sample))
    write_record(settings.out, replace(_record(task, None, info, truth), figures=own), of_truth.features)


def _record(task: ScoringTask, entrant: Entrant | None, info: EpisodeInfo, truth: Truth) -> EpisodeRecord:
    return EpisodeRecord(
        entrant=TRUTH if entrant is None else entrant.name,
        identity="" if entrant is None else entrant.identity(task.episode_id),
        codec_sha256=_codec_sha256(entrant),
        weights_sha256="" if entrant is None else entrant.weights_sha256,
        protocol_sha256=task.protocol_sha256,
        domain=task.domain,
        episode=info,
        truth_sha256=_truth_sha256(truth),
    )


def _codec_sha256(entrant: Entrant | None) -> str:
    return "" if entrant is None or entrant.codec is None else entrant.codec.sha256


def _truth_sha256(truth: Truth) -> str:
    digest = hashlib.sha256()
    for array in (truth.rgb, truth.points, truth.robot_points, truth.robot_mask):
        digest.update(array.tobytes())
    return digest.hexdigest()


def _is_done(task: ScoringTask, name: str, entrant: Entrant | None) -> bool:
    """Whether a sound record of the same protocol, model or files, and codec is there."""
    path = record_path(task.settings.out, name, task.episode_id)
    if not path.exists():
        return False
    record = read_record(path)
    identity = "" if entrant is None else entrant.identity(task.episode_id)
    now = (task.protocol_sha256, identity, _codec_sha256(entrant))
    return (record.protocol_sha256, record.identity, record.codec_sha256) == now
