"""Figures of entrants side by side: episode by episode, pooled, and minus each other on the same episodes."""

import math
from collections.abc import Sequence

from k4d_world_model.evaluation.entrants import FROZEN_WORLD
from k4d_world_model.evaluation.episode_record import EpisodeRecord
from k4d_world_model.evaluation.evaluate import Evaluation
from k4d_world_model.evaluation.latent_distances import LATENT_L2
from k4d_world_model.evaluation.pixel_figures import FIGURES, figures_of
from k4d_world_model.evaluation.scores import pooled

Records = Sequence[EpisodeRecord]


def differences_of(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Which pairs of entrants a table subtracts: each minus the frozen world, then each minus the first."""
    first, *_ = evaluation.entrants
    against_frozen = [(name, FROZEN_WORLD) for name in evaluation.entrants if name != FROZEN_WORLD]
    return against_frozen + [(name, first) for name in evaluation.entrants[1:] if FROZEN_WORLD not in (name, first)]


def values_of(records: Records, name: str) -> list[float]:
    """A figure of every episode, NaN where a record has none."""
    return [record.figure(name).number for record in records]


def pooled_figure(records: Records, name: str) -> float:
    """A figure of all episodes together (see ``pooled``), NaN for one that does not pool."""
    metrics = [record.metrics for record in records if record.metrics is not None]
    if name not in FIGURES or not metrics:
        return math.nan
    return next(named.figure.number for named in figures_of(pooled(metrics)) if named.name == name)


def gains(ones: Records, others: Records, name: str) -> list[float]:
    """A figure of one entrant minus another's, episode by episode; NaN where either has none.

    Latent distances by two codecs have no difference.
    """
    return [
        math.nan if name.startswith(LATENT_L2) and one.codec_sha256 != other.codec_sha256
        else one.figure(name).number - other.figure(name).number
        for one, other in zip(ones, others, strict=True)
    ]  # fmt: skip


def pooled_gain(ones: Records, others: Records, name: str) -> float:
    """A pooled figure of one entrant minus another's, both of the episodes on which both have it."""
    both = [
        (one, other)
        for one, other in zip(ones, others, strict=True)
        if one.figure(name).value is not None and other.figure(name).value is not None
    ]
    return pooled_figure([one for one, _ in both], name) - pooled_figure([other for _, other in both], name)
