"""A motion between the frames that show it, in steps too small to miss anything that is as thick as they are long."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import JointTrajectory
from k4d_world_model.errors import AssessmentError
from k4d_world_model.robot_body import RobotBody

# Of each stretch between two known moments so many parts are looked at to tell how far the links go within it.
_PARTS = 4
# A hundred metres in steps of 5 mm.
_MOST_STEPS = 20_000


@dataclass(frozen=True, eq=False)
class SweptMotion:
    """S moments of a motion and all links' poses (S, L, 4, 4) then.

    times: (S,) strictly increasing. before, after: (S,) the frames that a moment lies between; the same at a frame.
    """

    times: NDArray[np.float64]
    T_base_link: NDArray[np.float64]
    before: NDArray[np.intp]
    after: NDArray[np.intp]


def sweep(motion: JointTrajectory, times: NDArray[np.float64], body: RobotBody, step: float) -> SweptMotion:
    """The motion at each of ``times`` (T,) and in between, so often that no link moves by more than ``step`` metres.

    ``times`` begin when the motion begins, whatever its own times say. Raises AssessmentError for a motion of more than
    20000 steps, and JointStateError when it lacks a joint of the robot.
    """
    whole = motion.reorder(body.robot.joint_names)
    frames = np.clip(times - times[0] + whole.times[0], *whole.times[[0, -1]])
    known = np.union1d(frames, whole.times[(whole.times > frames[0]) & (whole.times < frames[-1])])
    fine = _divided(known, np.full(len(known) - 1, _PARTS))
    moved = body.moved(body.robot.forward_kinematics(whole.resample(fine).positions)).max(axis=1)  # (4 (K - 1),)
    steps = np.maximum(np.ceil(moved.reshape(-1, _PARTS).sum(axis=1) / step), 1.0).astype(np.intp)
    start = known
    while True:
        if steps.sum() > _MOST_STEPS:
            raise AssessmentError(f"a plan may take at most {_MOST_STEPS} steps of {step} m, got {steps.sum()}")
        moments = _divided(start, steps)
        T_base_link = body.robot.forward_kinematics(whole.resample(moments).positions)
        too_far = body.moved(T_base_link).max(axis=1) > step
        if not too_far.any():
            break
        start, steps = moments, 1 + too_far.astype(np.intp)  # where the speed changes within a stretch
    after = np.searchsorted(frames, moments)
    before = np.searchsorted(frames, moments, side="right") - 1
    return SweptMotion(moments - whole.times[0] + times[0], T_base_link, before, after)


def _divided(known: NDArray[np.float64], parts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Moments with each stretch between two ``known`` ones divided into so many equal ``parts``."""
    pieces = [np.linspace(known[k], known[k + 1], count, endpoint=False) for k, count in enumerate(parts.tolist())]
    return np.concatenate([*pieces, known[-1:]])
