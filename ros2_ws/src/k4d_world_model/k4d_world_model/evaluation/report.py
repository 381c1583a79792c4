"""What an evaluation leaves behind: a line an episode and model, a summary, and the table of a model card."""

import csv
import json
import math
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from k4d_world_model.evaluation.evaluate import Evaluation
from k4d_world_model.evaluation.rollout_metrics import FIGURES, RolloutMetrics
from k4d_world_model.evaluation.scores import Interval, mean_with_interval, pooled

CSV_NAME, JSON_NAME, TABLE_NAME = "metrics.csv", "summary.json", "table.md"

# What a table calls the figures that people ask for, and their digits.
_TITLES = (
    ("psnr_changed", "RGB PSNR, changed region (dB)", 2),
    ("xyz_psnr_changed", "XYZ PSNR, changed region (dB)", 2),
    ("psnr_objects", "RGB PSNR, moved objects (dB)", 2),
    ("xyz_psnr_objects", "XYZ PSNR, moved objects (dB)", 2),
    ("moved_iou", "moved region, intersection over union", 3),
    ("psnr", "RGB PSNR, whole picture (dB)", 2),
    ("xyz_psnr", "XYZ PSNR, whole picture (dB)", 2),
    ("robot_error_mm", "robot points, median error (mm)", 2),
    ("environment_error_mm", "environment, median error (mm)", 2),
    ("environment_error_p95_mm", "environment, 95th percentile of the error (mm)", 1),
)


def write_report(folder: Path, evaluation: Evaluation) -> None:
    """Writes metrics.csv, summary.json and table.md into the folder, which must exist."""
    _write_csv(folder / CSV_NAME, evaluation)
    (folder / JSON_NAME).write_text(json.dumps(_summary(evaluation), indent=2, allow_nan=False) + "\n")
    (folder / TABLE_NAME).write_text(markdown_table(evaluation))


def markdown_table(evaluation: Evaluation) -> str:
    """A line a figure: pooled over all pixels, and in brackets the mean over episodes with its 95 % interval.

    The last column is the first model's advantage over the last, episode by episode.
    """
    first, last = evaluation.names[0], evaluation.names[-1]
    together = [pooled([scores.metrics[k] for scores in evaluation.episodes]) for k in range(len(evaluation.names))]
    lines = [
        f"| {len(evaluation.episodes)} episodes | {' | '.join(evaluation.names)} | {first} - {last} |",
        f"|---|{'---|' * (len(evaluation.names) + 1)}",
    ]
    for name, title, digits in _TITLES:
        cells = [
            _cell(getattr(together[k], name), mean_with_interval(_values(evaluation, name, k)), digits)
            for k in range(len(evaluation.names))
        ]
        gain = getattr(together[0], name) - getattr(together[-1], name)
        cells.append(_cell(gain, mean_with_interval(_gains(evaluation, name)), digits, sign="+"))
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def finite_or_none(value: float) -> float | None:
    """The value, None where JSON has no number for it."""
    return value if math.isfinite(value) else None


def figures_of(metrics: RolloutMetrics) -> dict[str, float | None]:
    """The figures by name, for JSON."""
    return {name: finite_or_none(getattr(metrics, name)) for name in FIGURES}


def _cell(value: float, interval: Interval, digits: int, sign: str = "") -> str:
    if not math.isfinite(value):
        return "-"
    form = f"{sign}.{digits}f"
    return f"{value:{form}} ({interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}])"


def _values(evaluation: Evaluation, name: str, k: int) -> list[float]:
    return [getattr(scores.metrics[k], name) for scores in evaluation.episodes]


def _gains(evaluation: Evaluation, name: str) -> list[float]:
    firsts, lasts = _values(evaluation, name, 0), _values(evaluation, name, len(evaluation.names) - 1)
    return [first - last for first, last in zip(firsts, lasts, strict=True)]


def _write_csv(path: Path, evaluation: Evaluation) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["episode", "source", "task", "variant", "success", "seed", "model", *FIGURES, "changed_pixels", "seconds"]
        )
        for scores in evaluation.episodes:
            info = scores.info
            for name, metrics, seconds in zip(evaluation.names, scores.metrics, scores.seconds, strict=True):
                figures = [f"{getattr(metrics, figure):.6g}" for figure in FIGURES]
                known = [info.episode_id, info.source, info.task, info.variant, info.success, info.seed]
                writer.writerow([*known, name, *figures, metrics.rgb_changed.count // 3, f"{seconds:.3f}"])


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    models = [
        {
            "name": name,
            "weights_sha256": evaluation.weights_sha256[k],
            "pooled": figures_of(pooled([scores.metrics[k] for scores in evaluation.episodes])),
            "mean": {figure: _interval(_values(evaluation, figure, k)) for figure in FIGURES},
            "rollout_s": statistics.median(scores.seconds[k] for scores in evaluation.episodes),
        }
        for k, name in enumerate(evaluation.names)
    ]
    return {
        "episodes": len(evaluation.episodes),
        "rejected": [{"episode": episode, "reason": reason} for episode, reason in evaluation.rejected],
        "seed": evaluation.seed,
        "models": models,
        "gain": {figure: _interval(_gains(evaluation, figure)) for figure in FIGURES},
    }


def _interval(values: list[float]) -> dict[str, float | None]:
    return {key: finite_or_none(value) for key, value in asdict(mean_with_interval(values)).items()}
