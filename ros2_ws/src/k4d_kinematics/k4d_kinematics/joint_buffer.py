"""The recent past of a robot's joints, so that a pointmap can show the moment at which a camera looked."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.errors import JointStateError
from k4d_kinematics.robot import Robot

Array = NDArray[np.float64]

# So many states in a row that lie before the newest, in order among themselves, are no stragglers.
_LATE_IN_ORDER = 2


class JointBuffer:
    """Joint positions of the last ``horizon_ns``, interpolated in between.

    Stamps are integer nanoseconds: seconds since 1970 in a float64 are off by some hundred nanoseconds, which is
    enough to ask for a moment just after the newest sample.
    """

    def __init__(self, robot: Robot, horizon_ns: int) -> None:
        """Raises JointStateError unless ``horizon_ns`` is positive."""
        if horizon_ns <= 0:
            raise JointStateError(f"a joint buffer's horizon must be > 0 ns, got {horizon_ns}")
        self._robot, self._is_continuous = robot, robot.is_continuous
        self._horizon_ns = horizon_ns
        self._stamps_ns: deque[int] = deque()
        self._positions: deque[Array] = deque()
        self._late_ns, self._late_in_order = 0, 0

    def __len__(self) -> int:
        return len(self._stamps_ns)

    @property
    def is_left_behind(self) -> bool:
        """Whether the last refused states were in order of time among themselves: a recording is played again."""
        return self._late_in_order >= _LATE_IN_ORDER

    def add(self, stamp_ns: int, names: Sequence[str], positions: ArrayLike) -> Array:
        """Stores one joint state and returns its positions (J,) in the robot's order.

        Raises JointStateError on missing joints, non-finite numbers, no stamp, or one not after the newest.
        """
        ordered = self._robot.order_positions(names, positions)  # (J,)
        if stamp_ns <= 0:
            raise JointStateError(f"joint states must carry a stamp after 0 s, got {stamp_ns * 1e-9:.6f} s")
        if self._stamps_ns and stamp_ns <= self._stamps_ns[-1]:
            self._refuse(stamp_ns)
        self._late_in_order = 0
        self._stamps_ns.append(stamp_ns)
        self._positions.append(ordered)
        while self._stamps_ns[0] < stamp_ns - self._horizon_ns:
            self._stamps_ns.popleft()
            self._positions.popleft()
        return ordered

    def _refuse(self, stamp_ns: int) -> NoReturn:
        self._late_in_order = self._late_in_order + 1 if stamp_ns > self._late_ns else 1
        self._late_ns = stamp_ns
        behind = (self._stamps_ns[-1] - stamp_ns) * 1e-9
        what = f"one {behind:.9f} s before the newest" if behind else "two of the same stamp"
        raise JointStateError(f"joint states must come in order of time, got {what}")

    def at(self, stamp_ns: int) -> Array:
        """Positions (J,) at a moment, linear between samples; continuous joints go the short way round.

        Raises JointStateError when the moment lies before the oldest or after the newest sample.
        """
        if not self._stamps_ns:
            raise JointStateError("no joint state has been received")
        oldest, newest = self._stamps_ns[0], self._stamps_ns[-1]
        if not oldest <= stamp_ns <= newest:
            raise JointStateError(
                f"joint positions are known from {oldest * 1e-9:.6f} s to {newest * 1e-9:.6f} s, "
                f"not at {stamp_ns * 1e-9:.6f} s"
            )
        after = bisect_left(self._stamps_ns, stamp_ns)
        if self._stamps_ns[after] == stamp_ns:
            return self._positions[after]
        span = self._stamps_ns[after] - self._stamps_ns[after - 1]
        fraction = (stamp_ns - self._stamps_ns[after - 1]) / span
        step = self._positions[after] - self._positions[after - 1]
        turns = np.where(self._is_continuous, np.round(step / (2.0 * np.pi)), 0.0)
        return self._positions[after - 1] + fraction * (step - 2.0 * np.pi * turns)

    @property
    def newest(self) -> Array:
        """Positions (J,) of the newest sample, also while another thread adds. Raises JointStateError without any."""
        try:
            return self._positions[-1]
        except IndexError as error:
            raise JointStateError("no joint state has been received") from error

    def clear(self) -> None:
        """Forgets everything, as when the clock jumps back."""
        self._stamps_ns.clear()
        self._positions.clear()
        self._late_ns, self._late_in_order = 0, 0
