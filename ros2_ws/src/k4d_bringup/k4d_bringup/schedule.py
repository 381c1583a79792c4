"""When recorded moments come again: a recording's clock against the present one."""

from dataclasses import dataclass

from k4d_bringup.errors import BagError


@dataclass(frozen=True)
class Schedule:
    """A recording that starts at ``recorded_start_ns`` played from ``start_ns`` on at ``rate`` times real time.

    Raises BagError unless the rate is finite and positive.
    """

    recorded_start_ns: int
    start_ns: int
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < float("inf"):
            raise BagError(f"rate must be finite and > 0, got {self.rate}")

    def due_ns(self, recorded_ns: int) -> int:
        """The present moment at which a recorded one comes again."""
        return self.start_ns + round((recorded_ns - self.recorded_start_ns) / self.rate)
