"""Sequences whose summary and frames come as single messages, put together."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from k4d_world_model.errors import ConditioningError

_REMEMBERED = 64
MOST_FRAMES = 1000


class Summary(Protocol):
    """What announces a sequence."""

    sequence_id: str
    frame_count: int


class Frame(Protocol):
    """One part of a sequence."""

    sequence_id: str
    index: int


S = TypeVar("S", bound=Summary)
F = TypeVar("F", bound=Frame)


@dataclass
class _Collected(Generic[S, F]):
    """A sequence as far as it has come; frames may overtake the summary."""

    sequence_id: str
    summary: S | None = None
    frames: dict[int, F] = field(default_factory=dict)
    is_reported: bool = False

    @property
    def is_complete(self) -> bool:
        return self.summary is not None and self.frames.keys() == set(range(self.summary.frame_count))

    @property
    def has_ended(self) -> bool:
        """Whether its last frame has come."""
        return self.summary is not None and self.summary.frame_count - 1 in self.frames

    @property
    def has_gap(self) -> bool:
        """Whether a frame is missing before one that has come: lost, since they come in order."""
        return bool(self.frames) and max(self.frames) >= len(self.frames)

    @property
    def state(self) -> str:
        expected = self.summary.frame_count if self.summary is not None else "an unknown number of"
        return f"{len(self.frames)} of {expected} frames of sequence {self.sequence_id!r}"


class SequenceCollector(Generic[S, F]):
    """Collects sequences by their id; keeps the newest complete one and the newest one that is on its way.

    ``on_lost`` is told once of each sequence of which frames were lost; one that merely was broken off is none.
    """

    def __init__(self, on_lost: Callable[[str], object]) -> None:
        self._on_lost = on_lost
        self._complete: _Collected[S, F] | None = None
        self._coming: _Collected[S, F] | None = None
        # Late frames of a sequence that a newer one replaced must not replace that one in turn.
        self._superseded: deque[str] = deque(maxlen=_REMEMBERED)

    @property
    def summaries(self) -> list[S]:
        """Those of the sequences that are kept."""
        return [
            kept.summary for kept in (self._complete, self._coming) if kept is not None and kept.summary is not None
        ]

    def announce(self, summary: S) -> bool:
        """Takes a summary; whether the sequence became complete.

        Raises ConditioningError unless it announces 1 to 1000 frames.
        """
        if not 1 <= summary.frame_count <= MOST_FRAMES:
            raise ConditioningError(f"a sequence must announce 1 to {MOST_FRAMES} frames, got {summary.frame_count}")
        collected = self._find(summary.sequence_id)
        if collected is None or collected.summary is not None:
            return False
        collected.summary = summary
        strange = [index for index in collected.frames if index >= summary.frame_count]
        for index in strange:
            del collected.frames[index]
        if strange:
            raise _out_of_range(summary, max(strange))
        return self._settle(collected)

    def add(self, frame: F) -> bool:
        """Takes a frame; whether its sequence became complete. Raises ConditioningError on an index out of range."""
        collected = self._find(frame.sequence_id)
        if collected is None or collected.is_complete:
            return False
        if frame.index >= MOST_FRAMES:
            raise ConditioningError(f"a frame's index must be below {MOST_FRAMES}, got {frame.index}")
        if collected.summary is not None and frame.index >= collected.summary.frame_count:
            raise _out_of_range(collected.summary, frame.index)
        collected.frames[frame.index] = frame
        return self._settle(collected)

    def take(self, sequence_id: str = "") -> tuple[S, list[F]]:
        """The summary and frames in order of a sequence, by default of the newest complete one.

        Raises ConditioningError when it has not been received, or not all of it.
        """
        whole = self._complete
        if whole is not None and whole.summary is not None and sequence_id in ("", whole.sequence_id):
            return whole.summary, [whole.frames[index] for index in range(whole.summary.frame_count)]
        known = f"there is {whole.sequence_id!r}" if whole is not None else "there is none"
        coming = f", and {self._coming.state} have come" if self._coming is not None else ""
        wanted = f"sequence {sequence_id!r}" if sequence_id else "any sequence"
        raise ConditioningError(f"{wanted} must have been received as a whole; {known}{coming}")

    def drop(self) -> None:
        """Forgets the complete sequence; what is on its way stays."""
        if self._complete is not None:
            self._superseded.append(self._complete.sequence_id)
        self._complete = None

    def clear(self) -> None:
        """Forgets everything."""
        self._complete = self._coming = None
        self._superseded.clear()

    def _find(self, sequence_id: str) -> _Collected[S, F] | None:
        """The sequence's place, a new one if need be; None for one that was replaced by a newer one."""
        for kept in (self._complete, self._coming):
            if kept is not None and kept.sequence_id == sequence_id:
                return kept
        if sequence_id in self._superseded:
            return None
        if self._coming is not None:
            self._superseded.append(self._coming.sequence_id)
            if self._coming.has_gap:
                self._report(self._coming)
        self._coming = _Collected(sequence_id)
        return self._coming

    def _settle(self, collected: _Collected[S, F]) -> bool:
        if not collected.is_complete:
            if collected.has_ended:
                self._report(collected)
            return False
        self.drop()
        self._complete, self._coming = collected, None
        return True

    def _report(self, collected: _Collected[S, F]) -> None:
        if not collected.is_reported:
            collected.is_reported = True
            self._on_lost(f"{collected.state} have come, others were lost on the way")


def _out_of_range(summary: Summary, index: int) -> ConditioningError:
    return ConditioningError(
        f"frame indices of sequence {summary.sequence_id!r} must be below {summary.frame_count}, got {index}"
    )
