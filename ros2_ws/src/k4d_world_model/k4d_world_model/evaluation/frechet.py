"""The Frechet distance of two sets of features, taken as normal distributions."""

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.evaluation.figure import Figure, no_figure

FEWEST_SAMPLES = 2


def frechet_distance(features: NDArray[np.floating], others: NDArray[np.floating]) -> Figure:
    """``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Heusel et al. 2017, equation 6) of features (n, d) and (m, d).

    S are unbiased covariances. The trace of the root is the sum of the singular values of ``A B^T`` for centred
    features A and B divided by sqrt(n - 1) and sqrt(m - 1): the same number, without a complex root. No figure below
    FEWEST_SAMPLES samples; with fewer than d the distance is defined and biased upwards, so a report tells n and m.
    """
    if min(len(features), len(others)) < FEWEST_SAMPLES:
        return no_figure(f"it needs at least {FEWEST_SAMPLES} samples of each, got {len(features)} and {len(others)}")
    (mean, root, trace), (other_mean, other_root, other_trace) = _moments(features), _moments(others)
    overlap = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    return Figure(max(float(np.square(mean - other_mean).sum() + trace + other_trace - 2.0 * overlap), 0.0))


def _moments(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean (d,), a root R (k, d) of the covariance ``R^T R`` with k <= d or k = n, and the covariance's trace."""
    values = features.astype(np.float64)
    mean: NDArray[np.float64] = values.mean(axis=0)
    centred: NDArray[np.float64] = (values - mean) / np.sqrt(len(values) - 1)
    root = np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred
    return mean, root, float(np.square(centred).sum())
