"""How alike point clouds are: Chamfer distances and F-score by nearest neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from k4d_world_model.dataset.normalization import Normalization, normalization_by
from k4d_world_model.errors import CloudError, WorldModelError

F_SCORE_THRESHOLD = 0.01


@dataclass(frozen=True, eq=False)
class CloudDistances:
    """How far the points of two clouds are from each other's nearest, in the clouds' units.

    of_predicted: (..., ) float64 from each predicted point to the nearest true one, NaN where the point is missing.
    of_truth: (..., ) float64 from each true point to the nearest predicted one, NaN likewise.
    """

    of_predicted: NDArray[np.float64]
    of_truth: NDArray[np.float64]

    def within(self, predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> "CloudDistances":
        """Those of a region's points: each still to the nearest of the whole other cloud."""
        return CloudDistances(self.of_predicted[predicted], self.of_truth[truth])

    @property
    def dropped(self) -> tuple[int, int]:
        """How many points of prediction and truth are missing (NaN) and do not count."""
        return int(np.isnan(self.of_predicted).sum()), int(np.isnan(self.of_truth).sum())

    @property
    def chamfer_l1(self) -> float:
        """Half the sum of both clouds' mean distances (Mescheder et al. 2019). Raises CloudError."""
        predicted, truth = self._known()
        return float((predicted.mean() + truth.mean()) / 2)

    @property
    def chamfer_l2(self) -> float:
        """Half the sum of both clouds' mean squared distances, in squared units. Raises CloudError."""
        predicted, truth = self._known()
        return float((np.square(predicted).mean() + np.square(truth).mean()) / 2)

    def f_score(self, threshold: float = F_SCORE_THRESHOLD) -> float:
        """Harmonic mean of precision and recall (Knapitsch et al. 2017, Tanks and Temples); 0 where both are.

        Precision is the share of predicted points nearer to the truth than ``threshold``, recall that of true points
        nearer to the prediction. Raises CloudError, also for a threshold of 0 or less.
        """
        if not threshold > 0:
            raise CloudError(f"the threshold of an F-score must be above 0, got {threshold}")
        predicted, truth = self._known()
        precision, recall = float((predicted < threshold).mean()), float((truth < threshold).mean())
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def _known(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        known = tuple(part[np.isfinite(part)] for part in (self.of_predicted, self.of_truth))
        for part, name in zip(known, ("predicted", "true"), strict=True):
            if not len(part):
                raise CloudError(f"the {name} cloud has no point")
        return known[0], known[1]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points (..., 3) with NaN where they are missing, and the tree that finds neighbours among them.

    Raises CloudError on another shape, on a point that is neither finite nor missing in all three coordinates, and
    where no point is left.
    """

    points: NDArray[np.floating]
    tree: cKDTree

    @classmethod
    def of(cls, points: NDArray[np.floating]) -> "Cloud":
        """See the class."""
        if points.shape[-1:] != (3,):
            raise CloudError(f"a cloud must be of shape (..., 3), got {points.shape}")
        finite = np.isfinite(points).all(axis=-1)
        broken = int((~finite & ~np.isnan(points).all(axis=-1)).sum())
        if broken:
            raise CloudError(f"points must be finite, or NaN in all three coordinates; {broken} are neither")
        if not finite.any():
            raise CloudError(f"the cloud has no point: all {finite.size} are missing")
        # Pixels' points are far from random, for which a tree without balancing is built in half the time.
        return cls(points, cKDTree(points[finite].astype(np.float64), balanced_tree=False, compact_nodes=False))

    def to(self, other: "Cloud", *, workers: int = 1) -> NDArray[np.float64]:
        """Distances (...) of this cloud's points to the nearest of another, NaN where one is missing."""
        finite = np.isfinite(self.points[..., 2])
        distances = np.full(self.points.shape[:-1], np.nan)
        distances[finite] = other.tree.query(self.points[finite].astype(np.float64), workers=workers)[0]
        return distances

    def sampled(self, count: int, seed: int) -> NDArray[np.floating]:
        """``count`` of the points at random (count, 3), all (n, 3) where there are no more."""
        known: NDArray[np.floating] = self.points[np.isfinite(self.points[..., 2])]
        if count >= len(known):
            return known
        chosen = np.random.default_rng(seed).choice(len(known), count, replace=False)
        return np.asarray(known[chosen])


def cloud_distances(predicted: Cloud, truth: Cloud, *, workers: int = 1) -> CloudDistances:
    """The exact distances of every point of two clouds; ``workers`` threads search (-1: all cores)."""
    return CloudDistances(predicted.to(truth, workers=workers), truth.to(predicted, workers=workers))


def sampled_cloud_distances(
    predicted: Cloud, truth: Cloud, count: int, *, seed: int = 0, workers: int = 1
) -> CloudDistances:
    """The distances of ``count`` points of each cloud, drawn with ``seed``, to the nearest of the whole other.

    A figure from them carries the count in its name: see ``sampled_name``. Raises CloudError for a count below 1.
    """
    if count < 1:
        raise CloudError(f"a sample must have at least 1 point, got {count}")
    halves = [
        to.tree.query(source.sampled(count, seed).astype(np.float64), workers=workers)[0]
        for source, to in ((predicted, truth), (truth, predicted))
    ]
    return CloudDistances(*halves)


def sampled_name(name: str, count: int) -> str:
    """The name of a figure that was measured on ``count`` points of each cloud: "chamfer_l1_of_5000_points"."""
    return f"{name}_of_{count}_points"


def extrema_normalization(truth: NDArray[np.float32]) -> Normalization:
    """What maps the extrema of the true points (T, H, W, 3), per axis and over the whole sequence, to -1 and 1.

    Truth and prediction are both mapped by it. Raises CloudError where the truth has no point.
    """
    try:
        return normalization_by(truth, "the true points")
    except WorldModelError as error:
        raise CloudError(str(error)) from error


def normalised(points: NDArray[np.float32], by: Normalization) -> NDArray[np.float32]:
    """Points (..., 3) in normalised units, NaN where they are missing."""
    return np.asarray((points - by.offset) / by.scale, np.float32)
