"""Figures of agreement against cases worked out by hand, and against scipy where it has them."""

import math

import numpy as np
import pytest
from scipy import stats

from k4d_world_model.errors import PolicyRunError
from k4d_world_model.policy_evaluation.agreement_figures import (
    Confusion,
    Share,
    confusion,
    mean_maximum_rank_violation,
    pearson,
)


@pytest.mark.parametrize(("successes", "count"), [(0, 7), (3, 11), (50, 50), (37, 50)])
def test_wilson_intervals_are_those_of_scipy(successes: int, count: int) -> None:
    share = Share(successes, count)
    expected = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert share.share == successes / count
    assert share.interval == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_runs_tell_nothing() -> None:
    assert math.isnan(Share(0, 0).share)
    assert Share(0, 0).interval == (0.0, 1.0)
    with pytest.raises(PolicyRunError, match=r"within 0\.\.3, got 4"):
        Share(4, 3)


@pytest.mark.parametrize(
    ("truth", "imagined", "mmrv"),
    [
        # The same order: no violation, however far off the figures are.
        ((0.9, 0.5, 0.1), (0.3, 0.2, 0.0), 0.0),
        # Only the first two are swapped: |0.9 - 0.5| for both of them, nothing for the third.
        ((0.9, 0.5, 0.1), (0.4, 0.6, 0.0), (0.4 + 0.4 + 0.0) / 3),
        # Wholly reversed: the largest differences are 0.8, 0.4 and 0.8.
        ((0.9, 0.5, 0.1), (0.1, 0.2, 0.3), (0.8 + 0.4 + 0.8) / 3),
        # A tie where the truth has none: "worse than" is missed once, by the policy that is worse.
        ((0.7, 0.4), (0.5, 0.5), (0.0 + 0.3) / 2),
        # The third is thought the best, the others equal: 0.5, then 0.4 rather than 0.1 for the second, 0.5.
        ((0.9, 0.5, 0.4), (0.5, 0.5, 0.6), (0.5 + 0.4 + 0.5) / 3),
    ],
)
def test_mmrv_is_as_worked_out_by_hand(truth: tuple[float, ...], imagined: tuple[float, ...], mmrv: float) -> None:
    assert mean_maximum_rank_violation(truth, imagined) == pytest.approx(mmrv)


def test_pearson_is_that_of_scipy() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.random(7).tolist(), generator.random(7).tolist()
    assert pearson(a, b) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert math.isnan(pearson([0.5, 0.5], [0.1, 0.2]))
    assert math.isnan(pearson([0.5], [0.1]))


@pytest.mark.parametrize("figure", [mean_maximum_rank_violation, pearson])
def test_shares_that_do_not_fit_are_refused(figure: object) -> None:
    assert callable(figure)
    for truth, imagined in (([0.1, 0.2], [0.1]), ([0.1, math.nan], [0.1, 0.2])):
        with pytest.raises(PolicyRunError, match="shares must be finite"):
            figure(truth, imagined)


def test_confusion_counts_each_kind() -> None:
    truth = [True, True, True, False, False, False, False]
    called = [True, True, False, True, False, False, False]
    assert confusion(truth, called) == Confusion(2, 1, 1, 3)
    assert confusion(truth, called).accuracy == pytest.approx(5 / 7)
    with pytest.raises(PolicyRunError, match="got 1 of 2"):
        confusion([True, False], [True])
