"""Which frame of a sequence is due when, however its playback is paused, moved, sped up or repeated."""

import bisect
import math
from collections.abc import Sequence

from k4d_world_model.errors import PlaybackError

SLOWEST, FASTEST = 0.01, 100.0
_SECOND_NS = 1_000_000_000


class PlaybackClock:
    """The position in a sequence of T frames, driven by a clock that tells whole nanoseconds, 0 before it begins.

    Positions are seconds after the first frame. While it loops, the last frame lasts as long as the others do on
    average; a single frame is not repeated. It starts paused before frame 0.
    """

    def __init__(self, times: Sequence[float], *, rate: float, is_looping: bool) -> None:
        """``times`` (T,) strictly increasing seconds of the frames. Raises PlaybackError on a rate out of range."""
        self._offsets_ns = [(time - times[0]) * _SECOND_NS for time in times]
        last_ns = self._offsets_ns[-1]
        self._round_ns = last_ns + last_ns / (len(times) - 1) if len(times) > 1 else math.inf
        self._rate = checked_rate(rate)
        self.is_looping = is_looping
        self._now_ns: int | None = None  # when _position_ns was taken, None while paused
        self._position_ns = 0.0  # after the first frame of the present round
        self._next = 0  # the frame that comes next; T at the end

    @property
    def duration(self) -> float:
        """Seconds from the first to the last frame."""
        return self._offsets_ns[-1] / _SECOND_NS

    def moment(self, index: int) -> float:
        """Seconds from the first frame to frame ``index``."""
        return self._offsets_ns[index] / _SECOND_NS

    @property
    def is_running(self) -> bool:
        """Whether frames will become due: neither paused nor at the end."""
        return self._now_ns is not None and (self._next < len(self._offsets_ns) or self._repeats)

    @property
    def _repeats(self) -> bool:
        return self.is_looping and math.isfinite(self._round_ns)

    def resume(self, now_ns: int) -> None:
        """Goes on from here, or from the beginning where it is at the end."""
        if self._next == len(self._offsets_ns) and not self._repeats:
            self._position_ns, self._next = 0.0, 0
        self._advance(now_ns)
        self._now_ns = now_ns

    def pause(self, now_ns: int) -> None:
        """Holds the position."""
        self._advance(now_ns)
        self._now_ns = None

    def seek(self, position: float, now_ns: int) -> int:
        """Moves to ``position``, paused or not; the index of the frame to show at once.

        Raises PlaybackError outside of 0 to ``duration``.
        """
        if not 0.0 <= position <= self.duration:
            raise PlaybackError(f"position must be within 0..{self.duration:.9f} s, got {position:.9f} s")
        self._advance(now_ns)
        self._position_ns = position * _SECOND_NS
        # Half a nanosecond: a duration in whole nanoseconds means the frame whose time it is the rounding of.
        self._next = bisect.bisect_right(self._offsets_ns, self._position_ns + 0.5)
        return self._next - 1

    def step(self, count: int, now_ns: int) -> int:
        """Pauses and moves by ``count`` frames, backward where negative; the index of the frame to show.

        Raises PlaybackError before the first and after the last frame; it is paused all the same.
        """
        self.pause(now_ns)
        shown, last = max(self._next - 1, 0), len(self._offsets_ns) - 1
        if not 0 <= shown + count <= last:
            raise PlaybackError(f"from frame {shown}, frames must be within {-shown}..{last - shown}, got {count}")
        self._next = shown + count + 1
        self._position_ns = self._offsets_ns[shown + count]
        return shown + count

    def set_rate(self, rate: float, now_ns: int) -> None:
        """Goes on from here at ``rate`` times real time. Raises PlaybackError on a rate out of range."""
        checked_rate(rate)
        self._advance(now_ns)
        self._rate = rate

    def due(self, now_ns: int) -> list[tuple[int, int]]:
        """Frames that became due since the last call, each with the clock's time at which it was due.

        All of them, however late; only what is more than one whole round late is left out.
        """
        self._advance(now_ns)
        frames = []
        if self._repeats and self._position_ns >= 2 * self._round_ns:
            self._position_ns, self._next = self._round_ns + self._position_ns % self._round_ns, len(self._offsets_ns)
        while self._now_ns is not None:
            if self._next == len(self._offsets_ns):
                if not self._repeats:
                    # Nothing asks any more: what passes until it is to repeat counts for nothing.
                    self._position_ns, self._now_ns = self._offsets_ns[-1], 0
                if not self._repeats or self._position_ns < self._round_ns:
                    break
                self._position_ns, self._next = self._position_ns - self._round_ns, 0
            late_ns = self._position_ns - self._offsets_ns[self._next]
            if late_ns < 0:
                break
            frames.append((self._next, now_ns - round(late_ns / self._rate)))
            self._next += 1
        return frames

    def _advance(self, now_ns: int) -> None:
        """Takes the position at ``now_ns``; a clock that jumped back, or has just begun, goes on from there."""
        if self._now_ns is not None:
            if 0 < self._now_ns < now_ns:
                self._position_ns += (now_ns - self._now_ns) * self._rate
            self._now_ns = now_ns


def checked_rate(rate: float) -> float:
    """The rate itself. Raises PlaybackError unless it is a number within 0.01 to 100."""
    if not SLOWEST <= rate <= FASTEST:
        raise PlaybackError(f"rate must be within {SLOWEST:g}..{FASTEST:g}, got {rate:g}")
    return rate
