"""Recent messages by stamp, and those nearest to the moments that matter."""

from collections import deque
from typing import Generic, TypeVar

from k4d_world_model.errors import ConditioningError

Message = TypeVar("Message")

_SECOND_NS = 1_000_000_000


class StampedHistory(Generic[Message]):
    """Keeps messages for ``seconds``, and for each watched moment the nearest one for as long as it is watched.

    A plan's moment is known only when the plan comes, and its pointmaps take seconds more: without the first, the
    picture of that moment would be gone already; without the second, it would be gone by the time it is needed.
    """

    def __init__(self, seconds: float) -> None:
        self._span_ns = round(seconds * _SECOND_NS)
        self._recent: deque[tuple[int, Message]] = deque()
        self._nearest: dict[int, tuple[int, Message] | None] = {}

    def add(self, stamp_ns: int, message: Message) -> None:
        """Takes a message, in place of the newest where their stamps are one: a paused clock, a driver without stamps.

        One that lies before the newest by more than the history's span starts it anew.
        """
        if self._recent and stamp_ns < self._recent[-1][0] - self._span_ns:
            self._recent.clear()
        if self._recent and stamp_ns == self._recent[-1][0]:
            self._recent.pop()
        self._recent.append((stamp_ns, message))
        while self._recent[0][0] < stamp_ns - self._span_ns:
            self._recent.popleft()
        for moment_ns, known in self._nearest.items():
            if known is None or abs(stamp_ns - moment_ns) < abs(known[0] - moment_ns):
                self._nearest[moment_ns] = (stamp_ns, message)

    def watch(self, moments_ns: set[int]) -> None:
        """Remembers what is nearest to these moments, and no others, from now on."""
        self._nearest = {moment_ns: self._nearest.get(moment_ns) or self._search(moment_ns) for moment_ns in moments_ns}

    def nearest(self, moment_ns: int, tolerance: float, what: str) -> Message:
        """The message nearest to a watched moment. Raises ConditioningError when none lies within ``tolerance`` s."""
        found = self._nearest.get(moment_ns)
        if found is None:
            raise ConditioningError(f"no {what} has been received")
        offset = (found[0] - moment_ns) / _SECOND_NS
        if abs(offset) > tolerance:
            raise ConditioningError(
                f"the {what} nearest to the plan's start must be within {tolerance} s of it, got {offset:+.3f} s"
            )
        return found[1]

    def clear(self) -> None:
        """Forgets everything."""
        self._recent.clear()
        self._nearest.clear()

    def _search(self, moment_ns: int) -> tuple[int, Message] | None:
        return min(self._recent, key=lambda item: abs(item[0] - moment_ns), default=None)
