"""The Frechet distance against scipy's matrix root and closed forms."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from k4d_world_model.evaluation.frechet import frechet_distance


def by_matrix_root(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(first @ second)
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(first + second - 2 * root.real))


@pytest.mark.parametrize(("n", "m"), [(50, 43), (9, 31), (7, 5)])  # more samples than features, fewer on one side, both
def test_it_is_that_of_the_matrix_root(n: int, m: int) -> None:
    generator = np.random.default_rng(n)
    mix = generator.normal(size=(13, 13))
    a, b = generator.normal(size=(n, 13)) @ mix, generator.normal(0.3, 1.4, size=(m, 13))
    assert frechet_distance(a, b).value == pytest.approx(by_matrix_root(a, b), rel=1e-6)
    assert frechet_distance(a, a).value == pytest.approx(0.0, abs=1e-10)


def test_a_shift_counts_squared_and_a_stretch_by_its_deviation() -> None:
    a = np.random.default_rng(3).normal(size=(400, 6))
    assert frechet_distance(a, a + 2.0).value == pytest.approx(6 * 4.0)
    stretched = frechet_distance(a - a.mean(0), 3.0 * (a - a.mean(0))).value
    assert stretched == pytest.approx(4.0 * np.trace(np.cov(a, rowvar=False)))


def test_one_sample_is_none() -> None:
    figure = frechet_distance(np.ones((1, 6)), np.ones((9, 6)))
    assert figure.value is None
    assert figure.reason == "it needs at least 2 samples of each, got 1 and 9"
