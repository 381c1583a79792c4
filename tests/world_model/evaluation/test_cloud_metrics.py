"""Chamfer distances and F-scores against brute force and closed forms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from k4d_world_model.errors import CloudError
from k4d_world_model.evaluation.cloud_figures import cloud_figures
from k4d_world_model.evaluation.cloud_metrics import (
    Cloud,
    CloudDistances,
    cloud_distances,
    extrema_normalization,
    normalised,
    sampled_name,
)
from k4d_world_model.evaluation.regions import regions
from k4d_world_model.evaluation.truth import Truth


def random_clouds() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    generator = np.random.default_rng(5)
    predicted = generator.uniform(-1, 1, (13, 17, 3)).astype(np.float32)
    truth = generator.uniform(-1, 1, (11, 19, 3)).astype(np.float32)
    predicted[2, 3:9] = np.nan
    truth[4] = np.nan
    return predicted, truth


def test_distances_are_those_of_brute_force() -> None:
    predicted, truth = random_clouds()
    found = cloud_distances(Cloud.of(predicted), Cloud.of(truth), workers=2)
    assert found.of_predicted.shape == (13, 17)
    known = [points[np.isfinite(points[..., 2])].astype(np.float64) for points in (predicted, truth)]
    table = np.linalg.norm(known[0][:, None] - known[1][None], axis=-1)  # (n, m)
    to_truth, to_predicted = table.min(axis=1), table.min(axis=0)
    assert found.chamfer_l1 == pytest.approx((to_truth.mean() + to_predicted.mean()) / 2, rel=1e-12)
    assert found.chamfer_l2 == pytest.approx(((to_truth**2).mean() + (to_predicted**2).mean()) / 2, rel=1e-12)
    precision, recall = (to_truth < 0.2).mean(), (to_predicted < 0.2).mean()
    assert found.f_score(0.2) == pytest.approx(2 * precision * recall / (precision + recall), rel=1e-12)
    assert (Cloud.of(predicted).missing, Cloud.of(truth).missing) == (6, 19)


def plane(depth: float) -> NDArray[np.float32]:
    v, u = np.mgrid[0:23, 0:31] * 0.02
    return np.stack([u, v, np.full_like(u, depth)], axis=-1).astype(np.float32)


def test_two_planes_5_mm_apart() -> None:
    found = cloud_distances(Cloud.of(plane(1.005)), Cloud.of(plane(1.0)))
    assert found.chamfer_l1 == pytest.approx(0.005, abs=1e-7)
    assert found.chamfer_l2 == pytest.approx(2.5e-5, abs=1e-9)
    assert (found.f_score(0.01), found.f_score(0.004)) == (1.0, 0.0)
    assert cloud_distances(Cloud.of(plane(1.0)), Cloud.of(plane(1.0))).chamfer_l1 == 0.0


def test_a_missing_half_shows_in_recall_only() -> None:
    half = plane(1.0)
    half[:, 16:] = np.nan
    found = cloud_distances(Cloud.of(half), Cloud.of(plane(1.0)))
    recall = (found.of_truth < 0.01).mean()
    assert recall == pytest.approx(16 / 31)
    assert found.f_score() == pytest.approx(2 * recall / (1 + recall))
    assert Cloud.of(half).missing == 23 * 15
    # Columns 16 to 30 lie 2, 4, ... 30 cm from column 15.
    assert found.chamfer_l1 == pytest.approx(0.02 * sum(range(1, 16)) / 31 / 2, rel=1e-6)


def test_a_region_asks_its_own_points_and_finds_all_others() -> None:
    shifted = plane(1.0)
    shifted[:, :10, 2] += np.float32(0.03)
    found = cloud_distances(Cloud.of(shifted), Cloud.of(plane(1.0)))
    region = np.zeros((23, 31), bool)
    region[:, 2:8] = True
    within = found.within(region, region)
    assert within.of_predicted.shape == (23 * 6,)
    assert within.chamfer_l1 == pytest.approx(0.03, abs=1e-6)
    assert found.within(~region, region).of_predicted.shape == (23 * 25,)
    with pytest.raises(CloudError, match="the predicted cloud has no point"):
        _ = found.within(np.zeros_like(region), region).chamfer_l1
    with pytest.raises(CloudError, match="the true cloud has no point"):
        found.within(region, np.zeros_like(region)).f_score()


def test_a_sample_says_its_size_and_comes_near_the_whole() -> None:
    generator = np.random.default_rng(8)
    predicted, truth = (Cloud.of(generator.uniform(0, 1, (37, 41, 3))) for _ in range(2))
    whole = cloud_distances(predicted, truth)
    part = cloud_distances(predicted, truth, sample=500, seed=3)
    asked = np.isfinite(part.of_predicted)
    assert asked.sum() == np.isfinite(part.of_truth).sum() == 500
    np.testing.assert_array_equal(part.of_predicted[asked], whole.of_predicted[asked])
    assert part.chamfer_l1 == pytest.approx(whole.chamfer_l1, rel=0.05)
    assert part.chamfer_l1 != whole.chamfer_l1
    assert part.chamfer_l1 == cloud_distances(predicted, truth, sample=500, seed=3).chamfer_l1
    assert cloud_distances(predicted, truth, sample=10**6).chamfer_l1 == whole.chamfer_l1
    region = np.zeros((37, 41), bool)
    region[4:20, 3:30] = True
    inside = cloud_distances(predicted, truth, where=region, sample=300, seed=3)
    asked = np.isfinite(inside.of_predicted)
    assert asked.sum() == np.isfinite(inside.of_truth).sum() == 300
    assert not asked[~region].any()
    np.testing.assert_array_equal(inside.of_predicted[asked], whole.of_predicted[asked])
    every = cloud_distances(predicted, truth, where=region, sample=1000)
    assert every.chamfer_l1 == pytest.approx(whole.within(region, region).chamfer_l1, rel=1e-12)
    assert sampled_name("chamfer_l1", 500) == "chamfer_l1_of_500_points"
    with pytest.raises(CloudError, match="at least 1 point, got 0"):
        cloud_distances(predicted, truth, sample=0)


def test_a_regions_sample_is_drawn_from_the_region(truth: Truth) -> None:
    shifted = truth.points + np.float32([0.0, 0.02, 0.0])
    figures = {one.name: one.figure.number for one in cloud_figures(shifted, truth, regions(truth), sample=30)}
    expected = [
        cloud_distances(Cloud.of(shifted[t]), Cloud.of(truth.points[t]), where=truth.robot_mask[t], sample=30)
        for t in range(1, len(shifted))
    ]
    assert [np.isfinite(one.of_predicted).sum() for one in expected] == [30] * len(expected)
    assert figures["chamfer_l1_robot_of_30_points"] == pytest.approx(np.mean([one.chamfer_l1 for one in expected]))


def test_normalised_units_are_those_of_the_truths_extrema() -> None:
    truth = np.stack([plane(1.0), plane(3.0)])
    by = extrema_normalization(truth)
    mapped = normalised(truth, by)
    np.testing.assert_allclose([mapped.min(axis=(0, 1, 2)), mapped.max(axis=(0, 1, 2))], [[-1] * 3, [1] * 3], atol=1e-6)
    # 1 m of 2 m depth is the whole of half the range, 5 cm of 0.6 m width are 1/6 of it.
    moved = normalised(truth + np.float32([0.05, 0, 1.0]), by) - mapped
    np.testing.assert_allclose(moved[0, 0, 0], [0.05 / 0.3, 0, 1.0], rtol=1e-5, atol=1e-7)
    with pytest.raises(CloudError, match="no point at all"):
        extrema_normalization(np.full_like(truth, np.nan))


def test_empty_and_broken_clouds_are_named() -> None:
    points = plane(1.0)
    with pytest.raises(CloudError, match="the cloud has no point: all 713 are missing"):
        Cloud.of(np.full_like(points, np.nan))
    with pytest.raises(CloudError, match=r"must be of shape \(\.\.\., 3\), got \(23, 31\)"):
        Cloud.of(points[..., 0])
    points[3, 4, 1], points[5, 6] = np.nan, np.inf
    with pytest.raises(CloudError, match="2 are neither"):
        Cloud.of(points)
    with pytest.raises(CloudError, match="above 0, got -1"):
        CloudDistances(np.ones(3), np.ones(4)).f_score(-1)
