"""Figures of all predictions together: Frechet distances of their features from the truth's."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.evaluation.episode_record import EpisodeRecord, Features, read_features
from k4d_world_model.evaluation.evaluate import Evaluation
from k4d_world_model.evaluation.figure import Figure, no_figure
from k4d_world_model.evaluation.frechet import frechet_distance
from k4d_world_model.evaluation.judges import FID, FRECHET_LITE, FVD, UNAVAILABLE


class SetFigures:
    """Frechet distances of an evaluation's entrants, and how many samples they rest on.

    ``fid`` and ``frechet_efficientnet_lite0`` compare frames, ``fvd`` whole predictions. ``_temp`` compares the frames
    of the first half of all predictions with those of the second: how far they drift (the paper's Table VII does not
    define its own). Each is computed once.
    """

    NAMES = (FID, f"{FID}_temp", FVD, FRECHET_LITE, f"{FRECHET_LITE}_temp")

    def __init__(self, evaluation: Evaluation) -> None:
        """Raises EvaluationError when a file of features is not its record's."""
        self._evaluation = evaluation
        self._features: dict[str, dict[str, Features]] = {}
        self._found: dict[tuple[str, ...], Figure] = {}

    def figure(self, name: str, records: Sequence[EpisodeRecord], truth: Sequence[EpisodeRecord]) -> Figure:
        """The set figure ``name`` of one entrant's valid records against the truth of the same episodes."""
        of = (name, *(part for record in records for part in (record.entrant, record.episode.episode_id)))
        if of not in self._found:
            self._found[of] = self._figure(name, records, truth)
        return self._found[of]

    def _figure(self, name: str, records: Sequence[EpisodeRecord], truth: Sequence[EpisodeRecord]) -> Figure:
        network = name.removesuffix("_temp")
        weights = str(self._evaluation.protocol[f"weights.{network}"])
        if weights.startswith(UNAVAILABLE):
            return no_figure(weights)
        valid = {record.episode.episode_id: record for record in records if not record.invalid}
        predicted = self._of(network, valid.values())
        if name.endswith("_temp"):
            halves = [np.array_split(part, 2) for part in predicted]
            return _distance([first for first, _ in halves], [second for _, second in halves])
        same = [record for record in truth if record.episode.episode_id in valid]
        return _distance(predicted, self._of(network, same))

    def samples(self, name: str, records: Sequence[EpisodeRecord]) -> int:
        """How many samples of the prediction ``name`` rests on; of each half, where it compares halves."""
        parts = self._of(name.removesuffix("_temp"), [record for record in records if not record.invalid])
        count = sum(len(part) for part in parts)
        return count // 2 if name.endswith("_temp") else count

    def _of(self, network: str, records: Iterable[EpisodeRecord]) -> list[NDArray[np.float32]]:
        found = []
        for record in records:
            of_entrant = self._features.setdefault(record.entrant, {})
            episode_id = record.episode.episode_id
            if episode_id not in of_entrant:
                of_entrant[episode_id] = read_features(self._evaluation.folders[record.entrant], record)
            if network in of_entrant[episode_id]:
                found.append(of_entrant[episode_id][network])
        return found


def _distance(parts: list[NDArray[np.float32]], others: list[NDArray[np.float32]]) -> Figure:
    if not parts or not others:
        return no_figure("no prediction has features for it: it may have too few frames")
    return frechet_distance(np.concatenate(parts), np.concatenate(others))
