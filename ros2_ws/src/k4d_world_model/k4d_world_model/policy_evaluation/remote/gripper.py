"""What the number of a policy server's gripper means."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.errors import RemotePolicyError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GripperMeaning:
    """How a server counts a gripper: its ``open_value`` is ``joint`` at ``open_position`` metres, closed likewise.

    threshold: where it is given, values above it count as the greater of open and closed, all others as the smaller:
    the gripper opens or closes wholly. Raises RemotePolicyError on values that contradict each other.
    """

    joint: str
    open_position: float
    closed_position: float = 0.0
    open_value: float = 0.0
    closed_value: float = 1.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.open_position == self.closed_position or self.open_value == self.closed_value:
            raise RemotePolicyError(f"open and closed grippers must differ in position and value, got {self}")
        low, high = sorted((self.open_value, self.closed_value))
        if self.threshold is not None and not low < self.threshold < high:
            raise RemotePolicyError(f"a gripper's threshold must lie between {low} and {high}, got {self.threshold}")

    def value(self, position: float) -> float:
        """What the server calls a position in metres."""
        share = (position - self.closed_position) / (self.open_position - self.closed_position)
        return self.closed_value + share * (self.open_value - self.closed_value)

    def positions(self, values: Array) -> Array:
        """Positions (N,) in metres of what the server calls them."""
        if self.threshold is not None:
            low, high = sorted((self.open_value, self.closed_value))
            values = np.where(values > self.threshold, high, low)
        share = (values - self.closed_value) / (self.open_value - self.closed_value)
        return self.closed_position + share * (self.open_position - self.closed_position)
