"""The seam between recorded data of any format and episodes."""

from typing import Protocol

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.sampling import FrameSampling


class Source(Protocol):
    """Recorded or simulated data that can be read as episodes."""

    def episode_ids(self) -> tuple[str, ...]:
        """All episodes in a fixed order, each a safe and unique file name. Raises SourceError on unreadable data."""
        ...

    def read(self, episode_id: str, sampling: FrameSampling) -> Episode:
        """One episode with the frames that ``sampling`` chooses, only those being decoded where the format allows.

        Raises RejectedEpisodeError with the reason when it does not qualify, SourceError naming the file when it is
        damaged, and SourceError when there is no such episode.
        """
        ...
