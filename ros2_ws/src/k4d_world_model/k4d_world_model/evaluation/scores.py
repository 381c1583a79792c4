"""Figures of many episodes as one: pooled, and averaged with an interval that says how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from k4d_world_model.evaluation.rollout_metrics import Overlap, RolloutMetrics, SquaredError

RESAMPLES = 2000
FEWEST_EPISODES = 2


@dataclass(frozen=True)
class Interval:
    """The mean over ``count`` episodes, and the 95 % interval from ``low`` to ``high`` in which it lies.

    Of one episode there is no interval: ``low`` and ``high`` are NaN.
    """

    mean: float
    low: float
    high: float
    count: int


def pooled(metrics: Sequence[RolloutMetrics]) -> RolloutMetrics:
    """The figures of all rollouts' pixels together: errors, overlaps and missing points add up.

    Distances in mm are the median over the rollouts that have one, their 95th percentiles likewise. Of one rollout at
    least.
    """
    first, *rest = metrics
    added = {
        field.name: sum((getattr(one, field.name) for one in rest), getattr(first, field.name))
        for field in fields(first)
        if isinstance(getattr(first, field.name), SquaredError | Overlap)
    }
    missing = [one.missing_points for one in metrics if one.missing_points is not None]
    return replace(
        first,
        **added,
        robot_error_mm=_median([one.robot_error_mm for one in metrics]),
        environment_error_mm=_median([one.environment_error_mm for one in metrics]),
        environment_error_p95_mm=_median([one.environment_error_p95_mm for one in metrics]),
        missing_points=sum(missing) if missing else None,
    )


def mean_with_interval(values: Sequence[float], *, seed: int = 0) -> Interval:
    """The mean of the finite values, with its bootstrap interval over episodes (percentiles of RESAMPLES means).

    ``count`` is how many are finite: an episode without a moved object has no figure for moved objects. NaN where none
    is; no interval below FEWEST_EPISODES.
    """
    finite = np.array([value for value in values if math.isfinite(value)])
    if len(finite) < FEWEST_EPISODES:
        return Interval(float(finite.mean()) if len(finite) else math.nan, math.nan, math.nan, len(finite))
    chosen = np.random.default_rng(seed).integers(len(finite), size=(RESAMPLES, len(finite)))
    low, high = np.percentile(finite[chosen].mean(axis=1), [2.5, 97.5])
    return Interval(float(finite.mean()), float(low), float(high), len(finite))


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else math.nan
