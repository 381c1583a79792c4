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
    means, roots, traces = [], [], []
    for part in (np.asarray(features, np.float64), np.asarray(others, np.float64)):
        mean = part.mean(axis=0)
        centred = (part - mean) / np.sqrt(len(part) - 1)
        means.append(mean)
        roots.append(np.linalg.qr(centred, mode="r") if len(part) > part.shape[1] else centred)
        traces.append(float(np.square(centred).sum()))
    overlap = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    distance = float(np.square(means[0] - means[1]).sum()) + traces[0] + traces[1] - 2.0 * float(overlap)
    return Figure(max(distance, 0.0))
