"""How long joint motions take at the robot's velocity limits, and at which moments they are sampled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.errors import JointStateError, PlanningError
from k4d_kinematics.robot import Robot

Array = NDArray[np.float64]

# Largest slope of the quintic profile, at half time.
PEAK_SPEED = 1.875


@dataclass(frozen=True, eq=False)
class MotionTiming:
    """Times of a robot's motions: ``velocity_scale`` is the part of its limits used, ``rate_hz`` samples a second,
    ``max_duration`` the longest motion in seconds.
    """

    robot: Robot
    velocity_scale: float
    rate_hz: float
    max_duration: float

    def traverse_time(self, motion: Array) -> float:
        """Seconds for a motion (J,) at the scaled velocity limits. Raises PlanningError where one is not usable."""
        speeds = self.velocity_scale * self.robot.velocity_limits
        moves = motion != 0.0
        unusable = moves & ~(np.isfinite(speeds) & (speeds > 0.0))
        if unusable.any():
            k = int(np.argmax(unusable))
            raise PlanningError(
                f"joint {self.robot.joint_names[k]!r} moves but its velocity limit is {self.robot.velocity_limits[k]}; "
                "valid are finite limits > 0 in the robot's description"
            )
        return float(np.max(np.abs(motion[moves]) / speeds[moves], initial=0.0))

    def speed_ratio(self, times: Array, positions: Array) -> float:
        """The largest part of its scaled velocity limit that a joint takes between two samples; 1 is all of it."""
        steps = np.abs(np.diff(positions, axis=0)).max(axis=0)
        return self.traverse_time(steps) / float(times[1] - times[0])

    def sample_times(self, duration: float) -> Array:
        """Times (T,) at the rate from 0 to the first multiple of the period after ``duration``; at least two.

        Raises PlanningError when the motion takes too long.
        """
        if not duration <= self.max_duration:
            raise PlanningError(f"the plan takes {duration:.3g} s, longer than {self.max_duration} s")
        return np.arange(max(1, int(np.ceil(duration * self.rate_hz))) + 1) / self.rate_hz


def quintic(u: Array) -> tuple[Array, Array]:
    """The minimum-jerk profile from 0 to 1 and its slope at ``u`` in [0, 1] (Flash and Hogan 1985)."""
    # Near the end the polynomial may round to just above 1.
    return np.minimum(u**3 * (10.0 + u * (6.0 * u - 15.0)), 1.0), 30.0 * u**2 * (1.0 - u) ** 2


def checked_positions(robot: Robot, label: str, q: object) -> Array:
    """Joint positions (J,) within limits, called ``label`` in errors. Raises PlanningError naming what is wrong."""
    try:
        positions = robot.check_positions(q)  # type: ignore[arg-type]
    except JointStateError as error:
        raise PlanningError(f"{label}: {error}") from error
    if positions.ndim != 1:
        raise PlanningError(f"{label} must have shape ({len(robot.joint_names)},), got {positions.shape}")
    for name, value, lower, upper in zip(robot.joint_names, positions, robot.lower, robot.upper, strict=True):
        if not lower <= value <= upper:
            raise PlanningError(f"{label}: joint {name!r} is at {value}, outside its limits [{lower}, {upper}]")
    return positions
