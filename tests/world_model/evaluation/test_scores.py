"""Figures of many episodes together: pooled, and averaged with their interval."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from k4d_world_model.evaluation.rollout_metrics import RolloutMetrics, SquaredError, compare
from k4d_world_model.evaluation.scores import mean_with_interval, pooled
from k4d_world_model.evaluation.truth import Truth

from .conftest import make_rollout


def shifted(truth: Truth, levels: int, metres: float) -> RolloutMetrics:
    rgb = np.clip(truth.rgb.astype(int) + levels, 0, 255).astype(np.uint8)
    return compare(make_rollout(rgb, np.nan_to_num(truth.points, nan=1.0) + np.float32(metres)), truth)


def test_pooled_errors_are_those_of_all_pixels_together(truth: Truth) -> None:
    ones = [shifted(truth, 3, 0.01), shifted(truth, 12, 0.002), shifted(truth, 5, 0.03)]
    together = pooled(ones)
    for field in fields(together):
        values = [getattr(one, field.name) for one in ones]
        if isinstance(values[0], SquaredError):
            expected = SquaredError(sum(v.total for v in values), sum(v.count for v in values))
            assert getattr(together, field.name) == expected
            assert min(v.total for v in values) < expected.total
    mean_square = np.mean([one.rgb.total / one.rgb.count for one in ones])
    assert together.psnr == pytest.approx(10 * math.log10(255**2 / mean_square))
    assert together.environment_error_mm == pytest.approx(10 * math.sqrt(3), rel=1e-3)
    assert together.moved.either == sum(one.moved.either for one in ones)


def test_an_episode_without_a_figure_does_not_spoil_the_pool(truth: Truth) -> None:
    good, missing = shifted(truth, 3, 0.01), replace(shifted(truth, 3, 0.0), robot_error_mm=math.nan)
    assert pooled([missing, good]).robot_error_mm == good.robot_error_mm
    assert math.isnan(pooled([missing]).robot_error_mm)


def test_the_interval_of_a_mean_is_that_of_statistics() -> None:
    values = np.random.default_rng(1).normal(4.0, 2.0, 400)
    interval = mean_with_interval(values.tolist())
    assert interval.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert interval == mean_with_interval(values.tolist())


def test_only_finite_values_count_and_are_counted() -> None:
    interval = mean_with_interval([math.nan, 2.0, math.inf, 2.0])
    assert (interval.mean, interval.low, interval.high, interval.count) == (2.0, 2.0, 2.0, 2)
    one = mean_with_interval([math.nan, 3.0])
    assert (one.mean, one.count) == (3.0, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    nothing = mean_with_interval([math.nan])
    assert nothing.count == 0
    assert math.isnan(nothing.mean)
