"""What may be said of two variants: only what at least three seeds agree on."""

import math

import pytest
from scipy import stats

from k4d_world_model.ablation.comparison import against_paper, difference, mean_and_spread


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


@pytest.mark.parametrize(
    ("figure", "first", "second", "word", "is_certain"),
    [
        ("psnr", (20.1, 20.2, 20.3), (19.1, 19.2, 19.31), "better", True),
        ("psnr", (20.1, 20.2, 22.0), (20.0, 20.1, 20.0), "better", False),
        ("psnr", (19.1, 19.2, 19.3), (20.0, 20.0, 20.0), "worse", True),
        ("psnr", (20.1, 20.2, 19.9), (20.0, 20.0, 20.0), "undecided", False),
        ("psnr", (20.1, 20.2), (19.0, 19.1), "undecided", False),
        ("chamfer_l1_mm", (20.1, 20.2, 20.3), (19.1, 19.2, 19.31), "worse", True),
        ("chamfer_l1_mm", (5.0, 5.1, 5.2), (6.0, 6.1, 6.21), "better", True),
    ],
)
def test_an_order_needs_three_seeds_that_agree(
    figure: str, first: tuple[float, ...], second: tuple[float, ...], word: str, is_certain: bool
) -> None:
    found = difference(figure, by_seed(*first), by_seed(*second))
    assert (found.word, found.is_certain) == (word, is_certain)


def test_the_interval_is_students() -> None:
    values = [1.0, 1.3, 0.8, 1.5]
    found = difference("psnr", by_seed(*(20 + value for value in values)), by_seed(20, 20, 20, 20))
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.count == 4


def test_only_seeds_of_both_count() -> None:
    found = difference("psnr", {0: 21.0, 1: 22.0, 2: math.nan, 5: 9.0}, {0: 20.0, 1: 20.0, 2: 20.0, 4: 1.0})
    assert (found.mean, found.count, found.word) == (1.5, 2, "undecided")
    assert math.isnan(difference("psnr", {0: 1.0}, {1: 1.0}).mean)


def test_the_papers_pairs_are_judged_one_by_one() -> None:
    results = {"a": by_seed(3, 3.1, 3.2), "b": by_seed(2, 2.1, 2.2), "c": by_seed(2.9, 3.0, 3.1)}
    verdicts = against_paper("psnr", ("a", "b", "missing", "c"), results)
    assert [(one.better, one.worse, one.found.word) for one in verdicts] == [
        ("a", "b", "better"), ("a", "c", "better"), ("b", "c", "worse"),
    ]  # fmt: skip


def test_the_spread_is_that_of_a_sample() -> None:
    assert mean_and_spread(by_seed(1.0, 2.0, 4.0)) == pytest.approx((7 / 3, math.sqrt(7 / 3), 3))
    assert math.isnan(mean_and_spread(by_seed(1.0)).deviation)
