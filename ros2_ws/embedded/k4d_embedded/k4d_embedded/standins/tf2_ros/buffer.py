"""The buffer that nodes use: lookups that wait, futures, and a clear when the clock jumps back."""

import time as wall_time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future

from .buffer_core import BufferCore
from .messages import nanoseconds

_POLL_PERIOD = 0.02


class Buffer(BufferCore):
    """A `BufferCore` that can wait for transforms and forgets moving ones when the node's clock jumps back.

    Waiting polls, as tf2_ros does: in a callback of a single-threaded executor nothing new arrives meanwhile.
    The `tf2_frames` service of tf2_ros is not offered.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        super().__init__(cache_time)
        self._waiting: list[Callable[[], bool]] = []
        self.clock = node.get_clock() if node is not None else Clock()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(threshold, post_callback=self.time_jump_callback)

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Clear the buffer: the clock jumped back by a second or more, or changed its source."""
        get_logger("tf2_buffer").warning("Detected jump back in time. Clearing tf buffer.")
        self.clear()

    def set_transform(self, transform: Any, authority: str) -> None:
        """Add a moving frame's transform and complete the futures that waited for it."""
        super().set_transform(transform, authority)
        self._complete_waiting()

    def set_transform_static(self, transform: Any, authority: str) -> None:
        """Set a static frame's transform and complete the futures that waited for it."""
        super().set_transform_static(transform, authority)
        self._complete_waiting()

    def _complete_waiting(self) -> None:
        if self._waiting:
            with self._lock:
                self._waiting[:] = [complete for complete in self._waiting if not complete()]

    def lookup_transform(self, target_frame: str, source_frame: str, time: Any, timeout: Any = None) -> Any:
        """Return the transform of source points to the target frame at a time, waiting for it up to `timeout`.

        Raises LookupException, ConnectivityException, ExtrapolationException or InvalidArgumentException.
        """
        if timeout is not None:
            _wait(lambda: self.can_transform_core(target_frame, source_frame, time)[0], timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Any,
        source_frame: str,
        source_time: Any,
        fixed_frame: str,
        timeout: Any = None,
    ) -> Any:
        """Return the transform of the source frame at one time to the target frame at another, over a fixed frame."""
        ask = (target_frame, target_time, source_frame, source_time, fixed_frame)
        if timeout is not None:
            _wait(lambda: self.can_transform_full_core(*ask)[0], timeout)
        return self.lookup_transform_full_core(*ask)

    def can_transform(
        self, target_frame: str, source_frame: str, time: Any, timeout: Any = None, return_debug_tuple: bool = False
    ) -> bool | tuple[bool, str]:
        """Return whether the lookup succeeds within `timeout`; with `return_debug_tuple` also why not."""
        if timeout is not None:
            _wait(lambda: self.can_transform_core(target_frame, source_frame, time)[0], timeout)
        result = self.can_transform_core(target_frame, source_frame, time)
        return result if return_debug_tuple else result[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Any,
        source_frame: str,
        source_time: Any,
        fixed_frame: str,
        timeout: Any = None,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Return whether the lookup over a fixed frame succeeds within `timeout`; on request also why not."""
        ask = (target_frame, target_time, source_frame, source_time, fixed_frame)
        if timeout is not None:
            _wait(lambda: self.can_transform_full_core(*ask)[0], timeout)
        result = self.can_transform_full_core(*ask)
        return result if return_debug_tuple else result[0]

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Any) -> "Future[Any]":
        """Return a future that completes with the transform as soon as it is known."""
        ask = (target_frame, source_frame, time)
        return self._future(
            lambda: self.can_transform_core(*ask)[0],
            lambda: self.lookup_transform_core(*ask),
        )

    def wait_for_transform_full_async(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> "Future[Any]":
        """Return a future that completes with the transform over a fixed frame as soon as it is known."""
        ask = (target_frame, target_time, source_frame, source_time, fixed_frame)
        return self._future(
            lambda: self.can_transform_full_core(*ask)[0],
            lambda: self.lookup_transform_full_core(*ask),
        )

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Any) -> Any:
        """Return the transform of source points to the target frame, awaiting it."""
        return await self.wait_for_transform_async(target_frame, source_frame, time)

    async def lookup_transform_full_async(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> Any:
        """Return the transform over a fixed frame, awaiting it."""
        ask = (target_frame, target_time, source_frame, source_time, fixed_frame)
        return await self.wait_for_transform_full_async(*ask)

    def _future(self, is_known: Callable[[], bool], look_up: Callable[[], Any]) -> "Future[Any]":
        future: Future[Any] = Future()

        def complete() -> bool:
            if not future.done() and is_known():
                future.set_result(look_up())
            return bool(future.done())

        with self._lock:
            if not complete():
                self._waiting.append(complete)
        return future


def _wait(is_known: Callable[[], bool], timeout: Any) -> None:
    end = wall_time.monotonic() + nanoseconds(timeout) * 1e-9
    while not is_known() and wall_time.monotonic() < end:
        wall_time.sleep(_POLL_PERIOD)
