"""Failures as the paper makes them: Gaussian noise on the pose part of one third of an expert's actions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_simulation.errors import SimulationError

Array = NDArray[np.float64]

SEGMENTS = 3
SIGMAS = (0.5, 0.8, 1.2)


@dataclass(frozen=True)
class Perturbation:
    """Noise of standard deviation ``sigma``, in action units, on one of three temporal segments 0, 1, 2.

    Raises SimulationError for another segment or a sigma that is not a positive number.
    """

    segment: int
    sigma: float

    def __post_init__(self) -> None:
        if self.segment not in range(SEGMENTS):
            raise SimulationError(f"segment must be 0, 1 or 2, got {self.segment!r}")
        if not 0.0 < self.sigma < np.inf:
            raise SimulationError(f"sigma must be a positive number, the paper's are {SIGMAS}, got {self.sigma!r}")

    @property
    def name(self) -> str:
        """A name for reports and file names, such as ``noise_segment2_sigma0.8``."""
        return f"noise_segment{self.segment}_sigma{self.sigma:g}"


PERTURBATIONS = tuple(Perturbation(segment, sigma) for segment in range(SEGMENTS) for sigma in SIGMAS)


def segment_bounds(count: int, segment: int) -> tuple[int, int]:
    """First action and the one after the last of a third of ``count`` actions; the thirds cover them all."""
    return round(segment * count / SEGMENTS), round((segment + 1) * count / SEGMENTS)


def perturb(actions: Array, perturbation: Perturbation, generator: np.random.Generator) -> Array:
    """Actions (N, 7) with noise on the six pose numbers of one segment, the gripper's untouched.

    The result saturates at -1 and 1, as the controller's input does. Source: Kinema4D, G.2.
    """
    first, end = segment_bounds(len(actions), perturbation.segment)
    noisy = actions.copy()
    noise = generator.normal(0.0, perturbation.sigma, (end - first, 6))
    noisy[first:end, :6] = np.clip(noisy[first:end, :6] + noise, -1.0, 1.0)
    return noisy
