"""Chamfer distances and F-scores of a predicted sequence of clouds: against the truth, and between its own frames."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.errors import CloudError
from k4d_world_model.evaluation.cloud_metrics import (
    F_SCORE_THRESHOLD,
    Cloud,
    CloudDistances,
    cloud_distances,
    extrema_normalization,
    normalised,
    sampled_name,
)
from k4d_world_model.evaluation.figure import Figure, NamedFigure, no_figure
from k4d_world_model.evaluation.regions import Regions
from k4d_world_model.evaluation.truth import Truth

_KINDS = ("chamfer_l1", "chamfer_l2", "f_score")

Measure = Callable[[Cloud, Cloud], CloudDistances]


def cloud_figures(
    points: NDArray[np.float32], truth: Truth, where: Regions, *, sample: int | None = None, workers: int = 1
) -> list[NamedFigure]:
    """The figures of predicted points (T, H, W, 3), in metres and in the normalised units of the truth's extrema.

    Each is the mean over the frames after the first; in metres also over the pixels of regions of the truth, each
    pixel's point against the nearest of the whole other cloud, in the frames that have such pixels. ``_temp`` figures
    compare each frame with the one before. Missing points are dropped. A frame without any point leaves its figures
    without a value, with the reason. ``sample`` and ``workers`` are those of ``cloud_distances``.
    """
    robot = truth.robot_mask[1:]
    regions = {"": None, "_changed": where.changed, "_robot": robot, "_environment": ~robot}
    measure = partial(cloud_distances, sample=sample, workers=workers)
    figures = _against_truth(points, truth.points, regions, measure) + _between_frames(points, "_temp", measure)
    try:
        by = extrema_normalization(truth.points)
    except CloudError as error:
        figures += _none("_normalised", str(error)) + _none("_temp_normalised", str(error))
    else:
        scaled, scaled_truth = normalised(points, by), normalised(truth.points, by)
        figures += _against_truth(scaled, scaled_truth, {"_normalised": None}, measure)
        figures += _between_frames(scaled, "_temp_normalised", measure)
    return _named(figures, sample)


def temporal_cloud_figures(
    points: NDArray[np.float32], *, sample: int | None = None, workers: int = 1
) -> list[NamedFigure]:
    """The ``_temp`` figures in metres alone: each frame of (T, H, W, 3) against the one before, averaged."""
    return _named(_between_frames(points, "_temp", partial(cloud_distances, sample=sample, workers=workers)), sample)


def _between_frames(points: NDArray[np.float32], suffix: str, measure: Measure) -> list[NamedFigure]:
    try:
        clouds = [_cloud(frame, f"frame {t}") for t, frame in enumerate(points)]
    except CloudError as error:
        return _none(suffix, str(error))
    return _averaged(suffix, (measure(now, before) for now, before in zip(clouds[1:], clouds[:-1], strict=True)))


def _against_truth(
    points: NDArray[np.float32],
    truth: NDArray[np.float32],
    regions: Mapping[str, NDArray[np.bool_] | None],
    measure: Measure,
) -> list[NamedFigure]:
    try:
        frames = [
            measure(_cloud(points[t], f"predicted frame {t}"), _cloud(truth[t], f"true frame {t}"))
            for t in range(1, len(points))
        ]
    except CloudError as error:
        return [figure for suffix in regions for figure in _none(suffix, str(error))]
    figures = []
    for suffix, region in regions.items():
        inside = frames if region is None else [frames[t].within(mask, mask) for t, mask in enumerate(region)]
        figures += _averaged(suffix, [frame for frame in inside if not frame.is_empty])
    return figures


def _averaged(suffix: str, distances: Iterable[CloudDistances]) -> list[NamedFigure]:
    rows = [(frame.chamfer_l1, frame.chamfer_l2, frame.f_score(F_SCORE_THRESHOLD)) for frame in distances]
    if not rows:
        return _none(suffix, "no frame has points of the region in prediction and truth")
    means = np.mean(rows, axis=0)
    return [NamedFigure(f"{kind}{suffix}", Figure(float(mean))) for kind, mean in zip(_KINDS, means, strict=True)]


def _none(suffix: str, reason: str) -> list[NamedFigure]:
    return [NamedFigure(f"{kind}{suffix}", no_figure(reason)) for kind in _KINDS]


def _named(figures: list[NamedFigure], sample: int | None) -> list[NamedFigure]:
    return [NamedFigure(sampled_name(figure.name, sample), figure.figure) for figure in figures]


def _cloud(points: NDArray[np.float32], name: str) -> Cloud:
    try:
        return Cloud.of(points)
    except CloudError as error:
        raise CloudError(f"{name}: {error}") from error
