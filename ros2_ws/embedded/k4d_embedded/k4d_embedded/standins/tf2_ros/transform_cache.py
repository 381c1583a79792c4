"""The history of one frame's transform to its parent: a sorted list for moving frames, one entry for static ones."""

from bisect import bisect_left
from typing import NamedTuple

from .exceptions import ExtrapolationException
from .rotation import Quaternion, Vector, slerp


class Edge(NamedTuple):
    """Takes points in a frame to its parent: parent name, translation in metres, unit quaternion x, y, z, w."""

    parent: str
    translation: Vector
    q_xyzw: Quaternion


class StaticCache:
    """One transform that holds at every time."""

    is_static = True

    def __init__(self) -> None:
        self._edge: Edge | None = None

    def insert(self, stamp_ns: int, edge: Edge) -> bool:
        """Replace the transform and return True."""
        self._edge = edge
        return True

    def at(self, time_ns: int) -> Edge:
        """Return the transform, whatever the time."""
        assert self._edge is not None, "a static cache is made together with its first entry"
        return self._edge

    def latest_parent(self) -> str | None:
        """Return the parent's name."""
        return self.at(0).parent

    def span_ns(self) -> tuple[int, int]:
        """Return (0, 0): a static transform has no times."""
        return 0, 0

    def __len__(self) -> int:
        return 1

    def clear(self) -> None:
        """Keep the transform: static ones are published once and outlive a jump of the clock."""


class MovingCache:
    """Transforms by time, the newest `keep_ns` nanoseconds of them; interpolates between neighbours."""

    is_static = False

    def __init__(self, keep_ns: int) -> None:
        self._keep_ns = keep_ns
        self._stamps_ns: list[int] = []
        self._edges: list[Edge] = []

    def insert(self, stamp_ns: int, edge: Edge) -> bool:
        """Drop what is too old beside the newest stamp so far, and sort a transform in; False if it is too old itself.

        Of several with one stamp the last one counts.
        """
        stamps = self._stamps_ns
        if stamps:
            oldest_ns = stamps[-1] - self._keep_ns
            if stamps[0] < oldest_ns:
                kept = bisect_left(stamps, oldest_ns)
                del stamps[:kept]
                del self._edges[:kept]
            if stamp_ns < oldest_ns:
                return False
        index = bisect_left(stamps, stamp_ns)
        if index < len(stamps) and stamps[index] == stamp_ns:
            self._edges[index] = edge
        else:
            stamps.insert(index, stamp_ns)
            self._edges.insert(index, edge)
        return True

    def at(self, time_ns: int) -> Edge:
        """Return the transform at a time in nanoseconds, 0 for the latest; raises ExtrapolationException."""
        stamps = self._stamps_ns
        if not stamps:
            raise ExtrapolationException(_only_one_text(time_ns, 0))
        if time_ns == 0:
            return self._edges[-1]
        index = bisect_left(stamps, time_ns)
        if index < len(stamps) and stamps[index] == time_ns:
            return self._edges[index]
        if index == 0 or index == len(stamps):
            raise ExtrapolationException(self._extrapolation_text(time_ns))
        before, after = self._edges[index - 1], self._edges[index]
        if before.parent != after.parent:
            return before
        ratio = (time_ns - stamps[index - 1]) / (stamps[index] - stamps[index - 1])
        (ax, ay, az), (bx, by, bz) = before.translation, after.translation
        translation = (ax + ratio * (bx - ax), ay + ratio * (by - ay), az + ratio * (bz - az))
        return Edge(before.parent, translation, slerp(before.q_xyzw, after.q_xyzw, ratio))

    def _extrapolation_text(self, time_ns: int) -> str:
        first_ns, last_ns = self.span_ns()
        if first_ns == last_ns:
            return _only_one_text(time_ns, first_ns)
        if time_ns > last_ns:
            direction, edge_text = "future", f"the latest data is at time {seconds_text(last_ns)}"
        else:
            direction, edge_text = "past", f"the earliest data is at time {seconds_text(first_ns)}"
        asked = seconds_text(time_ns)
        return f"Lookup would require extrapolation into the {direction}.  Requested time {asked} but {edge_text}"

    def latest_parent(self) -> str | None:
        """Return the parent's name of the latest transform, None after a clear."""
        return self._edges[-1].parent if self._edges else None

    def span_ns(self) -> tuple[int, int]:
        """Return the earliest and the latest stamp in nanoseconds, (0, 0) after a clear."""
        return (self._stamps_ns[0], self._stamps_ns[-1]) if self._stamps_ns else (0, 0)

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def clear(self) -> None:
        """Forget every transform."""
        self._stamps_ns.clear()
        self._edges.clear()


def seconds_text(time_ns: int) -> str:
    """Return a time as tf2 writes it: seconds with six decimals."""
    return f"{time_ns * 1e-9:.6f}"


def _only_one_text(time_ns: int, only_ns: int) -> str:
    return (
        f"Lookup would require extrapolation at time {seconds_text(time_ns)}, "
        f"but only time {seconds_text(only_ns)} is in the buffer"
    )
