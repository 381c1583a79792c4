"""A rollout on disk: a video, one NPZ and PLY a frame, an MCAP recording, and a summary that says what all of it is."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from k4d_kinematics.pictures import write_video
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_bag import check_storable, read_bag_stamp_ns, read_rollout_bag, write_rollout_bag
from k4d_world_model.rollout_frames import Frames, read_frames, write_frames
from k4d_world_model.rollout_record import rollout_entries, rollout_of_entries
from k4d_world_model.rollout_video import comparison_pictures

SUMMARY, VIDEO, RECORDING, FRAMES, RECORDED = "summary.json", "predicted.mp4", "rollout.mcap", "frames", "recorded"

_FORMAT, _VERSION = "k4d rollout", 1
_MOST_BYTES = 64_000_000


def write_rollout(
    folder: Path,
    rollout: Rollout,
    conditioning: Conditioning | None = None,
    recorded: Episode | None = None,
    *,
    stamp_ns: int = 0,
    base_frame: str = "",
) -> None:
    """Writes a rollout into ``folder``, over an older one there; ``read_rollout`` gives back the same numbers.

    ``predicted.mp4`` shows side by side robot condition, predicted RGB, predicted XYZ and, where given, ``recorded``;
    ``frames/`` and ``recorded/`` hold each frame as NPZ and PLY; ``rollout.mcap`` is for ROS (see
    ``write_rollout_bag``); ``summary.json``, written last, holds sizes, times, camera, fit and provenance. ``recorded``
    is what really happened, of the same size and moments. ``stamp_ns`` is the observation's stamp in nanoseconds,
    ``base_frame`` the robot's root link.

    Raises RolloutError when conditioning or recording do not fit, the folder's summary.json is not a rollout's, or a
    file cannot be written.
    """
    check_storable(rollout, stamp_ns)
    predicted = Frames.of_rollout(rollout)
    happened = None if recorded is None else _fitting_frames(rollout, recorded)
    if conditioning is not None and conditioning.robot_mask.shape != rollout.valid.shape:
        raise RolloutError(
            f"the conditioning must be of {rollout.valid.shape} frames and pixels, got {conditioning.robot_mask.shape}"
        )
    summary = _summary(rollout, happened, stamp_ns, base_frame)
    try:
        _clear(folder)
        write_frames(folder / FRAMES, predicted, rollout.camera.frame_id)
        if happened is not None:
            write_frames(folder / RECORDED, happened, rollout.camera.frame_id)
        write_video(folder / VIDEO, comparison_pictures(predicted, conditioning, happened), _rate_hz(rollout))
        write_rollout_bag(folder / RECORDING, rollout, stamp_ns=stamp_ns, base_frame=base_frame)
        staged = folder / f".{SUMMARY}.partial"
        staged.write_text(json.dumps(summary, indent=1) + "\n")
        os.replace(staged, folder / SUMMARY)
    except OSError as error:
        raise RolloutError(f"{folder} cannot be written: {error}") from error


def read_rollout(path: Path) -> Rollout:
    """The rollout of a folder that ``write_rollout`` wrote, of a rosbag2 folder or of an .mcap file.

    Raises RolloutError naming the file that is missing, damaged or foreign; a folder without summary.json was not
    written to its end.
    """
    if _is_bag(path):
        return read_rollout_bag(path)
    summary = _read_summary(path)
    frames = read_frames(path / FRAMES, _frame_count(path, summary))
    entries = [(key, json.dumps(value)) for key, value in summary.items()]
    try:
        return rollout_of_entries(entries, frames.rgb, frames.points, frames.valid)
    except RolloutError as error:
        raise RolloutError(f"{path / SUMMARY}: {error}") from error


def read_stamp_ns(path: Path) -> int:
    """The stamp of the observation that a stored rollout starts from, 0 where nobody stamped it.

    Raises as ``read_rollout`` does.
    """
    if _is_bag(path):
        return read_bag_stamp_ns(path)
    stamp_ns = _read_summary(path).get("stamp_ns")
    if not isinstance(stamp_ns, int):
        raise RolloutError(f"{path / SUMMARY}: stamp_ns must be an integer, got {stamp_ns!r}")
    return stamp_ns


def read_recorded(folder: Path) -> Frames | None:
    """What really happened, where the rollout in ``folder`` was written with it. Raises as ``read_rollout`` does."""
    summary = _read_summary(folder)
    return read_frames(folder / RECORDED, _frame_count(folder, summary)) if summary.get("has_recorded") else None


def _is_bag(path: Path) -> bool:
    return path.suffix == ".mcap" or (path / "metadata.yaml").is_file()


def _summary(rollout: Rollout, recorded: Frames | None, stamp_ns: int, base_frame: str) -> dict[str, Any]:
    count, height, width = rollout.valid.shape
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "frames": count,
        "height": height,
        "width": width,
        "valid_share": float(rollout.valid.mean()),
        "has_recorded": recorded is not None,
        "stamp_ns": stamp_ns,
        "base_frame": base_frame,
        **{entry.key: json.loads(entry.value) for entry in rollout_entries(rollout)},
    }


def _read_summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY
    if not path.is_file():
        raise RolloutError(f"{folder} holds no rollout: it has no {SUMMARY}, which is written last")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RolloutError(f"{path}: may have {_MOST_BYTES} bytes, got {path.stat().st_size}")
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, RolloutError):
            raise
        raise RolloutError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (_FORMAT, _VERSION):
        raise RolloutError(f"{path}: must have format {_FORMAT!r} and version {_VERSION}; it is not that of a rollout")
    return content


def _frame_count(folder: Path, summary: dict[str, Any]) -> int:
    times = summary.get("times")
    if not isinstance(times, list):
        raise RolloutError(f"{folder / SUMMARY}: times must be a list of seconds, got {type(times).__name__}")
    return len(times)


def _clear(folder: Path) -> None:
    """Makes ``folder`` free of an older rollout, its summary first, so that a mixture is never taken for one."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / SUMMARY).exists():
        _read_summary(folder)
        (folder / SUMMARY).unlink()
    for name in (VIDEO, RECORDING):
        (folder / name).unlink(missing_ok=True)
    for name in (FRAMES, RECORDED):
        if (folder / name).exists():
            shutil.rmtree(folder / name)


def _fitting_frames(rollout: Rollout, recorded: Episode) -> Frames:
    """The recorded frames, each of which must be of the predicted moment and not of a neighbour's."""
    frames = Frames.of_episode(recorded)
    if frames.valid.shape != rollout.valid.shape:
        raise RolloutError(
            f"the recording must be of the rollout's (frames, height, width) {rollout.valid.shape}, "
            f"got {frames.valid.shape}"
        )
    predicted, happened = rollout.times - rollout.times[0], recorded.times - recorded.times[0]
    slack = np.diff(predicted).min() / 2 if len(predicted) > 1 else np.inf
    if (np.abs(predicted - happened) > slack).any():
        raise RolloutError(
            f"the recording's frames must lie within {slack:.3f} s of the predicted ones, "
            f"got up to {np.abs(predicted - happened).max():.3f} s"
        )
    return frames


def _rate_hz(rollout: Rollout) -> float:
    duration = float(rollout.times[-1] - rollout.times[0])
    return round((len(rollout.times) - 1) / duration, 3) if duration > 0 else 1.0
