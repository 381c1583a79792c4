"""Several evaluations as one, where they are of one protocol and one truth."""

import json
from pathlib import Path

from k4d_world_model.content_hash import content_hash
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.errors import EvaluationError
from k4d_world_model.evaluation.episode_record import TRUTH, EpisodeRecord
from k4d_world_model.evaluation.evaluate import Evaluation, records_of
from k4d_world_model.evaluation.protocol import check_same
from k4d_world_model.evaluation.report import JSON_NAME


def read_evaluation(out: Path) -> Evaluation:
    """The finished evaluation of a folder. Raises EvaluationError naming a file that is missing, damaged or changed.

    Folders of records are relative to that of their summary, so that reports may be moved together.
    """
    path = out / JSON_NAME
    try:
        summary = json.loads(path.read_text())
        names = tuple(str(model["name"]) for model in summary["models"])
        folders = {str(model["name"]): out / str(model["folder"]) for model in summary["models"]}
        episodes = [str(episode) for episode in summary["scored"]]
        outcomes = tuple(
            Outcome(str(entry["episode"]), kind, str(entry["reason"]))
            for kind in ("rejected", "failed") for entry in summary[kind]
        )  # fmt: skip
        protocol, hashes = dict(summary["protocol"]), (summary["protocol_sha256"], summary["data_sha256"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise EvaluationError(f"{path}: is no summary of an evaluation: {error}") from error
    folders[TRUTH] = folders[names[0]]
    records = records_of(folders, episodes, content_hash(protocol))
    truth = records.pop(TRUTH)
    scored = tuple(Outcome(episode, "kept") for episode in episodes)
    evaluation = Evaluation(protocol, names, records, truth, folders, (*scored, *outcomes))
    if (evaluation.protocol_sha256, evaluation.data_sha256) != hashes:
        raise EvaluationError(f"{out}: its records or its protocol are not those that {path.name} was written with")
    return evaluation


def joined(evaluations: list[Evaluation]) -> Evaluation:
    """All entrants of several evaluations; one that is in several comes once, with the codec of the first.

    Raises EvaluationError when protocols differ, naming how, when the truths differ, or when two entrants have one
    name.
    """
    first, *others = evaluations
    entrants, records, folders = list(first.entrants), dict(first.records), dict(first.folders)
    for other in others:
        check_same(first.protocol, other.protocol, "they cannot be joined")
        if first.data_sha256 != other.data_sha256:
            raise EvaluationError(
                f"they cannot be joined: what really happened is not the same in both (data {first.data_sha256} and "
                f"{other.data_sha256})"
            )
        for name in other.entrants:
            if name not in records:
                entrants.append(name)
                records[name], folders[name] = _ordered(other.records[name], first.truth), other.folders[name]
            elif _identities(records[name]) != _identities(_ordered(other.records[name], first.truth)):
                raise EvaluationError(f"they cannot be joined: two different entrants are called {name!r}")
    return Evaluation(first.protocol, tuple(entrants), records, first.truth, folders, first.outcomes)


def _ordered(records: tuple[EpisodeRecord, ...], truth: tuple[EpisodeRecord, ...]) -> tuple[EpisodeRecord, ...]:
    """The records in the order of the truth's, which is that of the sources."""
    by_id = {record.episode.episode_id: record for record in records}
    return tuple(by_id[record.episode.episode_id] for record in truth)


def _identities(records: tuple[EpisodeRecord, ...]) -> list[tuple[str, str]]:
    return [(record.episode.episode_id, record.identity) for record in records]
