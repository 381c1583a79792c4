"""The rate cap on jittering cameras and clocks that jump."""

import numpy as np
import pytest

from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.rate_limit import RateLimit

START_NS = 1_760_000_000_000_000_000


def passed(limit: RateLimit, stamps_ns: np.ndarray) -> int:
    return sum(limit.passes(int(stamp)) for stamp in stamps_ns)


@pytest.mark.parametrize(
    ("camera_hz", "cap_hz", "expected"), [(30, 30, 300), (60, 30, 300), (100, 30, 300), (20, 30, 200)]
)
def test_a_jittering_camera_passes_at_the_cap(camera_hz: float, cap_hz: float, expected: int) -> None:
    rng = np.random.default_rng(0)
    period_ns = 1e9 / camera_hz
    stamps_ns = START_NS + np.arange(10 * camera_hz) * period_ns + rng.uniform(-0.1, 0.1, 10 * camera_hz) * period_ns
    assert passed(RateLimit(cap_hz), stamps_ns) == pytest.approx(expected, abs=0.02 * expected)


def test_zero_lets_everything_pass() -> None:
    assert passed(RateLimit(0.0), np.array([START_NS, START_NS, START_NS + 1])) == 3


def test_a_clock_that_jumps_back_starts_anew() -> None:
    limit = RateLimit(10.0)
    assert limit.passes(START_NS)
    assert not limit.passes(START_NS + 1)
    assert limit.passes(START_NS - 5_000_000_000)


def test_a_pause_does_not_save_up() -> None:
    limit = RateLimit(10.0)
    limit.passes(START_NS)
    burst = START_NS + 5_000_000_000 + np.arange(10) * 1_000_000
    assert passed(limit, burst) <= 2


@pytest.mark.parametrize("rate", [-1.0, float("inf"), float("nan")])
def test_refuses_other_rates(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="max_rate_hz"):
        RateLimit(rate)
