"""A comparison on disk: a page that opens offline, figures for programs, and pictures."""

import csv
import json
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from einops import repeat

from k4d_kinematics.pictures import Picture, write_png, write_video
from k4d_world_model.comparison.comparison import Comparison
from k4d_world_model.comparison.frame_figures import FIGURES
from k4d_world_model.comparison.pictures import ComparisonPictures
from k4d_world_model.comparison.report_page import report_page
from k4d_world_model.comparison.titles import overall_figures
from k4d_world_model.errors import ComparisonError
from k4d_world_model.evaluation.figure import Figure

PAGE, FIGURES_FILE, FRAMES_FILE = "report.html", "figures.json", "frames.csv"
VIDEO, WORST, ERROR_MAP = "side_by_side.mp4", "side_by_side.png", "error_map.png"
_FORMAT, _VERSION = "k4d comparison", 1
_SMALLEST_HEIGHT_PX = 192


def execution_folder(start: float, camera: str, name: str) -> str:
    """What the report of one rollout's execution is called: by its start in seconds, its camera and its name.

    Other cameras and other rollouts have other folders, whatever their names hold.
    """
    return f"execution_{round(start * 1e3)}_{quote(camera, safe='')}@{quote(name, safe='')}"


def write_comparison(folder: Path, comparison: Comparison, pictures: ComparisonPictures, known_by: str) -> None:
    """Writes the report into ``folder``, over an older one there; ``report.html`` comes last and needs no other file.

    figures.json and frames.csv hold every figure, side_by_side.mp4 all frames with a partner, side_by_side.png the
    worst three of them, error_map.png the mean errors of colour and place. ``known_by`` says how the start of the
    execution is known. Raises ComparisonError when a file cannot be written.
    """
    maps = [pictures.colour_map, pictures.distance_map]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PAGE).unlink(missing_ok=True)
        (folder / FIGURES_FILE).write_text(
            json.dumps(_content(comparison, known_by), indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        _write_frames(folder / FRAMES_FILE, comparison)
        write_png(folder / WORST, np.concatenate([_enlarged(pictures.rows[row]) for row in pictures.worst]))
        write_png(folder / ERROR_MAP, _enlarged(np.concatenate(maps, axis=1)))
        write_video(folder / VIDEO, [_enlarged(row) for row in pictures.rows], _rate_hz(comparison))
        staged = folder / f".{PAGE}.partial"
        staged.write_text(report_page(comparison, pictures, known_by), encoding="utf-8")
        os.replace(staged, folder / PAGE)
    except OSError as error:
        raise ComparisonError(f"{folder} cannot be written: {error}") from error


def _content(comparison: Comparison, known_by: str) -> dict[str, Any]:
    rollout, pairing = comparison.rollout, comparison.pairing
    executed = dict(zip(pairing.paired.tolist(), comparison.executed_times.tolist(), strict=True))
    count, height, width = rollout.valid.shape
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "model_name": rollout.provenance.model_name,
        "weights_sha256": rollout.provenance.weights_sha256,
        "seed": rollout.provenance.seed,
        "frames": count,
        "height": height,
        "width": width,
        "execution_start_s": pairing.start,
        "start_known_by": known_by,
        "tolerance_s": pairing.tolerance,
        "frames_with_partner": len(pairing.paired),
        "remarks": list(comparison.remarks),
        "overall": {name: _of(figure) for name, figure in overall_figures(comparison).items()},
        "by_frame": [
            {
                "index": k,
                "time_s": float(rollout.times[k]),
                "executed_time_s": executed.get(k),
                "offset_s": float(pairing.offsets[k]),
                **{name: _of(getattr(figures, name)) for name in FIGURES},
            }
            for k, figures in enumerate(comparison.figures)
        ],
    }


def _of(figure: Figure) -> float | str:
    """A number, or words where there is none: "identical" for an infinite PSNR, else the reason."""
    if figure.value is None:
        return figure.reason
    return figure.value if math.isfinite(figure.value) else "identical"


def _write_frames(path: Path, comparison: Comparison) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "time_s", "offset_s", *FIGURES])
        for k, figures in enumerate(comparison.figures):
            moment, offset = float(comparison.rollout.times[k]), float(comparison.pairing.offsets[k])
            writer.writerow([k, moment, offset, *(_of(getattr(figures, name)) for name in FIGURES)])


def _enlarged(picture: Picture) -> Picture:
    factor = -(-_SMALLEST_HEIGHT_PX // picture.shape[0])
    return np.asarray(repeat(picture, "h w c -> (h f) (w g) c", f=factor, g=factor))


def _rate_hz(comparison: Comparison) -> float:
    times = comparison.rollout.times[comparison.pairing.paired]
    return round(float((len(times) - 1) / (times[-1] - times[0])), 3)
