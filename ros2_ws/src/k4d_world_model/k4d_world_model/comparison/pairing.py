"""Which executed frame shows the moment of each predicted one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.sampling import nearest_indices
from k4d_world_model.errors import ComparisonError

Array = NDArray[np.float64]
NOBODY = -1


@dataclass(frozen=True, eq=False)
class Pairing:
    """The executed partners of T predicted frames.

    start: seconds on the executed frames' clock at which the execution began, the predicted moment 0.
    tolerance: most seconds between a predicted moment and its partner.
    partners: (T,) index of the executed frame, NOBODY where there is none.
    offsets: (T,) seconds by which the executed frame nearest to the predicted moment lies after it, partner or not.
    """

    start: float
    tolerance: float
    partners: NDArray[np.intp]
    offsets: Array

    @property
    def paired(self) -> NDArray[np.intp]:
        """Indices (K,) of the predicted frames that have a partner, in order of time."""
        return np.flatnonzero(self.partners != NOBODY)

    @property
    def unpaired(self) -> tuple[tuple[int, str], ...]:
        """The predicted frames without a partner, each with the reason."""
        return tuple((k, self._reason(k)) for k in np.flatnonzero(self.partners == NOBODY).tolist())

    def _reason(self, k: int) -> str:
        if abs(self.offsets[k]) > self.tolerance:
            return f"the nearest executed frame lies {self.offsets[k]:+.3f} s from it"
        return "the executed frame nearest to it is nearer to another predicted one"


def pair(times: Array, executed_times: Array, start: float, tolerance: float) -> Pairing:
    """The nearest executed frame of each predicted one; none is the partner of two, and none lies beyond tolerance.

    times: (T,) seconds of the predicted frames after ``start``. executed_times: (N,) strictly increasing seconds on the
    executed frames' clock, on which ``start`` is given, too. Raises ComparisonError unless ``tolerance`` is a number of
    seconds >= 0, and when fewer than two frames find a partner.
    """
    if not 0.0 <= tolerance < np.inf:
        raise ComparisonError(f"tolerance must be a number of seconds >= 0, got {tolerance}")
    moments = times + start
    nearest = nearest_indices(executed_times, moments)
    offsets = executed_times[nearest] - moments
    partners = np.where(np.abs(offsets) <= tolerance, nearest, NOBODY)
    for frame in np.unique(partners[partners != NOBODY]).tolist():
        rivals = np.flatnonzero(partners == frame)
        partners[rivals] = NOBODY
        partners[rivals[np.argmin(np.abs(offsets[rivals]))]] = frame
    pairing = Pairing(start, tolerance, partners.astype(np.intp), offsets)
    if len(pairing.paired) < 2:
        raise ComparisonError(
            f"fewer than two of {len(times)} predicted frames have an executed one within {tolerance} s: predicted are "
            f"{moments[0]:.3f} s to {moments[-1]:.3f} s, executed {executed_times[0]:.3f} s to "
            f"{executed_times[-1]:.3f} s, the nearest two lie {np.abs(offsets).min():.3f} s apart"
        )
    return pairing
