"""How far success in a prediction agrees with success in truth, over policies and over runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from k4d_world_model.errors import PolicyRunError

# The standard normal's 97.5th percentile.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """How many of ``count`` runs succeeded, and the 95 % Wilson score interval (Wilson 1927) of their share.

    The interval of no runs is that of not knowing anything, 0 to 1. Raises PolicyRunError unless
    0 <= successes <= count.
    """

    successes: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.count:
            raise PolicyRunError(f"successes must be within 0..{self.count}, got {self.successes}")

    @property
    def share(self) -> float:
        """NaN of no runs."""
        return self.successes / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high) in 0..1."""
        if not self.count:
            return 0.0, 1.0
        n, p = self.count, self.share
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Confusion:
    """Of runs judged twice: how many were called a success where they were one, where they were none, and so on.

    ``false_success`` are failures, near misses among them, that were called successes; ``false_failure`` the reverse.
    """

    true_success: int
    false_success: int
    false_failure: int
    true_failure: int

    @property
    def accuracy(self) -> float:
        """Share of the runs that were called what they were; NaN of no runs."""
        count = self.true_success + self.false_success + self.false_failure + self.true_failure
        return (self.true_success + self.true_failure) / count if count else math.nan


def confusion(truth: Sequence[bool], called: Sequence[bool]) -> Confusion:
    """The confusion of what runs were and what they were called, in the same order.

    Raises PolicyRunError when the numbers differ.
    """
    if len(truth) != len(called):
        raise PolicyRunError(f"as many runs must be called as there are, got {len(called)} of {len(truth)}")
    pairs = list(zip(truth, called, strict=True))
    return Confusion(
        pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)), pairs.count((False, False))
    )


def mean_maximum_rank_violation(truth: Sequence[float], predicted: Sequence[float]) -> float:
    """MMRV of N policies' success shares in truth and in prediction, in the same order; 0 is best, at most 1.

    The rank violation of policies i and j is |truth_i - truth_j| where the prediction orders them otherwise than the
    truth does, else 0; MMRV is the mean over i of the largest over j. Ordered otherwise means that i is worse than j on
    one side only: where two are equal on one side, the worse of them counts (SimplerEnv's published code counts the
    better). Source: SimplerEnv (Li et al., Evaluating Real-World Robot Manipulation Policies in Simulation, CoRL 2024,
    eq. 1). NaN of fewer than two policies; raises PolicyRunError when the numbers differ or a share is not finite.
    """
    real, imagined = _checked(truth, predicted)
    if len(real) < 2:
        return math.nan
    differs = (imagined[:, None] < imagined) != (real[:, None] < real)
    return float((np.abs(real[:, None] - real) * differs).max(axis=1).mean())


def pearson(truth: Sequence[float], predicted: Sequence[float]) -> float:
    """Pearson's correlation of N policies' success shares; NaN where one side does not vary or N is below 2.

    Raises PolicyRunError as ``mean_maximum_rank_violation`` does.
    """
    real, imagined = _checked(truth, predicted)
    if len(real) < 2 or np.ptp(real) == 0 or np.ptp(imagined) == 0:
        return math.nan
    return float(np.corrcoef(real, imagined)[0, 1])


def _checked(truth: Sequence[float], predicted: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    real, imagined = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if real.shape != imagined.shape or real.ndim != 1 or not (np.isfinite(real).all() and np.isfinite(imagined).all()):
        raise PolicyRunError(f"shares must be finite and one per policy on both sides, got {truth} and {predicted}")
    return real, imagined
