"""Chamfer distances and F-scores of a predicted sequence of clouds: against the truth, and between its own frames."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

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


class Measure(Protocol):
    """``cloud_distances`` with its sample and workers."""

    def __call__(self, predicted: Cloud, truth: Cloud, *, where: NDArray[np.bool_] | None = None) -> CloudDistances:
        """See ``cloud_distances``."""


def cloud_figures(
    points: NDArray[np.float32], truth: Truth, where: Regions, *, sample: int | None = None, workers: int = 1
) -> list[NamedFigure]:
    """The figures of predicted points (T, H, W, 3), in metres and in the normalised units of the truth's extrema.

    Each is the mean over the frames after the first; in metres also over the pixels of regions of the truth, each
    pixel's point against the nearest of the whole other cloud, in the frames that have such pixels. ``_temp`` figures
    compare each frame with the one before. Missing points are dropped. A frame without any point leaves its figures
    without a value, with the reason. ``sample`` and ``workers`` are those of ``cloud_distances``; a region's sample is
    drawn from its own points.
    """
    robot = truth.robot_mask[1:]
    regions = {"": None, "_changed": where.changed, "_robot": robot, "_environment": ~robot}
    measure = partial(cloud_distances, sample=sample, workers=workers)
    figures = _figures(points, truth.points, regions, "_temp", measure, is_sampled=sample is not None)
    try:
        by = extrema_normalization(truth.points)
    except CloudError as error:
        figures += _none("_normalised", str(error)) + _none("_temp_normalised", str(error))
    else:
        scaled, scaled_truth = normalised(points, by), normalised(truth.points, by)
        figures += _figures(
            scaled, scaled_truth, {"_normalised": None}, "_temp_normalised", measure, is_sampled=sample is not None
        )
    return _named(figures, sample)


def temporal_cloud_figures(
    points: NDArray[np.float32], *, sample: int | None = None, workers: int = 1
) -> list[NamedFigure]:
    """The ``_temp`` figures in metres alone: each frame of (T, H, W, 3) against the one before, averaged."""
    measure = partial(cloud_distances, sample=sample, workers=workers)
    try:
        clouds = _clouds(points, "frame")
    except CloudError as error:
        return _named(_none("_temp", str(error)), sample)
    return _named(_between_frames(clouds, "_temp", measure), sample)


def _figures(
    points: NDArray[np.float32],
    truth: NDArray[np.float32],
    regions: Mapping[str, NDArray[np.bool_] | None],
    temporal_suffix: str,
    measure: Measure,
    *,
    is_sampled: bool,
) -> list[NamedFigure]:
    try:
        clouds = _clouds(points, "predicted frame")
    except CloudError as error:
        return [figure for suffix in (*regions, temporal_suffix) for figure in _none(suffix, str(error))]
    between = _between_frames(clouds, temporal_suffix, measure)
    try:
        true_clouds = _clouds(truth, "true frame")
    except CloudError as error:
        return [figure for suffix in regions for figure in _none(suffix, str(error))] + between
    pairs = list(zip(clouds[1:], true_clouds[1:], strict=True))
    frames = [measure(*pair) for pair in pairs]
    figures = []
    for suffix, region in regions.items():
        if region is None:
            inside = frames
        elif is_sampled:
            inside = [measure(*pair, where=mask) for pair, mask in zip(pairs, region, strict=True)]
        else:  # what was asked already
            inside = [frame.within(mask, mask) for frame, mask in zip(frames, region, strict=True)]
        figures += _averaged(suffix, [frame for frame in inside if not frame.is_empty])
    return figures + between


def _between_frames(clouds: Sequence[Cloud], suffix: str, measure: Measure) -> list[NamedFigure]:
    return _averaged(suffix, [measure(now, before) for now, before in zip(clouds[1:], clouds[:-1], strict=True)])


def _averaged(suffix: str, distances: Sequence[CloudDistances]) -> list[NamedFigure]:
    rows = [(frame.chamfer_l1, frame.chamfer_l2, frame.f_score(F_SCORE_THRESHOLD)) for frame in distances]
    if not rows:
        return _none(suffix, "no frame has points of the region in prediction and truth")
    means = np.mean(rows, axis=0)
    return [NamedFigure(f"{kind}{suffix}", Figure(float(mean))) for kind, mean in zip(_KINDS, means, strict=True)]


def _none(suffix: str, reason: str) -> list[NamedFigure]:
    return [NamedFigure(f"{kind}{suffix}", no_figure(reason)) for kind in _KINDS]


def _named(figures: list[NamedFigure], sample: int | None) -> list[NamedFigure]:
    return [NamedFigure(sampled_name(figure.name, sample), figure.figure) for figure in figures]


def _clouds(points: NDArray[np.float32], name: str) -> list[Cloud]:
    clouds = []
    for t, frame in enumerate(points):
        try:
            clouds.append(Cloud.of(frame))
        except CloudError as error:
            raise CloudError(f"{name} {t}: {error}") from error
    return clouds
