"""What a robot's controller makes of targets: joints that reach them within their limits of position and speed."""

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.robot import Robot
from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.policy import ActionChunk

Array = NDArray[np.float64]

# Seconds between two commands of a controller, in every world.
PERIOD = 0.05
# Commands between two predicted frames, at most where a world model has as many, and between two of true footage.
PREDICTED_STEP, FOOTAGE_STEP = 4, 8


def led(chunk: ActionChunk, robot: Robot, here: Array) -> Array:
    """Where the joints are led (N, J) at N commands PERIOD apart, the first one PERIOD after they are led to ``here``.

    Targets between two of which more than a period lies are joined by straight lines. Joints move towards them no
    faster than their velocity limits and not beyond their position limits, as a controller does that saturates; joints
    that the chunk does not name stay. The order is the robot's own. Raises PolicyError for joints that it lacks, and
    for a period that is no multiple of PERIOD.
    """
    unknown = [name for name in chunk.joint_names if name not in robot.joint_names]
    if unknown:
        raise PolicyError(f"unknown joints {', '.join(unknown)}; valid are {', '.join(robot.joint_names)}")
    each = round(chunk.period / PERIOD)
    if each < 1 or abs(each * PERIOD - chunk.period) > 1e-6:
        raise PolicyError(f"period must be a multiple of {PERIOD:g} s, got {chunk.period:g} s")
    columns = [robot.joint_names.index(name) for name in chunk.joint_names]
    wanted = np.tile(here, (each * len(chunk.targets), 1))  # (N, J)
    knots = np.vstack([here[columns], chunk.targets])
    share = np.arange(1, len(wanted) + 1) / each
    for place, column in enumerate(columns):
        wanted[:, column] = np.interp(share, np.arange(len(knots)), knots[:, place])
    longest = robot.velocity_limits * PERIOD
    positions = np.empty_like(wanted)
    now = here
    for row, target in enumerate(np.clip(wanted, robot.lower, robot.upper)):
        now = now + np.clip(target - now, -longest, longest)
        positions[row] = now
    return positions
