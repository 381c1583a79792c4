"""Named errors of the world-model half: one per cause, each message states the offending and the valid values."""


class WorldModelError(ValueError):
    """Base of everything that k4d_world_model raises on wrong input."""


class EpisodeError(WorldModelError):
    """An episode's arrays do not fit each other: shapes, types, times, points off their rays."""


class SampleError(WorldModelError):
    """A stored sample is missing, damaged or of another version; the message names its file."""


class DatasetError(WorldModelError):
    """A data set as a whole is unusable: no such folder, contradictory manifest, path outside its root."""


class SourceError(WorldModelError):
    """Recorded data of another format cannot be read; the message names its file."""


class RejectedEpisodeError(WorldModelError):
    """One episode of a source does not qualify; the message is the reason that the report lists."""


class AnnotationError(WorldModelError):
    """An annotator failed, or what it returned does not fit the episode."""
