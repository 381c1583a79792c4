"""Decodes chosen frames of a video file by their times."""

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.storage.video_files import CONTAINERS
from k4d_world_model.errors import SourceError

_MOST_PIXELS = 64_000_000


def read_video_frames(path: Path, times: NDArray[np.float64], tolerance: float) -> NDArray[np.uint8]:
    """RGB (T, H, W, 3) of the frames shown at ``times`` (T,) in seconds, in any order and also repeated.

    A frame counts when its time is within ``tolerance`` seconds. Between distant frames the file is entered at the
    nearest key frame. Raises SourceError naming the file when it is damaged, no MP4 or Matroska file, holds no video or
    lacks such a frame.
    """
    wanted, inverse = np.unique(times, return_inverse=True)
    try:
        with av.open(str(path), container_options=CONTAINERS) as container:
            if not container.streams.video:
                raise SourceError(f"{path}: holds no video")
            pictures = list(_frames(container, container.streams.video[0], wanted.tolist(), tolerance, path))
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"{path}: no readable video: {error}") from error
    if len({picture.shape for picture in pictures}) != 1:
        raise SourceError(f"{path}: frames are of several sizes: {sorted({p.shape for p in pictures})}")
    return np.stack([pictures[k] for k in inverse.tolist()])


def _frames(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    wanted: list[float],
    tolerance: float,
    path: Path,
) -> Iterator[NDArray[np.uint8]]:
    """The pictures at the ascending times ``wanted``."""
    unit = stream.time_base
    size = stream.codec_context.width * stream.codec_context.height
    if unit is None or not 0 < size <= _MOST_PIXELS:
        raise SourceError(f"{path}: a video must have a time base and 1 to {_MOST_PIXELS} pixels, got {unit}, {size}")
    keys = sorted(float(entry.timestamp * unit) for entry in stream.index_entries if entry.is_keyframe)
    decoder = container.decode(stream)
    shown = -np.inf
    for time in wanted:
        if bisect_right(keys, time - tolerance) > bisect_right(keys, shown):
            container.seek(max(0, int((time - tolerance) / unit)), stream=stream, backward=True)
            decoder = container.decode(stream)
        frame = None
        for frame in decoder:
            if frame.pts is None:
                raise SourceError(f"{path}: a frame has no time")
            shown = float(frame.pts * unit)
            if shown >= time - tolerance:
                break
        if frame is None or not abs(shown - time) <= tolerance:
            last = "none" if frame is None else f"{shown:.4f} s"
            raise SourceError(
                f"{path}: no frame at {time:.4f} s (within {tolerance:.4f} s), the closest after it: {last}"
            )
        if frame.is_corrupt:
            raise SourceError(f"{path}: the frame at {shown:.4f} s is damaged")
        yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
