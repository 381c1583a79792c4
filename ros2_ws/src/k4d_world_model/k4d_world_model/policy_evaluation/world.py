"""The seam between a policy and what it acts in: a simulator, or a world model's prediction."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.policy import ActionChunk, Briefing, Observation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Goal:
    """What a task is to bring about, as whoever set it up measured it. Metres in the robot's base frame, z up.

    object_base: (3,) the middle of the thing that is to be moved; radius, height: of an upright cylinder about it.
    target_base: (3,) the middle of where it is to stand, on the surface that carries it; tolerance: how far from there,
        seen from above, its middle may be.
    """

    object_base: tuple[float, float, float]
    radius: float
    height: float
    target_base: tuple[float, float, float]
    tolerance: float


@dataclass(frozen=True, eq=False)
class RunStart:
    """All that a run begins with, and all that a prediction of it is ever given of the simulator.

    observation: the first one, the same in every world. briefing: what the policy is told. goal: what it is judged by.
    """

    observation: Observation
    briefing: Briefing
    goal: Goal


@dataclass(frozen=True, eq=False)
class Footage:
    """T frames of one run as one still camera saw it: pictures and points, true or predicted.

    rgb: (T, H, W, 3) uint8. points_cam: (T, H, W, 3) float32 metres in the optical frame, NaN where nothing is.
    joints: the robot's positions at the T times, measured or commanded. T_cam_base: (4, 4).

    Raises PolicyError when numbers of frames or pixels differ.
    """

    rgb: NDArray[np.uint8]
    points_cam: NDArray[np.float32]
    joints: JointTrajectory
    camera: Camera
    T_cam_base: se3.Array

    def __post_init__(self) -> None:
        shape = (len(self.joints), self.camera.image_height, self.camera.image_width, 3)
        if self.rgb.shape != shape or self.points_cam.shape != shape:
            raise PolicyError(f"footage must be of shape {shape}, got {self.rgb.shape} and {self.points_cam.shape}")


class World(Protocol):
    """Something that a policy acts in, from one start on."""

    def observe(self) -> Observation:
        """What is seen now; at first, what the run starts with."""

    def act(self, chunk: ActionChunk) -> None:
        """Lets the robot do all actions of a chunk. Raises PolicyError on joints that the robot lacks."""

    def footage(self) -> Footage:
        """What was seen from the start until now."""
