"""Evaluations from settings to records: every episode on its own, resumable at any moment."""

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from k4d_world_model.content_hash import content_hash
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.dataset.building.manifest import Value
from k4d_world_model.dataset.building.ray_workers import run_on_ray
from k4d_world_model.errors import EvaluationError
from k4d_world_model.evaluation.episode_record import TRUTH, EpisodeRecord, check_of_truth, read_record, record_path
from k4d_world_model.evaluation.episode_scoring import Bench, ScoringTask, open_bench, score_episode
from k4d_world_model.evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.evaluation.protocol import check_same, protocol_of
from k4d_world_model.whole_files import write_whole

PROTOCOL_NAME = "protocol.json"
Watch = Callable[[Iterator[Outcome], int], Iterable[Outcome]]


@dataclass(frozen=True)
class Evaluation:
    """Records of one protocol: of every entrant, in order, those of the episodes in order; and the truth's own.

    protocol: see ``protocol_of``. weights: the judging networks'. folders: where each entrant's records lie.
    outcomes: of all episodes, scored or not. A record is a chunk: one file, done or not.
    """

    protocol: dict[str, Value]
    entrants: tuple[str, ...]
    records: dict[str, tuple[EpisodeRecord, ...]]
    truth: tuple[EpisodeRecord, ...]
    folders: dict[str, Path]
    outcomes: tuple[Outcome, ...]

    @property
    def protocol_sha256(self) -> str:
        """Of the settings."""
        return content_hash(self.protocol)

    @property
    def data_sha256(self) -> str:
        """Of what the truth really held, episode by episode."""
        return content_hash({record.episode.episode_id: record.truth_sha256 for record in self.truth})


def unwatched(outcomes: Iterator[Outcome], total: int) -> Iterable[Outcome]:
    """The outcomes as they come."""
    return outcomes


def evaluate(settings: EvaluationSettings, *, ray: str = "", watch: Watch = unwatched) -> Evaluation:
    """What all entrants achieved; records that are in ``settings.out`` already are kept, so a killed run goes on.

    ``ray`` is a cluster's address or "local" for one on all cores of this machine; without it all is done here.
    ``watch`` is handed the episodes' outcomes as they end, and their number, and passes them on. Raises EvaluationError
    when ``out`` was begun with another protocol, which it names, a record there is of another truth, or no episode was
    scored, and what opening raises.
    """
    settings = _resolved(settings)
    bench = open_bench(settings)
    robots = {name: held_out.robot.robot.sha256 for name, held_out in bench.domains.items()}
    protocol = protocol_of(settings, bench.read_frames, bench.size, _episode_ids(bench), bench.judges.weights, robots)
    _begin(settings.out, protocol)
    tasks = [
        ScoringTask(settings, content_hash(protocol), domain, episode_id, k < settings.sheets)
        for domain, held_out in bench.domains.items()
        for k, episode_id in enumerate(held_out.episode_ids)
    ]
    with closing(_outcomes(tasks, ray)) as running:
        by_id = {outcome.episode_id: outcome for outcome in watch(running, len(tasks))}
    outcomes = tuple(by_id[task.episode_id] for task in tasks)
    done = [outcome.episode_id for outcome in outcomes if outcome.kind in ("kept", "written")]
    if not done:
        raise EvaluationError(f"no episode could be scored: {_reasons(outcomes)}")
    entrants = tuple(entrant.name for entrant in bench.entrants)
    folders = dict.fromkeys((*entrants, TRUTH), settings.out)
    records = records_of(folders, done, content_hash(protocol))
    truth = records.pop(TRUTH)
    return Evaluation(protocol, entrants, records, truth, folders, outcomes)


def records_of(
    folders: Mapping[str, Path], episode_ids: Sequence[str], protocol_sha256: str
) -> dict[str, tuple[EpisodeRecord, ...]]:
    """The records of every entrant that has a folder, the truth among them, in the order of the episodes.

    Raises EvaluationError naming one that is missing or damaged, of another protocol, or of another truth than the
    truth's own record.
    """
    paths = {name: [record_path(folder, name, one) for one in episode_ids] for name, folder in folders.items()}
    records = {name: tuple(read_record(path) for path in of_one) for name, of_one in paths.items()}
    for name, of_one in paths.items():
        for path, record, truth in zip(of_one, records[name], records[TRUTH], strict=True):
            check_of_truth(path, record, truth, protocol_sha256)
    return records


def _resolved(settings: EvaluationSettings) -> EvaluationSettings:
    """The settings with absolute paths, as workers elsewhere need them."""
    judges = settings.judges
    return replace(
        settings,
        out=settings.out.resolve(),
        sources=tuple(path.resolve() for path in settings.sources),
        data=tuple(path.resolve() for path in settings.data),
        robot=settings.robot.resolve(),
        models=tuple(path.resolve() for path in settings.models),
        predictions=tuple(path.resolve() for path in settings.predictions),
        cache=None if settings.cache is None else settings.cache.resolve(),
        judges=replace(
            judges,
            lpips=tuple(path.resolve() for path in judges.lpips),
            inception=None if judges.inception is None else judges.inception.resolve(),
            i3d=None if judges.i3d is None else judges.i3d.resolve(),
        ),
    )


def _episode_ids(bench: Bench) -> list[str]:
    ids = [episode_id for held_out in bench.domains.values() for episode_id in held_out.episode_ids]
    twice = sorted({episode_id for episode_id in ids if ids.count(episode_id) > 1})
    if twice:
        raise EvaluationError(f"several domains have episodes of one name: {', '.join(twice[:5])}")
    return ids


def _begin(out: Path, protocol: dict[str, Value]) -> None:
    path = out / PROTOCOL_NAME
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise EvaluationError(f"{path}: cannot be read as JSON: {error}") from error
        check_same(before, protocol, f"{out} was begun otherwise, choose another folder")
        return
    write_whole(path, (json.dumps(protocol, indent=1, sort_keys=True) + "\n").encode())


def _outcomes(tasks: Sequence[ScoringTask], ray: str) -> Generator[Outcome]:
    if ray:
        return run_on_ray(score_episode, tasks, ray, len(os.sched_getaffinity(0)))
    return (score_episode(task) for task in tasks)


def _reasons(outcomes: Iterable[Outcome]) -> str:
    return "; ".join(f"{outcome.episode_id}: {outcome.reason}" for outcome in list(outcomes)[:5])
