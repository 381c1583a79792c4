"""Filters that put messages of several topics together by their stamps."""

import itertools
from collections.abc import Sequence
from threading import RLock
from typing import Any

from rclpy.duration import Duration

from .filters import SimpleFilter, stamp_of


class TimeSynchronizer(SimpleFilter):
    """Calls back with one message of every input whose stamps are equal; oldest sets first.

    `queue_size` messages of each input wait for their partners; of more, the ones with the oldest stamps are dropped.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = RLock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Take messages from these filters, in the order of the callback's arguments."""
        self.queues: list[dict[int, Any]] = [{} for _ in fs]  # per input: messages by stamp in nanoseconds
        self.input_connections = [
            source.registerCallback(self.add, queue, index)
            for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int) -> None:
        """Take a message of one input and call back with the sets that it completes."""
        stamp = stamp_of(msg, allow_headerless=False, asker="message_filters")
        if stamp is None:
            return
        with self.lock:
            self._enqueue(my_queue, stamp.nanoseconds, msg)
            for stamp_ns in sorted(set.intersection(*(set(queue) for queue in self.queues))):
                self._emit([stamp_ns] * len(self.queues))

    def _enqueue(self, queue: dict[int, Any], stamp_ns: int, msg: Any) -> None:
        queue[stamp_ns] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _emit(self, stamps_ns: Sequence[int]) -> None:
        messages = [queue.pop(stamp_ns) for queue, stamp_ns in zip(self.queues, stamps_ns, strict=True)]
        self.signalMessage(*messages)


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Calls back with one message of every input whose stamps lie less than `slop` seconds apart.

    An arriving message takes the partners closest to its own stamp. Messages without a header count as stamped on
    arrival where `allow_headerless` is set, and are ignored with a warning where it is not.
    """

    def __init__(
        self, fs: Sequence[SimpleFilter], queue_size: int, slop: float, allow_headerless: bool = False
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int) -> None:
        """Take a message of one input and call back with the set that it completes, if there is one."""
        stamp = stamp_of(msg, allow_headerless=self.allow_headerless, asker="message_filters_approx")
        if stamp is None:
            return
        own_ns = stamp.nanoseconds
        with self.lock:
            self._enqueue(my_queue, own_ns, msg)
            if own_ns not in my_queue:
                return
            candidates = [[own_ns] if q is my_queue else self._near(q, own_ns) for q in self.queues]
            for stamps_ns in itertools.product(*candidates):
                if max(stamps_ns) - min(stamps_ns) < self.slop.nanoseconds:
                    self._emit(stamps_ns)
                    return

    def _near(self, queue: dict[int, Any], own_ns: int) -> list[int]:
        near = [stamp_ns for stamp_ns in queue if abs(stamp_ns - own_ns) <= self.slop.nanoseconds]
        return sorted(near, key=lambda stamp_ns: abs(stamp_ns - own_ns))
