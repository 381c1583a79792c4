"""What is told of runs in truth and in prediction: JSON and CSV for programs, Markdown and videos for people."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from k4d_world_model.policy_evaluation.agreement_figures import (
    Confusion,
    Share,
    confusion,
    mean_maximum_rank_violation,
    pearson,
)
from k4d_world_model.policy_evaluation.disagreement_videos import write_disagreements
from k4d_world_model.policy_evaluation.evaluate_policies import PolicyEvaluation
from k4d_world_model.policy_evaluation.run_reasons import RunReason, run_reasons
from k4d_world_model.policy_evaluation.run_row import WORLDS, RunRow, paired
from k4d_world_model.whole_files import write_whole

# A failure that leaves the object this near to the target's middle, in metres, is a near miss: twice what is valid.
NEAR_MISS = 0.1


@dataclass(frozen=True)
class Cell:
    """One policy in one set-up. All but ``invalid`` and ``missing`` are of runs that are valid in both worlds.

    judge: the judge on the simulator's footage against its checker, the judge's own error. world: the judge on the
    predicted footage against the checker, what a user gets. model: the judge on the predicted footage against the judge
    on the simulator's, the world model's error. near_misses: how many runs were near misses, and how many of these
    were called successes in the prediction. chunks: mean number of action chunks of the predicted runs.
    """

    policy: str
    privileged: bool
    set_up: str
    truth: Share
    imagined: Share
    judge: Confusion
    world: Confusion
    model: Confusion
    near_misses: tuple[int, int]
    chunks: float
    invalid: tuple[int, int]
    missing: int


@dataclass(frozen=True)
class Agreement:
    """Over the policies of a set-up, or over all policies and set-ups: mean absolute difference, MMRV, Pearson."""

    set_up: str
    difference: float
    mmrv: float
    pearson: float


def cells(evaluation: PolicyEvaluation) -> list[Cell]:
    """The figures of every policy in every set-up, in the order in which they were asked for."""
    return [_cell(evaluation, set_up, policy) for set_up in evaluation.set_ups for policy in evaluation.policies]


def agreements(table: list[Cell]) -> list[Agreement]:
    """Of every set-up with two policies or more that have runs, and of all together."""
    known = [cell for cell in table if cell.truth.count]
    groups = {name: [cell for cell in known if cell.set_up == name] for name in dict.fromkeys(c.set_up for c in known)}
    found = []
    for name, group in [*groups.items(), ("all", known)]:
        truth, imagined = [cell.truth.share for cell in group], [cell.imagined.share for cell in group]
        if len(group) >= 2:
            difference = sum(abs(a - b) for a, b in zip(truth, imagined, strict=True)) / len(group)
            mmrv = mean_maximum_rank_violation(truth, imagined)
            found.append(Agreement(name, difference, mmrv, pearson(truth, imagined)))
    return found


def markdown_report(evaluation: PolicyEvaluation) -> str:
    """Tables for people."""
    table = cells(evaluation)
    head = f"Protocol {evaluation.protocol_hash}: {len(evaluation.rows)} of {evaluation.expected} runs.\n"
    lines = [
        head,
        "| set-up | policy | success in truth | imagined | difference | called success / failure wrongly | near misses "
        "called success | chunks | invalid (truth, imagined) | missing |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_cell_line(cell) for cell in table),
        "",
        "| set-up | mean absolute difference | MMRV | Pearson |",
        "|---|---|---|---|",
        *(
            f"| {one.set_up} | {one.difference:.3f} | {one.mmrv:.3f} | {_figure(one.pearson)} |"
            for one in agreements(table)
        ),
        "",
        "| compared | accuracy | success called success | failure called success | success called failure | "
        "failure called failure |",
        "|---|---|---|---|---|---|",
        _confusion_line("judge on true footage / checker", [cell.judge for cell in table]),
        _confusion_line("judge on predicted footage / checker", [cell.world for cell in table]),
        _confusion_line("judge on predicted footage / judge on true footage", [cell.model for cell in table]),
        "",
        f"| world | trouble | because | {' | '.join(evaluation.set_ups)} |",
        "|---|---|---|" + "---|" * len(evaluation.set_ups),
        *(_reason_line(one) for one in run_reasons(evaluation.rows, evaluation.set_ups)),
        "",
        *(f"* Not run: {state}: {reason}\n" for state, reason in evaluation.failed),
    ]
    return "\n".join(lines)


def write_report(out: Path, evaluation: PolicyEvaluation) -> None:
    """Writes runs.csv, summary.json, report.md and the videos of disagreements."""
    table = cells(evaluation)
    summary = {
        "protocol": evaluation.protocol_hash,
        "runs": len(evaluation.rows),
        "expected": evaluation.expected,
        "cells": [
            _without_nan(asdict(cell))
            | {"truth_interval": cell.truth.interval, "imagined_interval": cell.imagined.interval}
            for cell in table
        ],
        "agreement": [_without_nan(asdict(one)) for one in agreements(table)],
        "reasons": [asdict(one) for one in run_reasons(evaluation.rows, evaluation.set_ups)],
        "failed": evaluation.failed,
    }
    write_whole(out / "summary.json", json.dumps(summary, indent=1).encode())
    write_whole(out / "report.md", markdown_report(evaluation).encode())
    _write_csv(out / "runs.csv", evaluation.rows)
    write_disagreements(out, evaluation.rows)


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


def _cell(evaluation: PolicyEvaluation, set_up: str, policy: str) -> Cell:
    rows = [row for row in evaluation.rows if row.set_up == set_up and row.policy == policy]
    both = paired(rows)
    valid = [(true, seen) for true, seen in both if not true.invalid and not seen.invalid]
    truth, imagined = ([bool(pair[side].success) for pair in valid] for side in (0, 1))
    judged = [true.verdict is not None and true.verdict.success for true, _ in valid]
    near = [
        bool(seen.success)
        for true, seen in valid
        if not true.success and true.checker_distance is not None and true.checker_distance <= NEAR_MISS
    ]
    per_set_up = evaluation.expected // (len(WORLDS) * len(evaluation.set_ups) * len(evaluation.policies))
    return Cell(
        policy,
        any(row.privileged for row in rows),
        set_up,
        Share(sum(truth), len(truth)),
        Share(sum(imagined), len(imagined)),
        confusion(truth, judged),
        confusion(truth, imagined),
        confusion(judged, imagined),
        (len(near), sum(near)),
        sum(seen.chunks for _, seen in valid) / len(valid) if valid else math.nan,
        _invalid(rows),
        per_set_up - len(both),
    )


def _invalid(rows: Sequence[RunRow]) -> tuple[int, int]:
    truth, imagined = (sum(bool(row.invalid) for row in rows if row.world == world) for world in WORLDS)
    return truth, imagined


def _cell_line(cell: Cell) -> str:
    name = f"{cell.policy} (privileged)" if cell.privileged else cell.policy
    difference = f"{cell.imagined.share - cell.truth.share:+.2f}" if cell.truth.count else "-"
    parts = [
        cell.set_up, name, _share(cell.truth), _share(cell.imagined), difference,
        f"{cell.world.false_success} / {cell.world.false_failure}", f"{cell.near_misses[1]} of {cell.near_misses[0]}",
        _figure(cell.chunks, 1), f"{cell.invalid[0]}, {cell.invalid[1]}", str(cell.missing),
    ]  # fmt: skip
    return f"| {' | '.join(parts)} |"


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.successes}/{share.count} = {_figure(share.share, 2)} [{low:.2f}, {high:.2f}]"


def _figure(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _confusion_line(name: str, parts: list[Confusion]) -> str:
    names = ("true_success", "false_success", "false_failure", "true_failure")
    total = Confusion(*(sum(getattr(part, field) for part in parts) for field in names))
    numbers = " | ".join(str(getattr(total, field)) for field in names)
    return f"| {name} | {_figure(total.accuracy)} | {numbers} |"


def _reason_line(one: RunReason) -> str:
    reason = " ".join(one.reason.replace("|", "\\|").split())
    return f"| {one.world} | {one.trouble} | {reason} | {' | '.join(map(str, one.counts))} |"


def _write_csv(path: Path, rows: tuple[RunRow, ...]) -> None:
    """One line a run, the verdict's figures beside the row's own."""
    flat = []
    for row in rows:
        content = asdict(row)
        verdict = content.pop("verdict") or {}
        flat.append(content | {f"judge_{key}": value for key, value in verdict.items()})
    names = list(dict.fromkeys(key for line in flat for key in line))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    writer.writerows(flat)
    write_whole(path, file.getvalue().encode())
