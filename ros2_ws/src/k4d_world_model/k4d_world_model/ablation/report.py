"""What a sweep leaves behind: every run's figures, and tables that say no more than the seeds support."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from k4d_world_model.ablation.comparison import (
    FEWEST_SEEDS,
    BySeed,
    Difference,
    PairVerdict,
    against_paper,
    difference,
    mean_and_spread,
)
from k4d_world_model.ablation.config import AblationConfig
from k4d_world_model.ablation.figures import FIGURES
from k4d_world_model.whole_files import write_whole

JSON_NAME, CSV_NAME, TABLE_NAME = "results.json", "results.csv", "table.md"


@dataclass(frozen=True)
class RunResult:
    """A finished run: the figures of every clip as SCORES has them, and what its training took."""

    variant: str
    seed: int
    clips: tuple[Mapping[str, Any], ...]
    facts: Mapping[str, Any]

    def of(self, data: Sequence[str]) -> "RunResult":
        """The same on the clips of these data sets alone, of all without any."""
        return replace(self, clips=tuple(clip for clip in self.clips if not data or clip["data"] in data))

    def figures(self) -> dict[str, float]:
        """The mean of each figure over the clips that have it."""
        return {name: _mean([clip[name] for clip in self.clips]) for name in FIGURES}


def write_report(folder: Path, config: AblationConfig, results: Sequence[RunResult]) -> str:
    """Writes results.json, results.csv and table.md of the runs that are finished; the table's text comes back."""
    table = markdown(config, results)
    write_whole(folder / JSON_NAME, (json.dumps(_summary(config, results), indent=1) + "\n").encode())
    write_whole(folder / TABLE_NAME, table.encode())
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["variant", "seed", "episode", "data", *FIGURES])
    for result in results:
        for clip in result.clips:
            row = [result.variant, result.seed, clip["episode"], clip["data"]]
            writer.writerow(row + [clip[name] for name in FIGURES])
    write_whole(folder / CSV_NAME, file.getvalue().encode())
    return table


def by_seed(results: Sequence[RunResult], figure: str) -> dict[str, BySeed]:
    """A figure's values by variant and seed."""
    names = dict.fromkeys(result.variant for result in results)
    return {
        name: {result.seed: result.figures()[figure] for result in results if result.variant == name} for name in names
    }


def markdown(config: AblationConfig, results: Sequence[RunResult]) -> str:
    """The tables: means over seeds, differences to the reference, and the paper's order beside what was found."""
    judged = [result.of(config.judged_on) for result in results]
    parts = [f"## {config.title}", _protocol(config, judged), _table(config, judged)]
    data = sorted({str(clip["data"]) for result in results for clip in result.clips})
    if len(data) > 1:
        parts.append(_by_data(config, results, data))
    for figure, order in config.paper_order.items():
        parts.append(_order(figure, order, judged))
    return "\n\n".join(parts) + "\n"


def _protocol(config: AblationConfig, results: Sequence[RunResult]) -> str:
    clips = {len(result.clips) for result in results}
    trained = [result.facts for result in results]
    minutes = [facts["cpu_seconds"] / 60 for facts in trained if facts.get("cpu_seconds")]
    spent = f"; training took {min(minutes):.1f} to {max(minutes):.1f} CPU minutes a run" if minutes else ""
    steps = sorted({facts["steps"] for facts in trained})
    seen = sorted({facts["clips_seen"] for facts in trained})
    of = f" of {', '.join(config.judged_on)} alone" if config.judged_on else ""
    return (
        f"{len(results)} runs of {_listed(steps)} steps on {_listed(seen)} clips{spent}; {_listed(sorted(clips))} "
        f"held-out clips{of}. Mean ± standard deviation over seeds. In brackets: difference to the reference, seed by "
        f"seed; * at least {FEWEST_SEEDS} seeds all agree on its sign, ** its 95 % interval excludes 0 besides."
    )


def _listed(values: Sequence[object]) -> str:
    return " or ".join(map(str, values)) or "no"


