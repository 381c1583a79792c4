"""What an evaluation leaves behind: a line an episode and entrant, a summary, and tables for people."""

import csv
import json
import math
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from k4d_world_model.evaluation.differences import differences_of, gains, pooled_figure, pooled_gain, values_of
from k4d_world_model.evaluation.episode_record import EpisodeRecord
from k4d_world_model.evaluation.evaluate import Evaluation
from k4d_world_model.evaluation.figure import Figure
from k4d_world_model.evaluation.pixel_figures import FIGURES, finite_or_none
from k4d_world_model.evaluation.scores import mean_with_interval
from k4d_world_model.evaluation.set_figures import SetFigures
from k4d_world_model.evaluation.tables import markdown_report

CSV_NAME, JSON_NAME, TABLE_NAME = "metrics.csv", "summary.json", "table.md"


def write_report(folder: Path, evaluation: Evaluation) -> str:
    """The tables as Markdown; writes metrics.csv, summary.json and table.md into the folder, which must exist."""
    judged = SetFigures(evaluation)
    tables = markdown_report(evaluation, judged)
    _write_csv(folder / CSV_NAME, evaluation)
    summary = _summary(folder, evaluation, judged)
    (folder / JSON_NAME).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    (folder / TABLE_NAME).write_text(tables)
    return tables


def figure_names(evaluation: Evaluation) -> list[str]:
    """The names of all figures that any record has, in their order."""
    records = [record for name in evaluation.entrants for record in evaluation.records[name]]
    return list(dict.fromkeys(named.name for record in records for named in record.figures))


def _write_csv(path: Path, evaluation: Evaluation) -> None:
    names = figure_names(evaluation)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["episode", "domain", "source", "task", "variant", "success", "seed", "model", *names, "changed_pixels"]
            + ["seconds", "peak_memory_bytes", "invalid"]
        )
        for k in range(len(evaluation.truth)):
            for record in [evaluation.records[name][k] for name in evaluation.entrants]:
                writer.writerow(_row(record, names))


def _row(record: EpisodeRecord, names: Sequence[str]) -> list[object]:
    """A line of the CSV; empty where there is no figure, whose reason the episode's record has."""
    info, metrics = record.episode, record.metrics
    known = [info.episode_id, record.domain, info.source, info.task, info.variant, info.success, info.seed]
    figures = [_text(record.figure(name), ".6g") for name in names]
    changed = "" if metrics is None else metrics.rgb_changed.count // 3
    took = [_text(record.seconds, ".3f"), _text(record.peak_memory_bytes, ".0f")]
    return [*known, record.entrant, *figures, changed, *took, record.invalid]


def _summary(out: Path, evaluation: Evaluation, judged: SetFigures) -> dict[str, Any]:
    names = figure_names(evaluation)
    folders = {name: os.path.relpath(evaluation.folders[name].resolve(), out.resolve()) for name in evaluation.folders}
    kinds = Counter(outcome.kind for outcome in evaluation.outcomes)
    done = len(evaluation.truth)
    return {
        "protocol_sha256": evaluation.protocol_sha256,
        "data_sha256": evaluation.data_sha256,
        "episodes": done,
        "scored": [record.episode.episode_id for record in evaluation.truth],
        "chunks": {"of": done * len(evaluation.entrants), "episodes_kept_from_before": kinds["kept"]},
        **{
            kind: [{"episode": o.episode_id, "reason": o.reason} for o in evaluation.outcomes if o.kind == kind]
            for kind in ("rejected", "failed")
        },
        "models": [_entrant(evaluation, name, folders[name], names, judged) for name in evaluation.entrants],
        "truth": {name: _interval(values_of(evaluation.truth, name)) for name in names if name.endswith("_temp")},
        "differences": [
            {
                "model": one,
                "minus": other,
                "pooled": {name: finite_or_none(pooled_gain(ones, others, name)) for name in names if name in FIGURES},
                "mean": {name: _interval(gains(ones, others, name)) for name in names},
            }
            for one, other in differences_of(evaluation)
            for ones, others in [(evaluation.records[one], evaluation.records[other])]
        ],
        "protocol": evaluation.protocol,
    }


def _entrant(
    evaluation: Evaluation, name: str, folder: str, names: Sequence[str], judged: SetFigures
) -> dict[str, Any]:
    records = evaluation.records[name]
    seconds = [record.seconds.value for record in records if record.seconds.value is not None]
    memory = [record.peak_memory_bytes.value for record in records if record.peak_memory_bytes.value is not None]
    return {
        "name": name,
        "folder": folder,
        "weights_sha256": records[0].weights_sha256,
        "invalid": [{"episode": r.episode.episode_id, "reason": r.invalid} for r in records if r.invalid],
        "pooled": {figure: finite_or_none(pooled_figure(records, figure)) for figure in names},
        "mean": {
            figure: {**_interval(values_of(records, figure)), "without": _reasons(records, figure)} for figure in names
        },
        "sets": {figure: _set_figure(judged, figure, records, evaluation.truth) for figure in SetFigures.NAMES},
        "rollout_s": statistics.median(seconds) if seconds else None,
        "peak_memory_bytes": max(memory) if memory else None,
    }


def _set_figure(
    judged: SetFigures, name: str, records: Sequence[EpisodeRecord], truth: Sequence[EpisodeRecord]
) -> object:
    figure = judged.figure(name, records, truth)
    if figure.value is None:
        return figure.reason
    return {"value": figure.value, "samples": judged.samples(name, records)}


def _reasons(records: Sequence[EpisodeRecord], name: str) -> dict[str, int]:
    """Why records have no such figure or an infinite one, and how many."""
    figures = [record.figure(name) for record in records]
    return dict(Counter(f.reason or "infinite" for f in figures if not math.isfinite(f.number)))


def _text(figure: Figure, form: str) -> str:
    return "" if figure.value is None else format(figure.value, form)


def _interval(values: list[float]) -> dict[str, float | None]:
    return {key: finite_or_none(value) for key, value in asdict(mean_with_interval(values)).items()}
