"""Which frames of a recording make an episode of the length that the world model takes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_world_model.errors import DatasetError, RejectedEpisodeError

CLIP_FRAMES = 49

Numbers = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True)
class FrameSampling:
    """Uniform sampling of a recording to ``frames`` frames (Kinema4D, 3.3).

    A recording with fewer frames is rejected, or, with ``mirror_short``, played back again from its last frame, which
    then appears twice, as the published data set does. Raises DatasetError when ``frames`` is below 1.
    """

    frames: int = CLIP_FRAMES
    mirror_short: bool = False

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise DatasetError(f"frames must be at least 1, got {self.frames}")

    def indices(self, count: int) -> NDArray[np.intp]:
        """The (frames,) source frames of a recording of ``count`` frames, first and last among them.

        Raises RejectedEpisodeError when it is too short: below ``frames``, or below half of it when mirrored.
        """
        if count >= self.frames:
            return np.round(np.linspace(0, count - 1, self.frames)).astype(np.intp)
        if not self.mirror_short:
            raise RejectedEpisodeError(f"it has {count} frames, {self.frames} are needed (mirror_short is off)")
        if 2 * count < self.frames:
            raise RejectedEpisodeError(f"it has {count} frames, mirroring needs {-(-self.frames // 2)}")
        forth = np.arange(count)
        return np.concatenate([forth, forth[::-1]])[: self.frames]

    def times(self, source_times: ArrayLike) -> NDArray[np.float64]:
        """The (frames,) times of the sampled frames in seconds; a mirrored part runs on at the recording's own steps.

        ``source_times`` (count,) are strictly increasing. Raises RejectedEpisodeError as ``indices`` does.
        """
        source = np.asarray(source_times, np.float64)
        indices = self.indices(len(source))
        if len(source) >= self.frames:
            return source[indices]
        steps = np.diff(source)
        pause = steps.mean() if len(steps) else 1.0
        played = np.concatenate([source, source[-1] + pause + np.concatenate([[0.0], np.cumsum(steps[::-1])])])
        return played[: self.frames]


def nearest_indices(times: Numbers, moments: Numbers) -> NDArray[np.intp]:
    """For each of the moments (N,) the index of the nearest of ``times`` (M,), the earlier one of two as near.

    ``times`` are increasing, M >= 1, both in one unit of the same kind of number.
    """
    after = np.minimum(np.searchsorted(times, moments), len(times) - 1)
    before = np.maximum(after - 1, 0)
    is_before = np.abs(moments - times[before]) <= np.abs(times[after] - moments)
    return np.where(is_before, before, after)
