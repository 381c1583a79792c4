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

    of_predicted: (...) float64 from each predicted point to the nearest true one, NaN where the point is missing or was
        not asked.
    of_truth: (...) float64 from each true point to the nearest predicted one, NaN likewise.
    """

    of_predicted: NDArray[np.float64]
    of_truth: NDArray[np.float64]

    def within(self, predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> "CloudDistances":
        """Those of a region's points: each still to the nearest of the whole other cloud."""
        return CloudDistances(self.of_predicted[predicted], self.of_truth[truth])

    @property
    def is_empty(self) -> bool:
        """Whether one of the clouds has no point."""
        return not (np.isfinite(self.of_predicted).any() and np.isfinite(self.of_truth).any())

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

    @property
    def missing(self) -> int:
        """How many points are NaN and do not count."""
        return int(np.isnan(self.points[..., 2]).sum())

    def to(
        self,
        other: "Cloud",
        *,
        where: NDArray[np.bool_] | None = None,
        sample: int | None = None,
        seed: int = 0,
        workers: int = 1,
    ) -> NDArray[np.float64]:
        """Distances (...) of this cloud's points ``where`` (...) is True, all by default, or of ``sample`` of these, to
        the nearest of another; NaN of others."""
        known = np.isfinite(self.points[..., 2])
        asked = np.flatnonzero(known if where is None else known & where)
        if sample is not None and sample < len(asked):
            asked = np.random.default_rng(seed).choice(asked, sample, replace=False)
        distances = np.full(self.points.shape[:-1], np.nan)
        points = self.points.reshape(-1, 3)[asked].astype(np.float64)
        distances.reshape(-1)[asked] = other.tree.query(points, workers=workers)[0]
        return distances


def cloud_distances(
    predicted: Cloud,
    truth: Cloud,
    *,
    where: NDArray[np.bool_] | None = None,
    sample: int | None = None,
    seed: int = 0,
    workers: int = 1,
) -> CloudDistances:
    """The exact distances of every point of two clouds; ``workers`` threads search (-1: all cores).

    With ``where``, of pixels that both clouds have, only the points there are asked. With ``sample`` only so many of
    each cloud's, drawn with ``seed``, all where there are fewer; always against all of the other cloud. A figure of a
    sample carries its number in its name: see ``sampled_name``. Raises CloudError for a sample below 1.
    """
    if sample is not None and sample < 1:
        raise CloudError(f"a sample must have at least 1 point, got {sample}")
    halves = (predicted.to(truth, where=where, sample=sample, seed=seed, workers=workers),
              truth.to(predicted, where=where, sample=sample, seed=seed, workers=workers))  # fmt: skip
    return CloudDistances(*halves)


def sampled_name(name: str, sample: int | None) -> str:
    """The name of a figure that was measured on ``sample`` points of each cloud: "chamfer_l1_of_5000_points"."""
    return name if sample is None else f"{name}_of_{sample}_points"


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
