"""What several seeds say of two variants: paired differences, and what may be stated of them."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from k4d_world_model.ablation.figures import FIGURES

# Below so many seeds nothing is said about an order.
FEWEST_SEEDS = 3

# Values of one figure by seed.
BySeed = Mapping[int, float]
Word = Literal["better", "worse", "undecided"]


class MeanAndSpread(NamedTuple):
    """Mean and standard deviation (n - 1) over so many ``seeds``; the latter NaN for a single one."""

    mean: float
    deviation: float
    seeds: int


@dataclass(frozen=True)
class Difference:
    """A variant minus another, seed by seed.

    mean, low, high: their mean and its 95 % interval (Student's t), NaN for a single seed. count: how many seeds.
    word: "better" or "worse" where at least FEWEST_SEEDS seeds all agree, else "undecided".
    is_certain: whether the interval excludes 0 besides.
    """

    mean: float
    low: float
    high: float
    count: int
    word: Word
    is_certain: bool


def mean_and_spread(values: BySeed) -> MeanAndSpread:
    """Of the values over seeds; NaN without any."""
    known = [value for value in values.values() if math.isfinite(value)]
    if not known:
        return MeanAndSpread(math.nan, math.nan, 0)
    return MeanAndSpread(
        float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else math.nan, len(known)
    )


def difference(figure: str, first: BySeed, second: BySeed) -> Difference:
    """What the seeds that both have say of ``first`` against ``second``, ``figure`` being one of FIGURES."""
    seeds = sorted(set(first) & set(second))
    values = np.array([first[seed] - second[seed] for seed in seeds])
    values = values[np.isfinite(values)]
    count = len(values)
    if not count:
        return Difference(math.nan, math.nan, math.nan, 0, "undecided", is_certain=False)
    mean, half = float(values.mean()), math.nan
    if count > 1:
        half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count))
    gains = values if FIGURES[figure].more_is_better else -values
    word: Word = "undecided"
    if count >= FEWEST_SEEDS and (gains > 0).all():
        word = "better"
    elif count >= FEWEST_SEEDS and (gains < 0).all():
        word = "worse"
    return Difference(mean, mean - half, mean + half, count, word, is_certain=word != "undecided" and abs(mean) > half)


class PairVerdict(NamedTuple):
    """Two variants in the paper's order, the better first, and what is found here."""

    better: str
    worse: str
    found: Difference


def against_paper(figure: str, order: Sequence[str], results: Mapping[str, BySeed]) -> list[PairVerdict]:
    """All pairs of the paper's ``order`` of which results are there, each with what the seeds say."""
    known = [name for name in order if name in results]
    return [
        PairVerdict(better, worse, difference(figure, results[better], results[worse]))
        for better, worse in itertools.combinations(known, 2)
    ]