def _table(config: AblationConfig, results: Sequence[RunResult]) -> str:
    values = {figure: by_seed(results, figure) for figure in FIGURES}
    names = [variant.name for variant in config.variants if variant.name in values["psnr"]]
    lines = [
        "| | seeds | "
        + " | ".join(f"{info.title} {'↑' if info.more_is_better else '↓'}" for info in FIGURES.values())
        + " |",
        "|---|---|" + "---|" * len(FIGURES),
    ]
    for name in names:
        cells = []
        for figure, info in FIGURES.items():
            mean, deviation, _ = mean_and_spread(values[figure][name])
            cell = f"{mean:.{info.digits}f}" + ("" if math.isnan(deviation) else f" ± {deviation:.{info.digits}f}")
            if name != config.reference and config.reference in values[figure]:
                found = difference(figure, values[figure][name], values[figure][config.reference])
                cell += f" ({found.mean:+.{info.digits}f}{_stars(found)})"
            cells.append(cell)
        lines.append(f"| {name} | {len(values['psnr'][name])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_data(config: AblationConfig, results: Sequence[RunResult], data: Sequence[str]) -> str:
    lines = [f"| PSNR (dB) on clips of | {' | '.join(data)} |", "|---|" + "---|" * len(data)]
    columns = [by_seed([result.of((name,)) for result in results], "psnr") for name in data]
    for variant in config.variants:
        if variant.name in columns[0]:
            means = [f"{mean_and_spread(column[variant.name]).mean:.2f}" for column in columns]
            lines.append(f"| {variant.name} | {' | '.join(means)} |")
    return "\n".join(lines)


def _order(figure: str, order: Sequence[str], results: Sequence[RunResult]) -> str:
    info, values = FIGURES[figure], by_seed(results, figure)
    verdicts = against_paper(figure, order, values)
    found = sorted(
        (name for name in order if name in values),
        key=lambda name: mean_and_spread(values[name]).mean * (-1 if info.more_is_better else 1),
    )
    groups = {
        word: [verdict for verdict in verdicts if verdict.found.word == word]
        for word in ("better", "worse", "undecided")
    }
    lines = [
        f"**Order by {info.title}**, best first",
        "",
        f"* paper: {', '.join(order)}",
        f"* here, by means: {', '.join(found)}",
        f"* of {len(verdicts)} pairs {len(groups['better'])} agree, {len(groups['worse'])} disagree, "
        f"{len(groups['undecided'])} are undecided",
        f"* agree: {_pairs(groups['better'], '>')}",
        f"* disagree: {_pairs(groups['worse'], '<')}",
        f"* undecided: {_pairs(groups['undecided'], '?')}",
    ]
    return "\n".join(lines)


def _pairs(verdicts: Sequence[PairVerdict], sign: str) -> str:
    """Pairs as "a > b*", the paper's better one first."""
    return ", ".join(f"{pair.better} {sign} {pair.worse}{_stars(pair.found)}" for pair in verdicts) or "none"


def _stars(found: Difference) -> str:
    return "" if found.word == "undecided" else "**" if found.is_certain else "*"


def _summary(config: AblationConfig, results: Sequence[RunResult]) -> dict[str, Any]:
    """Figures and differences on the clips that ``judged_on`` names."""
    results = [result.of(config.judged_on) for result in results]
    names = {"ablation": config.name, "reference": config.reference, "judged_on": list(config.judged_on)}
    summary: dict[str, Any] = names | {"runs": [], "differences": []}
    for result in results:
        figures = {name: _or_none(value) for name, value in result.figures().items()}
        summary["runs"].append(
            {"variant": result.variant, "seed": result.seed, **result.facts, "held_out": len(result.clips), **figures}
        )
    for figure in FIGURES:
        values = by_seed(results, figure)
        for name in values:
            if name != config.reference and config.reference in values:
                found = asdict(difference(figure, values[name], values[config.reference]))
                found = {key: _or_none(value) if isinstance(value, float) else value for key, value in found.items()}
                summary["differences"].append({"variant": name, "figure": figure, **found})
    return summary


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
