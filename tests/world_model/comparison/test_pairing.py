"""Predicted frames find the executed ones of their moments, or nobody, by a definition that loops."""

import numpy as np
import pytest

from k4d_world_model.comparison.pairing import NOBODY, pair
from k4d_world_model.errors import ComparisonError

TIMES = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.55])


def by_loops(moments: np.ndarray, executed: np.ndarray, tolerance: float) -> list[int]:
    """The nearest executed frame within the tolerance, to the nearest of those that want the same one."""
    wanted = [min(range(len(executed)), key=lambda n: abs(executed[n] - moment)) for moment in moments]
    gaps = [abs(executed[n] - moment) for n, moment in zip(wanted, moments, strict=True)]
    found = []
    for k, frame in enumerate(wanted):
        rivals = [gaps[j] for j in range(len(wanted)) if wanted[j] == frame]
        found.append(frame if gaps[k] <= tolerance and gaps[k] == min(rivals) else NOBODY)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_jittered_frames_with_a_gap_find_their_partners(seed: int) -> None:
    rng = np.random.default_rng(seed)
    executed = np.sort(rng.uniform(-0.1, 0.7, 14))
    executed = executed[(executed < 0.22) | (executed > 0.38)] + 1000.0
    pairing = pair(TIMES, executed, 1000.0, 0.04)
    assert pairing.partners.tolist() == by_loops(TIMES + 1000.0, executed, 0.04)
    for k in pairing.paired:
        np.testing.assert_allclose(pairing.offsets[k], executed[pairing.partners[k]] - 1000.0 - TIMES[k], atol=1e-9)


def test_a_known_offset_and_dropped_frames_are_found_and_named() -> None:
    executed = np.delete(TIMES, [2, 4]) + 50.0 + 0.015
    pairing = pair(TIMES, executed, 50.0, 0.05)
    assert pairing.partners.tolist() == [0, 1, NOBODY, 2, NOBODY, 3]
    np.testing.assert_allclose(pairing.offsets[pairing.paired], 0.015, atol=1e-9)
    (second, reason), (fourth, _) = pairing.unpaired
    assert (second, fourth) == (2, 4)
    assert reason == "the nearest executed frame lies -0.085 s from it"


def test_no_executed_frame_serves_two_predicted_ones() -> None:
    pairing = pair(TIMES, np.array([0.06, 0.3]), 0.0, 0.2)
    assert pairing.partners.tolist() == [NOBODY, 0, NOBODY, 1, NOBODY, NOBODY]
    assert "nearer to another" in dict(pairing.unpaired)[0]


def test_without_a_common_time_both_ranges_are_named() -> None:
    with pytest.raises(ComparisonError, match=r"predicted are 50\.000 s to 50\.550 s, executed 7\.000 s to 9\.000 s"):
        pair(TIMES, np.array([7.0, 8.0, 9.0]), 50.0, 0.05)


@pytest.mark.parametrize("tolerance", [-0.1, np.nan, np.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    with pytest.raises(ComparisonError, match="tolerance must be"):
        pair(TIMES, TIMES, 0.0, tolerance)
