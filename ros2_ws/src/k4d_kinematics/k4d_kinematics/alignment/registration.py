"""Where a reconstruction lies to a posed robot: a search over all rotations, Open3D's ICP with scale, then doubt."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from k4d_kinematics import se3
from k4d_kinematics.alignment.open3d_library import load_open3d
from k4d_kinematics.alignment.outside import Outside
from k4d_kinematics.alignment.reconstruction import Reconstruction
from k4d_kinematics.alignment.rotation_search import search_rotations
from k4d_kinematics.alignment.similarity import Similarity
from k4d_kinematics.errors import AmbiguousAlignmentError, ConfigurationError, PoorAlignmentError

_CANDIDATES = 5
_POINTS_ROUGH, _POINTS_FINE = 1000, 15000
# Reach of the correspondences, in radii of the robot, before the last stage's inlier distance.
_REACHES = (0.12, 0.06)
_ITERATIONS = 20


@dataclass(frozen=True)
class AlignmentLimits:
    """What an alignment must reach. Raises ConfigurationError for values out of range.

    inlier_distance: metres within which a point of the reconstruction belongs to the robot, and the other way round.
    fitness: smallest share of the reconstruction's area within that distance; clutter lowers it.
    coverage: smallest share of the robot's outside that has reconstruction within that distance.
    inlier_rmse: largest root mean square distance of the points within it, metres.
    runner_up: largest agreement of the best differing alignment, as a part of the best one's.
    """

    inlier_distance: float = 0.015
    fitness: float = 0.4
    coverage: float = 0.5
    inlier_rmse: float = 0.008
    runner_up: float = 0.8

    def __post_init__(self) -> None:
        for name in ("inlier_distance", "inlier_rmse"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise ConfigurationError(f"{name} must be a finite length above 0, got {getattr(self, name)}")
        for name in ("fitness", "coverage", "runner_up"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigurationError(f"{name} must be in (0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Registration:
    """An alignment and how good it is; figures as in ``AlignmentLimits``.

    ``agreement`` is the harmonic mean of fitness and coverage; ``runner_up`` that of the best alignment that puts the
    robot elsewhere, 0 where every start came to this one.
    """

    similarity: Similarity
    fitness: float
    coverage: float
    inlier_rmse: float
    runner_up: float = 0.0

    @property
    def agreement(self) -> float:
        """Harmonic mean of fitness and coverage, 0..1."""
        total = self.fitness + self.coverage
        return 2.0 * self.fitness * self.coverage / total if total > 0.0 else 0.0


def register(
    outside: Outside, reconstruction: Reconstruction, limits: AlignmentLimits, rng: np.random.Generator
) -> Registration:
    """The alignment of a reconstruction to the outside of the robot in the posture in which it was reconstructed.

    Raises PoorAlignmentError where the best one misses a limit, AmbiguousAlignmentError where another one is about as
    good, and AlignmentError where open3d is not installed.
    """
    candidates = find_candidates(outside, reconstruction, limits.inlier_distance, rng)
    best = candidates[0]
    other = [c.agreement for c in candidates[1:] if _displacement(outside, best, c) > 2.0 * limits.inlier_distance]
    best = Registration(best.similarity, best.fitness, best.coverage, best.inlier_rmse, max(other, default=0.0))
    _check(best, limits)
    return best


def find_candidates(
    outside: Outside, reconstruction: Reconstruction, inlier_distance: float, rng: np.random.Generator
) -> list[Registration]:
    """What ICP makes of the most likely starts, best agreement first."""
    points_recon = reconstruction.sample(_POINTS_FINE, rng)
    starts = search_rotations(outside.points_base, points_recon, rng, most=_CANDIDATES)
    stage = _Stage(load_open3d(), outside, points_recon)
    reaches = [max(reach * outside.radius, inlier_distance) for reach in _REACHES]
    reached = [stage.improve(S, [*reaches, inlier_distance], _POINTS_ROUGH) for S in starts]
    rough = [stage.measure(S, inlier_distance) for S in reached]
    best = max(rough, key=lambda candidate: candidate.agreement)
    fine = stage.measure(stage.improve(best.similarity.matrix, [inlier_distance], _POINTS_FINE), inlier_distance)
    return [fine, *sorted((r for r in rough if r is not best), key=lambda candidate: -candidate.agreement)]


class _Stage:
    """One robot and one reconstruction, ready for ICP."""

    def __init__(self, open3d: Any, outside: Outside, points_recon: se3.Array) -> None:
        self._open3d, self._outside, self._points_recon = open3d, outside, points_recon
        self._target = self._cloud(outside.points_base)

    def improve(self, S_base_recon: se3.Array, reaches: list[float], count: int) -> se3.Array:
        """The similarity after point-to-point ICP with scale, coarse to fine."""
        registration = self._open3d.pipelines.registration
        estimation = registration.TransformationEstimationPointToPoint(with_scaling=True)
        criteria = registration.ICPConvergenceCriteria(max_iteration=_ITERATIONS)
        source = self._cloud(self._points_recon[:: max(1, len(self._points_recon) // count)])
        for reach in reaches:
            S_base_recon = registration.registration_icp(
                source, self._target, reach, S_base_recon, estimation, criteria
            ).transformation
        return np.asarray(S_base_recon)

    def measure(self, S_base_recon: se3.Array, inlier_distance: float) -> Registration:
        similarity = Similarity.from_matrix(S_base_recon)
        points_base = similarity.to_base(self._points_recon)
        # Asked of the outside, whose points lie dense enough not to add to the distance.
        distance = cKDTree(self._outside.points_base).query(points_base, distance_upper_bound=inlier_distance)[0]
        inlier = np.isfinite(distance)
        covered = cKDTree(points_base).query(self._outside.points_base, distance_upper_bound=inlier_distance)[0]
        rmse = float(np.sqrt((distance[inlier] ** 2).mean())) if inlier.any() else float("inf")
        return Registration(similarity, float(inlier.mean()), float(np.isfinite(covered).mean()), rmse)

    def _cloud(self, points: se3.Array) -> Any:
        return self._open3d.geometry.PointCloud(self._open3d.utility.Vector3dVector(points))


def _displacement(outside: Outside, a: Registration, b: Registration) -> float:
    """How far apart two alignments put the robot, on average over its outside, metres."""
    moved = a.similarity.to_base(b.similarity.to_recon(outside.points_base))
    return float(np.linalg.norm(moved - outside.points_base, axis=1).mean())


def _check(found: Registration, limits: AlignmentLimits) -> None:
    figures = (
        f"fitness {found.fitness:.2f} (at least {limits.fitness:g}), coverage {found.coverage:.2f} (at least "
        f"{limits.coverage:g}), inlier RMSE {found.inlier_rmse * 1e3:.1f} mm (at most {limits.inlier_rmse * 1e3:g} mm) "
        f"within {limits.inlier_distance * 1e3:g} mm"
    )
    if not (
        found.fitness >= limits.fitness
        and found.coverage >= limits.coverage
        and found.inlier_rmse <= limits.inlier_rmse
    ):
        raise PoorAlignmentError(
            f"the reconstruction does not fit the robot at these joints: {figures}; are the joints those of the "
            "reconstruction, is it this robot, and is clutter cut away?"
        )
    if found.runner_up > limits.runner_up * found.agreement:
        raise AmbiguousAlignmentError(
            f"another alignment that puts the robot elsewhere is about as good: its agreement {found.runner_up:.2f} is "
            f"{found.runner_up / found.agreement:.2f} of the best one's {found.agreement:.2f} (at most "
            f"{limits.runner_up:g}); {figures}"
        )
