"""The seam of policy evaluation: what a policy is told and sees, and what it may answer."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.errors import PolicyError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Observation:
    """What a policy sees at one moment: one camera and its own joints, never the state of what it acts on.

    rgb: (H, W, 3) uint8.
    points_cam: (H, W, 3) float32 metres in the camera's optical frame of all that is seen, NaN where nothing is.
    camera: of H x W pixels. T_cam_base: (4, 4) from the robot's base frame into the optical frame.
    joint_names, positions: the robot's J joints in the robot's own order; (J,) radians, metres where they slide.
    gripper_opening: metres that the fingers are apart, 0 without a gripper.
    time: seconds since the run began.
    task: what is to be done, in one sentence.

    Raises PolicyError when shapes or types do not fit each other or a position is not finite.
    """

    rgb: NDArray[np.uint8]
    points_cam: NDArray[np.float32]
    camera: Camera
    T_cam_base: se3.Array
    joint_names: tuple[str, ...]
    positions: Array
    gripper_opening: float
    time: float
    task: str

    def __post_init__(self) -> None:
        size = (self.camera.image_height, self.camera.image_width)
        expected: tuple[tuple[str, NDArray[np.generic], tuple[int, ...], type[np.generic]], ...] = (
            ("rgb", self.rgb, (*size, 3), np.uint8),
            ("points_cam", self.points_cam, (*size, 3), np.float32),
            ("T_cam_base", self.T_cam_base, (4, 4), np.float64),
            ("positions", self.positions, (len(self.joint_names),), np.float64),
        )
        for name, array, shape, dtype in expected:
            if array.shape != shape or array.dtype != dtype:
                raise PolicyError(f"{name} must be {dtype.__name__} of shape {shape}, got {array.dtype} {array.shape}")
        if not np.isfinite(self.positions).all():
            raise PolicyError(f"positions must be finite, got {self.positions}")


@dataclass(frozen=True, eq=False)
class ActionChunk:
    """Where a policy wants its joints at the next N moments, ``period`` seconds apart; the first is one period ahead.

    joint_names: of the columns; joints that are not among them stay where they are led. targets: (N, J) radians, metres
    where they slide, N >= 1. A gripper holds by closing farther than what is between its fingers is wide. ``done``: the
    policy has nothing more to do after this chunk.

    Targets are led to no faster than the joints' velocity limits and no farther than their position limits, in the
    simulator and in the prediction alike (see ``led``). Raises PolicyError for no targets, another number of columns
    than names, names that come twice, numbers that are not finite, or a period that is not above 0.
    """

    joint_names: tuple[str, ...]
    targets: Array
    period: float
    done: bool = False

    def __post_init__(self) -> None:
        shape = self.targets.shape
        if self.targets.ndim != 2 or shape[0] < 1 or shape[1] != len(self.joint_names):
            raise PolicyError(f"targets must be (N >= 1, {len(self.joint_names)}), got {shape}")
        if len(set(self.joint_names)) != len(self.joint_names):
            raise PolicyError(f"joint_names must be unique, got {self.joint_names}")
        if not np.isfinite(self.targets).all():
            row = int(np.argmax(~np.isfinite(self.targets).all(axis=1)))
            raise PolicyError(f"targets must be finite, got {self.targets[row]} at action {row} of {shape[0]}")
        if not (np.isfinite(self.period) and self.period > 0):
            raise PolicyError(f"period must be above 0 s, got {self.period}")


@dataclass(frozen=True, eq=False)
class Briefing:
    """What a policy is told before a run; the same in the simulator and in the prediction.

    seed: of its own randomness. task: what is to be done, in one sentence.
    recording: joint targets that were recorded in this very scene, which only privileged policies are given.
    """

    seed: int
    task: str
    recording: JointTrajectory | None = None


class Policy(Protocol):
    """Decides what a robot does next from what it sees."""

    @property
    def name(self) -> str:
        """What reports call it; letters, digits, dots, - and _ only."""

    @property
    def privileged(self) -> bool:
        """Whether its briefing holds what only the simulator knows; reports mark it."""

    def reset(self, briefing: Briefing) -> None:
        """Forgets the run before; equal briefings and observations give equal actions."""

    def act(self, observation: Observation) -> ActionChunk:
        """The next actions. Raises PolicyError, which makes the run invalid, where it cannot tell any."""
