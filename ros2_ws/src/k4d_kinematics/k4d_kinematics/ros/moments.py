"""Messages of several topics put together by their stamps, also after the clock or a recording has begun anew."""

from collections.abc import Sequence
from typing import Any

from message_filters import ApproximateTimeSynchronizer, SimpleFilter

from k4d_kinematics.ros.conversions import nanoseconds

# Nanoseconds by which a stamp must lie before the newest of its topic for time to have begun anew.
_JUMP_NS = 1_000_000_000


class Moments(ApproximateTimeSynchronizer):
    """As message_filters' own, for stamps at most ``tolerance`` seconds apart, 0 for equal ones.

    That one drops the oldest stamps where its queues are full: after a jump back in time, whatever comes. Here a jump
    empties the queues.
    """

    def __init__(self, inputs: Sequence[SimpleFilter], queue_size: int, tolerance: float) -> None:
        self._newest_ns: dict[int, int] = {}
        super().__init__(inputs, queue_size, tolerance + 1e-9)  # its slop is no longer valid itself

    def add(self, msg: Any, my_queue: dict[Any, Any], my_queue_index: int) -> None:
        """Takes a message of one input."""
        stamp_ns = nanoseconds(msg.header.stamp)
        newest_ns = self._newest_ns.get(my_queue_index, stamp_ns)
        if stamp_ns < newest_ns - _JUMP_NS:
            with self.lock:
                for queue in self.queues:
                    queue.clear()
            self._newest_ns.clear()
            newest_ns = stamp_ns
        self._newest_ns[my_queue_index] = max(newest_ns, stamp_ns)
        super().add(msg, my_queue, my_queue_index)
