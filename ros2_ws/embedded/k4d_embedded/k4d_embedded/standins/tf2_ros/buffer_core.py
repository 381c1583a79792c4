"""The tree of frames and its lookups, with tf2's rules for time, trees and errors; no node and no waiting."""

import logging
from collections.abc import Iterator
from threading import RLock
from typing import Any

from rclpy.duration import Duration
from rclpy.time import Time

from .exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from .frame_report import frames_as_text, frames_as_yaml, unconnected_text
from .messages import edge_from_message, fault, nanoseconds, to_message
from .rotation import Quaternion, Vector, multiply, rotate
from .transform_cache import MovingCache, StaticCache

DEFAULT_CACHE_TIME = 10.0

_NO_TRANSLATION: Vector = (0.0, 0.0, 0.0)
_NO_ROTATION: Quaternion = (0.0, 0.0, 0.0, 1.0)

_logger = logging.getLogger(__name__)


class BufferCore:
    """Transforms between named frames over the last `cache_time`, looked up at any time in it.

    Times are `rclpy.time.Time` or `builtin_interfaces/Time`; zero asks for the latest time that all edges between the
    two frames know. Every method may be called from several threads.
    """

    def __init__(self, cache_time: Duration | None = None) -> None:
        keep_ns = cache_time.nanoseconds if cache_time is not None else int(DEFAULT_CACHE_TIME * 1e9)
        self._keep_ns = keep_ns
        self._caches: dict[str, MovingCache | StaticCache | None] = {}  # None for a frame that has no parent
        self._authorities: dict[str, str] = {}
        self._lock = RLock()

    def set_transform(self, transform: Any, authority: str) -> None:
        """Add a moving frame's `TransformStamped`; a malformed or too old one is logged and ignored, as by tf2."""
        self._insert(transform, authority, is_static=False)

    def set_transform_static(self, transform: Any, authority: str) -> None:
        """Set a static frame's `TransformStamped`; a malformed one is logged and ignored, as by tf2."""
        self._insert(transform, authority, is_static=True)

    def _insert(self, transform: Any, authority: str, *, is_static: bool) -> None:
        child, edge = edge_from_message(transform)
        cause = fault(child, edge)
        if cause:
            _logger.error("%s: ignoring the transform of %r to %r from %r", cause, child, edge.parent, authority)
            return
        stamp_ns = nanoseconds(transform.header.stamp)
        with self._lock:
            cache = self._caches.get(child)
            if cache is None or cache.is_static != is_static:
                cache = self._caches[child] = StaticCache() if is_static else MovingCache(self._keep_ns)
            self._caches.setdefault(edge.parent, None)
            if cache.insert(stamp_ns, edge):
                self._authorities[child] = authority
                return
        _logger.warning("TF_OLD_DATA: ignoring data from the past for frame %r from %r", child, authority)

    def clear(self) -> None:
        """Forget all moving transforms; frame names and static transforms stay."""
        with self._lock:
            for cache in self._caches.values():
                if cache is not None:
                    cache.clear()

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: Any) -> Any:
        """Return the `TransformStamped` that takes points in the source frame to the target frame.

        Its header names the target frame and the time that was looked up, `child_frame_id` the source frame.
        Raises LookupException, ConnectivityException, ExtrapolationException or InvalidArgumentException.
        """
        with self._lock:
            time_ns, shift, turn = self._lookup(target_frame, source_frame, nanoseconds(time))
        return to_message(target_frame, source_frame, time_ns, shift, turn)

    def lookup_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> Any:
        """Return the transform of the source frame at one time to the target frame at another.

        `fixed_frame` is the frame that stands still between the two. The stamp is the target's time. Raises as
        `lookup_transform_core` does.
        """
        with self._lock:
            for role, frame in (("target", target_frame), ("source", source_frame), ("fixed", fixed_frame)):
                self._check_name(frame, f"lookupTransform argument {role}_frame")
            _, shift_1, turn_1 = self._lookup(fixed_frame, source_frame, nanoseconds(source_time))
            time_ns, shift_2, turn_2 = self._lookup(target_frame, fixed_frame, nanoseconds(target_time))
        shift = _add(rotate(turn_2, shift_1), shift_2)
        return to_message(target_frame, source_frame, time_ns, shift, multiply(turn_2, turn_1))

    def can_transform_core(self, target_frame: str, source_frame: str, time: Any) -> tuple[bool, str]:
        """Return whether the lookup would succeed, and why not."""
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def can_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> tuple[bool, str]:
        """Return whether the lookup over a fixed frame would succeed, and why not."""
        try:
            self.lookup_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the latest time that all moving edges between two frames know, zero where all are static."""
        with self._lock:
            for frame in (target_frame, source_frame):
                self._check_name(frame, "get_latest_common_time")
            return Time(nanoseconds=self._latest_common_ns(target_frame, source_frame))

    def all_frames_as_yaml(self) -> str:
        """Return the tree as YAML: per frame its parent, broadcaster, rate, newest and oldest stamp."""
        with self._lock:
            return frames_as_yaml(self._caches, self._authorities)

    def all_frames_as_string(self) -> str:
        """Return one sentence per frame that has a parent."""
        with self._lock:
            return frames_as_text(self._caches)

    def _lookup(self, target: str, source: str, time_ns: int) -> tuple[int, Vector, Quaternion]:
        if target == source:
            cache = self._caches.get(target)
            latest_ns = cache.span_ns()[1] if cache is not None else 0
            return time_ns or latest_ns, _NO_TRANSLATION, _NO_ROTATION
        self._check_name(target, "lookupTransform argument target_frame")
        self._check_name(source, "lookupTransform argument source_frame")
        if time_ns == 0:
            time_ns = self._latest_common_ns(target, source)
        try:
            return time_ns, *self._compose(target, source, time_ns)
        except ExtrapolationException as error:
            raise ExtrapolationException(
                f"{error}, when looking up transform from frame [{source}] to frame [{target}]"
            ) from None

    def _compose(self, target: str, source: str, time_ns: int) -> tuple[Vector, Quaternion]:
        """Walk up from the source to the target or the root, then up from the target until the walks meet."""
        shift, turn = _NO_TRANSLATION, _NO_ROTATION
        source_walk = {source: (shift, turn)}  # transforms of source points to every frame above
        beyond: ExtrapolationException | None = None
        frame = source
        while frame != target:
            cache = self._caches[frame]
            if cache is None:
                break
            try:
                edge = cache.at(time_ns)
            except ExtrapolationException as error:
                beyond = error  # the walks may still meet below this edge
                break
            shift, turn = _add(rotate(edge.q_xyzw, shift), edge.translation), multiply(edge.q_xyzw, turn)
            frame = edge.parent
            if frame in source_walk:
                raise LookupException(self._loop_text())
            source_walk[frame] = (shift, turn)
        if frame == target:
            return shift, turn
        return self._meet(target, source, time_ns, source_walk, beyond)

    def _meet(
        self,
        target: str,
        source: str,
        time_ns: int,
        source_walk: dict[str, tuple[Vector, Quaternion]],
        beyond: ExtrapolationException | None,
    ) -> tuple[Vector, Quaternion]:
        frame, shift, turn = target, _NO_TRANSLATION, _NO_ROTATION
        visited = {target}
        while frame not in source_walk:
            cache = self._caches[frame]
            if cache is None:
                raise beyond or ConnectivityException(unconnected_text(target, source))
            edge = cache.at(time_ns)
            shift, turn = _add(rotate(edge.q_xyzw, shift), edge.translation), multiply(edge.q_xyzw, turn)
            frame = edge.parent
            if frame in visited:
                raise LookupException(self._loop_text())
            visited.add(frame)
        source_shift, source_turn = source_walk[frame]
        back: Quaternion = (-turn[0], -turn[1], -turn[2], turn[3])
        offset = (source_shift[0] - shift[0], source_shift[1] - shift[1], source_shift[2] - shift[2])
        return rotate(back, offset), multiply(back, source_turn)

    def _latest_common_ns(self, target: str, source: str) -> int:
        above_source: list[tuple[str, int]] = []  # (parent, newest stamp of the edge to it)
        for edge in self._latest_parents(source):
            above_source.append(edge)
            if edge[0] == target:
                return _earliest(above_source, target)
        above_target = list(self._latest_parents(target))
        meeting_points = {parent for parent, _ in above_source} | {source}
        for parent, _ in above_target:
            if parent in meeting_points:
                own = _earliest(above_target, parent)
                other = _earliest(above_source, parent) if parent != source else 0
                return min(own or other, other or own)
        raise ConnectivityException(unconnected_text(target, source))

    def _latest_parents(self, frame: str) -> Iterator[tuple[str, int]]:
        visited = {frame}
        cache = self._caches.get(frame)
        while cache is not None and (parent := cache.latest_parent()) is not None:
            yield parent, cache.span_ns()[1]
            if parent in visited:
                raise LookupException(self._loop_text())
            visited.add(parent)
            cache = self._caches.get(parent)

    def _check_name(self, frame: str, role: str) -> None:
        if not frame:
            raise InvalidArgumentException(f'Invalid argument "" passed to {role} - in tf2 frame_ids cannot be empty')
        if frame.startswith("/"):
            raise InvalidArgumentException(
                f"Invalid argument \"{frame}\" passed to {role} - in tf2 frame_ids cannot start with a '/'"
            )
        if frame not in self._caches:
            raise LookupException(f'"{frame}" passed to {role} does not exist. ')

    def _loop_text(self) -> str:
        return f"The tf tree is invalid because it contains a loop.\n{self.all_frames_as_string()}"


def _earliest(parents: list[tuple[str, int]], last: str) -> int:
    """Return the earliest of the newest stamps on the way up to frame `last`; static edges (0) do not count."""
    names = [parent for parent, _ in parents]
    stamps_ns = [stamp_ns for _, stamp_ns in parents[: names.index(last) + 1] if stamp_ns]
    return min(stamps_ns, default=0)


def _add(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
