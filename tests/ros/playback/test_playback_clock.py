"""The playback clock against a simulation in exact fractions that looks at the clock every millisecond."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4d_world_model.errors import PlaybackError
from k4d_world_model.playback_clock import PlaybackClock

MS = 1_000_000
TIMES = (0.25, 0.3, 0.45, 0.5, 0.75)
OFFSETS_MS = (0, 50, 200, 250, 500)
ROUND_MS = 625  # 500 ms and the mean interval of 125 ms


def playing(rate: float = 1.0, *, is_looping: bool = False, now_ns: int = 5 * MS) -> PlaybackClock:
    clock = PlaybackClock(TIMES, rate=rate, is_looping=is_looping)
    clock.resume(now_ns)
    return clock


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(3, 2), Fraction(4)]),
    looks_ms=st.lists(st.integers(1, 400), min_size=1, max_size=12),
    is_looping=st.booleans(),
)
def test_whenever_one_looks_every_frame_comes_once_with_its_own_moment(
    rate: Fraction, looks_ms: list[int], is_looping: bool
) -> None:
    clock, now_ms, came = playing(float(rate), is_looping=is_looping), 5, []
    for look in looks_ms:
        # Looked at so often that no whole round is missed.
        for _ in range(look):
            now_ms += 1
            came += clock.due(now_ms * MS) if now_ms % 7 == 0 else []
    came += clock.due(now_ms * MS)
    expected, played_ms, start = [], (now_ms - 5) * rate, 0
    while start <= played_ms:
        expected += [(k, 5 + (start + at) / rate) for k, at in enumerate(OFFSETS_MS) if start + at <= played_ms]
        if not is_looping:
            break
        start += ROUND_MS
    assert [index for index, _ in came] == [index for index, _ in expected]
    np.testing.assert_allclose([at for _, at in came], [float(at * MS) for _, at in expected], atol=4)


def test_more_than_a_round_late_the_rounds_between_are_left_out() -> None:
    clock = playing(is_looping=True)
    assert [index for index, _ in clock.due(5 * MS)] == [0]
    came = clock.due((5 + 100 * ROUND_MS + 60) * MS)
    assert [index for index, _ in came] == [0, 1]
    np.testing.assert_allclose([at for _, at in came], [(5 + 100 * ROUND_MS) * MS, (55 + 100 * ROUND_MS) * MS], atol=4)


def test_a_single_frame_is_shown_once_even_in_a_loop() -> None:
    clock = PlaybackClock([3.0], rate=1.0, is_looping=True)
    clock.resume(10)
    assert clock.due(20) == [(0, 10)]
    assert clock.due(10**15) == []
    assert not clock.is_running
    assert clock.duration == 0.0
    clock.resume(10**15)
    assert clock.due(10**15) == [(0, 10**15)]


def test_a_paused_clock_holds_its_position_through_everything() -> None:
    clock = playing()
    clock.due(30 * MS)
    clock.pause(40 * MS)
    assert not clock.is_running
    clock.set_rate(2.0, 900 * MS)
    assert clock.due(1000 * MS) == []
    clock.resume(1000 * MS)
    # 35 ms had been played of the 50 until the next frame: 15 ms at twice the speed.
    assert clock.due(1010 * MS) == [(1, 1_007_500_000)]


def test_before_a_simulated_clock_begins_nothing_passes() -> None:
    clock = playing(now_ns=0)
    assert clock.due(1700 * 10**9) == [(0, 1700 * 10**9)]


def test_resuming_twice_loses_no_time() -> None:
    clock = playing()
    clock.resume(30 * MS)
    assert [index for index, _ in clock.due(55 * MS)] == [0, 1]


@pytest.mark.parametrize("times_ns", [1, 50_000_001, 199_999_999])
def test_seeking_to_a_frames_own_time_in_whole_nanoseconds_shows_that_frame(times_ns: int) -> None:
    clock = PlaybackClock([0.0, times_ns * 1e-9 + 3e-10, 1.0], rate=1.0, is_looping=False)
    assert clock.seek(times_ns * 1e-9, 0) == 1


@pytest.mark.parametrize("position", [-1e-9, 0.5000001, float("nan"), float("inf")])
def test_positions_out_of_range_are_refused(position: float) -> None:
    with pytest.raises(PlaybackError, match=r"within 0\.\.0\.5"):
        playing().seek(position, 5 * MS)


@pytest.mark.parametrize("rate", [0.0, 0.009, 101.0, float("nan")])
def test_rates_out_of_range_are_refused(rate: float) -> None:
    with pytest.raises(PlaybackError, match=r"within 0\.01\.\.100"):
        PlaybackClock(TIMES, rate=rate, is_looping=False)
    clock = playing()
    with pytest.raises(PlaybackError):
        clock.set_rate(rate, 6 * MS)
    assert [index for index, _ in clock.due(55 * MS)] == [0, 1]


def test_what_passes_between_the_end_and_the_wish_to_repeat_counts_for_nothing() -> None:
    clock = playing()
    clock.due(10**6 * MS)
    assert not clock.is_running
    clock.is_looping = True
    assert clock.is_running
    hour_later = (10**6 + 3_600_000) * MS
    assert clock.due(hour_later) == []
    came = clock.due(hour_later + ROUND_MS * MS)
    assert [index for index, _ in came] == list(range(len(came)))
    assert 1 <= len(came) <= len(TIMES)
