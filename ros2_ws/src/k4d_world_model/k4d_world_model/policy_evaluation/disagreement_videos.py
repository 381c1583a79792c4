"""Runs whose success in the prediction is not that in truth, as videos side by side: truth left, prediction right."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from einops import repeat
from numpy.typing import NDArray

from k4d_kinematics.pictures import side_by_side, write_video
from k4d_world_model.dataset.storage.video_files import decode_pictures
from k4d_world_model.policy_evaluation.commands import PERIOD
from k4d_world_model.policy_evaluation.run_row import RunRow, paired, row_path

MOST_VIDEOS = 24

_RATE_HZ = 8.0
_ENLARGED = 3


def write_disagreements(out: Path, rows: Sequence[RunRow]) -> list[Path]:
    """The videos written to ``out``/disagreements: at most MOST_VIDEOS, of all policies and set-ups in turn.

    A name begins with what the prediction wrongly said. Runs without footage are left out; videos of an earlier report
    go. Raises SampleError where footage is damaged.
    """
    folder = out / "disagreements"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.mp4"):
        old.unlink()
    written = []
    for true, imagined in _in_turn(rows)[:MOST_VIDEOS]:
        paths = [
            row_path(out, row.policy, row.set_up, row.seed, row.world).with_suffix(".mp4") for row in (true, imagined)
        ]
        if all(path.exists() for path in paths):
            kind = "false_success" if imagined.success else "false_failure"
            path = folder / f"{kind}_{true.set_up}_{true.policy}_{true.seed}.mp4"
            films = [decode_pictures(film.read_bytes(), str(film)) for film in paths]
            write_video(path, _beside(films, (true.commands * PERIOD, imagined.commands * PERIOD)), _RATE_HZ)
            written.append(path)
    return written


def _in_turn(rows: Sequence[RunRow]) -> list[tuple[RunRow, RunRow]]:
    """Disagreeing runs (truth, imagined), the first of every policy and set-up, then the second ones, and so on."""
    groups: dict[tuple[str, str], list[tuple[RunRow, RunRow]]] = {}
    for true, imagined in paired(rows):
        if {true.success, imagined.success} == {True, False}:
            groups.setdefault((true.policy, true.set_up), []).append((true, imagined))
    ranked = [(place, number, pair) for number, group in enumerate(groups.values()) for place, pair in enumerate(group)]
    return [pair for _, _, pair in sorted(ranked, key=lambda one: one[:2])]


def _beside(films: list[NDArray[np.uint8]], durations: tuple[float, float]) -> list[NDArray[np.uint8]]:
    """Pictures with both films, in real time; the one that lasts less long ends with its last picture.

    The pictures of a film (T, H, W, 3) are spread evenly over its seconds.
    """
    times = np.arange(0.0, max(durations) + 1.0 / _RATE_HZ, 1.0 / _RATE_HZ)
    chosen = [
        film[np.round(np.clip(times / max(duration, 1e-9), 0.0, 1.0) * (len(film) - 1)).astype(int)]
        for film, duration in zip(films, durations, strict=True)
    ]
    return [
        repeat(side_by_side(pictures), "h w c -> (h f) (w g) c", f=_ENLARGED, g=_ENLARGED)
        for pictures in zip(*chosen, strict=True)
    ]
