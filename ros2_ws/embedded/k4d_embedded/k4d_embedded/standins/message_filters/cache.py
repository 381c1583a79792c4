"""A filter that remembers the last messages."""

from collections import deque
from typing import Any

from rclpy.time import Time

from .filters import SimpleFilter, stamp_of


class Cache(SimpleFilter):
    """The last `cache_size` messages of a filter in order of arrival, found by stamp; passes every message on."""

    def __init__(self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False) -> None:
        super().__init__()
        self.allow_headerless = allow_headerless
        self._entries: deque[tuple[Time, Any]] = deque(maxlen=cache_size)
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:
        """Take messages from a filter."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Remember a message."""
        stamp = stamp_of(msg, allow_headerless=self.allow_headerless, asker="message_filters_cache")
        if stamp is not None:
            self._entries.append((stamp, msg))
            self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """Return the messages stamped from one time to another, both included."""
        return [msg for stamp, msg in self._entries if from_stamp <= stamp <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:
        """Return the first message stamped at or after a time, None where there is none."""
        return next((msg for own, msg in self._entries if own >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:
        """Return the last message stamped at or before a time, None where there is none."""
        return next((msg for own, msg in reversed(self._entries) if own <= stamp), None)

    def getLastestTime(self) -> Time | None:
        """Return the stamp of the last message, None before the first one."""
        return self._entries[-1][0] if self._entries else None

    def getOldestTime(self) -> Time | None:
        """Return the stamp of the first remembered message, None before the first one."""
        return self._entries[0][0] if self._entries else None

    def getLast(self) -> Any:
        """Return the first remembered message with the last one's stamp or a later one, None before the first one."""
        latest = self.getLastestTime()
        return None if latest is None else self.getElemAfterTime(latest)
