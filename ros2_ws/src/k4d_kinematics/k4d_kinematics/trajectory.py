"""Joint trajectories: positions of named joints over time, whatever they were made from."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics.errors import JointStateError, TrajectoryError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class JointTrajectory:
    """Positions of J named joints at T times.

    ``joint_names`` are J unique names; ``times`` (T,) are strictly increasing finite seconds, T >= 1; ``positions``
    (T, J) are finite radians (metres for prismatic joints); ``velocities`` (T, J) are their time derivatives where the
    source knew them, else None. Raises TrajectoryError on construction when one of these does not hold.
    """

    joint_names: tuple[str, ...]
    times: Array
    positions: Array
    velocities: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "joint_names", _checked_names(self.joint_names))
        object.__setattr__(self, "times", checked_times(self.times))
        shape = (len(self.times), len(self.joint_names))
        object.__setattr__(self, "positions", checked_samples("positions", self.positions, shape))
        if self.velocities is not None:
            object.__setattr__(self, "velocities", checked_samples("velocities", self.velocities, shape))

    def __len__(self) -> int:
        return len(self.times)

    @property
    def duration(self) -> float:
        """Seconds from the first to the last sample."""
        return float(self.times[-1] - self.times[0])

    @classmethod
    def from_positions(
        cls,
        joint_names: Sequence[str],
        positions: ArrayLike,
        *,
        times: ArrayLike | None = None,
        rate_hz: float | None = None,
    ) -> JointTrajectory:
        """A trajectory from positions (T, J) at ``times`` (T,) in seconds, or at ``rate_hz`` starting at time 0.

        Raises TrajectoryError unless exactly one of ``times`` and ``rate_hz`` is given, and on wrong values.
        """
        if (times is None) == (rate_hz is None):
            raise TrajectoryError(f"give either times or rate_hz, got times={times!r} and rate_hz={rate_hz}")
        samples = _as_array("positions", positions)
        if rate_hz is not None:
            if not (np.isfinite(rate_hz) and rate_hz > 0):
                raise TrajectoryError(f"rate_hz must be finite and > 0, got {rate_hz}")
            times = np.arange(len(np.atleast_1d(samples))) / rate_hz
        assert times is not None
        return cls(_checked_names(joint_names), _as_array("times", times), samples)

    @classmethod
    def from_points(
        cls,
        joint_names: Sequence[str],
        positions: ArrayLike,
        times_from_start: ArrayLike,
        velocities: ArrayLike | None = None,
        *,
        start_time: float = 0.0,
    ) -> JointTrajectory:
        """A trajectory from the points of a planned ``trajectory_msgs/JointTrajectory``.

        ``positions`` and ``velocities`` are (T, J), ``times_from_start`` (T,) seconds >= 0 after ``start_time``.
        Raises TrajectoryError on negative times and on whatever JointTrajectory refuses.
        """
        offsets = _as_array("times_from_start", times_from_start)
        if (offsets < 0).any():
            index = int(np.argmax(offsets.ravel() < 0))
            raise TrajectoryError(f"times_from_start must be >= 0 s, got {offsets.ravel()[index]} at point {index}")
        rates = None if velocities is None else _as_array("velocities", velocities)
        return cls(_checked_names(joint_names), start_time + offsets, _as_array("positions", positions), rates)

    def resample(self, times: ArrayLike) -> JointTrajectory:
        """The trajectory at other ``times`` (T',) inside its own range.

        Cubic Hermite where velocities are known, else linear in joint space: a continuous joint that was recorded
        wrapped must be unwrapped first. Raises TrajectoryError when a time lies outside the range.
        """
        moments = checked_times(times)
        first, last = self.times[0], self.times[-1]
        outside = (moments < first) | (moments > last)
        if outside.any():
            asked = moments[np.argmax(outside)]
            raise TrajectoryError(f"a trajectory from {first} s to {last} s cannot be sampled at {asked} s")
        if len(self) == 1:
            return self
        after = np.clip(np.searchsorted(self.times, moments, side="right"), 1, len(self) - 1)
        span = self.times[after] - self.times[after - 1]
        u = ((moments - self.times[after - 1]) / span)[:, None]  # (T', 1) in [0, 1]
        if self.velocities is None:
            positions = (1.0 - u) * self.positions[after - 1] + u * self.positions[after]
            return JointTrajectory(self.joint_names, moments, positions)
        return JointTrajectory(self.joint_names, moments, *self._hermite(after, u, span[:, None]))

    def _hermite(self, after: NDArray[np.intp], u: Array, span: Array) -> tuple[Array, Array]:
        assert self.velocities is not None
        q0, q1 = self.positions[after - 1], self.positions[after]
        m0, m1 = span * self.velocities[after - 1], span * self.velocities[after]
        c2, c3 = 3 * (q1 - q0) - 2 * m0 - m1, 2 * (q0 - q1) + m0 + m1
        return q0 + u * (m0 + u * (c2 + u * c3)), (m0 + u * (2 * c2 + 3 * u * c3)) / span

    def resample_uniform(self, count: int = 49) -> JointTrajectory:
        """The trajectory at ``count`` evenly spaced times, the first and the last of its own included.

        Raises TrajectoryError when ``count`` < 1, or when several are asked of a trajectory that spans no time.
        """
        if count < 1 or (count == 1) != (len(self) == 1):
            raise TrajectoryError(
                f"a trajectory of {len(self)} samples spans {self.duration} s and cannot give {count} even ones; "
                "valid are >= 2 from two or more samples, 1 from one"
            )
        return self.resample(np.linspace(self.times[0], self.times[-1], count))

    def reorder(self, joint_names: Sequence[str]) -> JointTrajectory:
        """The trajectory of just these joints in this order.

        Raises JointStateError naming a joint that the trajectory does not hold, and the ones that it does.
        """
        columns = self._columns(joint_names)
        velocities = None if self.velocities is None else self.velocities[:, columns]
        return JointTrajectory(_checked_names(joint_names), self.times, self.positions[:, columns], velocities)

    def unwrap(self, joint_names: Sequence[str]) -> JointTrajectory:
        """The trajectory with these continuous joints' positions moved by whole turns, so that no step exceeds pi."""
        columns = self._columns(joint_names)
        positions = self.positions.copy()
        positions[:, columns] = np.unwrap(positions[:, columns], axis=0)
        return replace(self, positions=positions)

    def with_held_joints(self, joint_names: Sequence[str], positions: ArrayLike) -> JointTrajectory:
        """The trajectory with more joints that keep ``positions`` (J',) throughout, such as a gripper during a plan."""
        names = _checked_names(joint_names)
        held = np.tile(checked_samples("positions", positions, (len(names),)), (len(self), 1))
        velocities = None if self.velocities is None else np.hstack([self.velocities, np.zeros_like(held)])
        return JointTrajectory(self.joint_names + names, self.times, np.hstack([self.positions, held]), velocities)

    def _columns(self, joint_names: Sequence[str]) -> list[int]:
        for name in joint_names:
            if name not in self.joint_names:
                raise JointStateError(f"joint {name!r} is missing from the trajectory, which holds {self.joint_names}")
        return [self.joint_names.index(name) for name in joint_names]


def checked_times(times: ArrayLike) -> Array:
    """``times`` (T,) as float64 seconds. Raises TrajectoryError unless T >= 1, finite and strictly increasing."""
    moments = _as_array("times", times)
    if moments.ndim != 1 or len(moments) == 0:
        raise TrajectoryError(f"times must be one row of at least one number, got shape {moments.shape}")
    _check_finite("times", moments)
    if (np.diff(moments) <= 0).any():
        index = int(np.argmax(np.diff(moments) <= 0)) + 1
        raise TrajectoryError(
            f"times must increase strictly: time {index} is {moments[index]} s after {moments[index - 1]} s"
        )
    return moments


def _checked_names(joint_names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(joint_names, str) or not all(isinstance(name, str) and name for name in joint_names):
        raise TrajectoryError(f"joint_names must be non-empty strings in a tuple, got {joint_names!r}")
    names = tuple(joint_names)
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise TrajectoryError(f"joint_names must be unique, got {duplicates} more than once in {names}")
    return names


def checked_samples(label: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """``values`` as float64. Raises TrajectoryError naming ``label`` unless they have ``shape`` and are finite."""
    samples = _as_array(label, values)
    if samples.shape != shape:
        raise TrajectoryError(f"{label} must have shape {shape}, got {samples.shape}")
    _check_finite(label, samples)
    return samples


def _as_array(label: str, values: ArrayLike) -> Array:
    try:
        numbers = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise TrajectoryError(f"{label} must be numbers in rows of equal length, got {reprlib.repr(values)}") from error
    if numbers.dtype.kind not in "fiu":
        raise TrajectoryError(
            f"{label} must be numbers, integer or floating-point, got {reprlib.repr(values)} of type {numbers.dtype}"
        )
    return np.array(numbers, np.float64)


def _check_finite(label: str, values: Array) -> None:
    if not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise TrajectoryError(f"{label} must be finite, got {values[index]} at index {index}")
