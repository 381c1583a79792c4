"""A cap on how many moments a second pass, judged by their stamps."""

from k4d_kinematics.errors import ConfigurationError

# A camera at just the capped rate jitters around it; without some leave every second image would be refused.
_EARLY_FRACTION = 0.25


class RateLimit:
    """Lets at most ``max_rate_hz`` stamps a second pass over time; 0 lets all pass."""

    def __init__(self, max_rate_hz: float) -> None:
        """Raises ConfigurationError on a negative or non-finite rate."""
        if not 0.0 <= max_rate_hz < float("inf"):
            raise ConfigurationError(f"max_rate_hz must be finite and >= 0, got {max_rate_hz}")
        self._period_ns = round(1e9 / max_rate_hz) if max_rate_hz > 0 else 0
        self._due_ns: int | None = None

    def passes(self, stamp_ns: int) -> bool:
        """Whether this stamp may pass; a stamp far before the last one starts anew, as after a jump of the clock."""
        due_ns = self._due_ns
        if due_ns is None or stamp_ns < due_ns - 2 * self._period_ns:
            due_ns = stamp_ns
        if stamp_ns < due_ns - self._period_ns * _EARLY_FRACTION:
            return False
        self._due_ns = max(due_ns, stamp_ns - self._period_ns) + self._period_ns
        return True
