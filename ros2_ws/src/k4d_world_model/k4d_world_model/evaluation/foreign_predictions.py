"""Predictions of any model, from the files that it left behind."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.sources.encoded_pictures import decode_picture
from k4d_world_model.dataset.storage.video_files import decode_pictures
from k4d_world_model.errors import EvaluationError, PredictionError, SampleError, SourceError
from k4d_world_model.evaluation.figure import no_figure
from k4d_world_model.evaluation.prediction import NOT_MEASURED, Prediction
from k4d_world_model.rollout_files import read_rollout

_VIDEOS = (".mp4", ".mkv")


class ForeignPredictions:
    """A folder with one prediction an episode, each named by the episode's identifier:

    ``ID.mp4`` or ``ID.mkv``: a video of the T frames, RGB only.
    ``ID/0000.png``, ``ID/0001.png`` ...: pictures of the T frames, numbered without a gap, RGB only.
    ``ID/`` of ``write_rollout``, or ``ID.mcap``: RGB and metric points.

    The first frame is the one that the model was given. Raises EvaluationError when there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise EvaluationError(f"{folder}: no such folder of predictions")
        self.name = folder.resolve().name
        self._folder = folder

    def identity(self, episode_id: str) -> str:
        """The sha256 of all of the episode's files, of several predictions too; empty where there are none."""
        found = self._all(episode_id)
        if not found:
            return ""
        digest = hashlib.sha256()
        files = (path for one in found for path in (one.rglob("*") if one.is_dir() else [one]) if path.is_file())
        for path in sorted(files):
            digest.update(f"{path.relative_to(self._folder)}\n".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def read(self, episode_id: str) -> Prediction:
        """The episode's prediction as it was left.

        Raises PredictionError where there is none or more than one, frames are missing, twice or of several sizes or no
        point is known, RolloutError for a rollout that is damaged or was not written to its end, and OSError for a
        video or picture that the machine cannot read.
        """
        path = self._find(episode_id)
        if path is None:
            raise PredictionError(
                f"{self._folder} has no prediction of {episode_id}; it would be {episode_id}.mp4, or a folder "
                f"{episode_id} of numbered PNG files or of a rollout"
            )
        if path.suffix in _VIDEOS:
            return _rgb_only(_read_video(path))
        if path.is_dir() and any(path.glob("*.png")):
            return _rgb_only(_read_pictures(path))
        prediction = Prediction.of_rollout(read_rollout(path))
        if prediction.points is not None and not np.isfinite(prediction.points).any():
            raise PredictionError(f"{path}: none of its points is known, all are NaN")
        return prediction

    def _find(self, episode_id: str) -> Path | None:
        found = self._all(episode_id)
        if len(found) > 1:
            raise PredictionError(f"{self._folder} has {episode_id} more than once: {', '.join(p.name for p in found)}")
        return found[0] if found else None

    def _all(self, episode_id: str) -> list[Path]:
        names = (episode_id, *(f"{episode_id}{suffix}" for suffix in (*_VIDEOS, ".mcap")))
        return [self._folder / name for name in names if (self._folder / name).exists()]


def _rgb_only(rgb: NDArray[np.uint8]) -> Prediction:
    return Prediction(rgb, None, no_figure(NOT_MEASURED), no_figure(NOT_MEASURED))


def _read_video(path: Path) -> NDArray[np.uint8]:
    data = path.read_bytes()
    try:
        return decode_pictures(data, str(path))
    except SampleError as error:
        raise PredictionError(f"{path}: {error}") from error


def _read_pictures(folder: Path) -> NDArray[np.uint8]:
    pictures = sorted(path for path in folder.glob("*.png") if path.stem.isdecimal())
    numbered = {int(path.stem): path for path in pictures}
    twice = [path.name for path in pictures if numbered[int(path.stem)] != path]
    if twice:
        raise PredictionError(f"{folder}: each frame must be there once, got others beside {', '.join(twice[:5])}")
    strange = sorted(path.name for path in folder.glob("*.png") if not path.stem.isdecimal())
    if strange:
        raise PredictionError(f"{folder}: pictures must be named by their frame's number, got {', '.join(strange[:5])}")
    folders = [path.name for path in pictures if not path.is_file()]
    if folders:
        raise PredictionError(f"{folder}: pictures must be files, which {', '.join(folders[:5])} are not")
    first = min(numbered)
    missing = sorted(set(range(first, first + len(numbered))) - numbered.keys())
    if first > 1 or missing:
        raise PredictionError(
            f"{folder}: frames must be numbered without a gap from 0 or 1, got {len(numbered)} pictures from {first} "
            f"to {max(numbered)}"
        )
    files = [(path, path.read_bytes()) for _, path in sorted(numbered.items())]
    try:
        frames = [decode_picture(data, str(path)) for path, data in files]
    except SourceError as error:
        raise PredictionError(str(error)) from error
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise PredictionError(f"{folder}: frames are of several sizes: {sorted(sizes)}")
    return np.stack(frames)
