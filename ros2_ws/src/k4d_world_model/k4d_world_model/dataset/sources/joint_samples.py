"""Joint positions of a recording, each joint at its own stamps, whichever message it came in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import JointTrajectory
from k4d_world_model.errors import RejectedEpisodeError

Stamps = NDArray[np.int64]

_TELLABLE_NS = 1_000


class JointSamples:
    """Positions by joint, interpolated between their stamps in whole nanoseconds.

    An arm and its gripper may come in messages of their own. Samples may be added in any order; of two of one joint
    with the same stamp the first stands.
    """

    def __init__(self) -> None:
        self._samples: dict[str, dict[int, float]] = {}

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Every joint that has a position, in the order of first appearance."""
        return tuple(self._samples)

    def add(self, stamp_ns: int, names: Sequence[str], positions: Sequence[float]) -> None:
        """Adds one joint state; one without positions, such as a state of speeds only, adds nothing.

        Raises RejectedEpisodeError when names and positions differ in number or a position is not finite.
        """
        if len(positions) == 0:
            return
        if len(positions) != len(names):
            raise RejectedEpisodeError(
                f"a joint state must hold one position for each of {list(names)}, got {len(positions)} positions"
            )
        for name, position in zip(names, positions, strict=True):
            if not np.isfinite(position):
                raise RejectedEpisodeError(f"joint positions must be finite, got {position} for {name!r}")
            self._samples.setdefault(name, {}).setdefault(stamp_ns, float(position))

    def covered(self, names: Sequence[str], stamps_ns: Stamps, max_gap_ns: int) -> NDArray[np.bool_]:
        """Where (N,) all ``names`` are known: at a sample, or between two at most ``max_gap_ns`` apart.

        Raises RejectedEpisodeError naming a joint that was not recorded.
        """
        known = np.ones(len(stamps_ns), np.bool_)
        for name in names:
            times, _ = self._series(name)
            after = np.searchsorted(times, stamps_ns)
            inside = np.clip(after, 1, max(1, len(times) - 1))
            exact = times[np.minimum(after, len(times) - 1)] == stamps_ns
            between = np.zeros(len(stamps_ns), np.bool_)
            if len(times) > 1:
                gap = times[inside] - times[inside - 1]
                between = (times[0] < stamps_ns) & (stamps_ns < times[-1]) & (gap <= max_gap_ns)
            known &= exact | between
        return known

    def positions(
        self, names: Sequence[str], stamps_ns: Stamps, *, continuous: Sequence[str] = ()
    ) -> NDArray[np.float64]:
        """Positions (N, J) at stamps that are covered, linear between samples.

        ``continuous`` joints may jump by whole turns between samples and are unwrapped first. Raises
        RejectedEpisodeError naming a joint that was not recorded.
        """
        columns = []
        for name in names:
            times, values = self._series(name)
            path = np.unwrap(values) if name in continuous else values
            # Differences to the first stamp are exact in float64, stamps since 1970 are not.
            columns.append(np.interp((stamps_ns - times[0]).astype(float), (times - times[0]).astype(float), path))
        return np.stack(columns, axis=-1)

    def sampled(self, names: Sequence[str], step: float, *, continuous: Sequence[str] = ()) -> JointTrajectory:
        """The joints every ``step`` seconds from when all ``names`` are known, and when one is known for the last time.

        Times are stamps in seconds. Raises RejectedEpisodeError naming a joint that was not recorded, or when they are
        never known together.
        """
        first, last = self.range_ns(names)
        if last < first:
            raise RejectedEpisodeError(f"at no moment are all of its joints known: {', '.join(names)}")
        # Seconds since 1970 in a float64 do not tell stamps apart that are nearer than a quarter of a microsecond.
        stamps_ns = np.append(np.arange(first, last - _TELLABLE_NS, round(step * 1e9)), last)
        return JointTrajectory(tuple(names), stamps_ns / 1e9, self.positions(names, stamps_ns, continuous=continuous))

    def forget_before(self, stamp_ns: int) -> None:
        """Drops the samples before a stamp, and the joints of which none is left."""
        for name in list(self._samples):
            kept = {stamp: value for stamp, value in self._samples[name].items() if stamp >= stamp_ns}
            if kept:
                self._samples[name] = kept
            else:
                del self._samples[name]

    def range_ns(self, names: Sequence[str]) -> tuple[int, int]:
        """The first and last stamp at which all ``names`` are known."""
        ends = [self._series(name)[0][[0, -1]] for name in names]
        return int(max(end[0] for end in ends)), int(min(end[1] for end in ends))

    def _series(self, name: str) -> tuple[Stamps, NDArray[np.float64]]:
        if name not in self._samples:
            raise RejectedEpisodeError(f"joint {name!r} was not recorded; recorded are {', '.join(self.joint_names)}")
        samples = sorted(self._samples[name].items())
        return np.array([stamp for stamp, _ in samples], np.int64), np.array([value for _, value in samples])
