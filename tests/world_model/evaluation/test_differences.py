"""Entrants minus each other: on the same episodes, and by the same codec; with how many there are."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.dataset.episode import EpisodeInfo
from k4d_world_model.evaluation.differences import gains, pooled_figure, pooled_gain
from k4d_world_model.evaluation.episode_record import EpisodeRecord, read_record, record_path, write_record
from k4d_world_model.evaluation.evaluate import Evaluation
from k4d_world_model.evaluation.figure import Figure, NamedFigure
from k4d_world_model.evaluation.figure_titles import FigureTitle
from k4d_world_model.evaluation.frechet import frechet_distance
from k4d_world_model.evaluation.pixel_figures import figures_of
from k4d_world_model.evaluation.rollout_metrics import compare
from k4d_world_model.evaluation.set_figures import SetFigures
from k4d_world_model.evaluation.tables import domain_table, figure_table, set_table
from k4d_world_model.evaluation.truth import Truth

from .conftest import make_rollout

LATENT = "latent_l2_pixels"


def record(truth: Truth, entrant: str, episode: str, levels: int | None, codec: str = "c0") -> EpisodeRecord:
    """Of a prediction whose levels are so far off; of none where that is None."""
    info = EpisodeInfo(episode, "simulation")
    plain = (entrant, "identity", codec, "", "protocol", "domain", info, "truth")
    if levels is None:
        return EpisodeRecord(*plain, invalid="it failed")
    rgb = np.clip(truth.rgb.astype(int) + levels, 0, 255).astype(np.uint8)
    metrics = compare(make_rollout(rgb, truth.points), truth)
    figures = (*figures_of(metrics), NamedFigure(LATENT, Figure(levels / 100)))
    return EpisodeRecord(*plain, metrics=metrics, figures=figures)


def evaluation_of(**records: list[EpisodeRecord]) -> Evaluation:
    protocol = {"cloud_sample": None, "weights.frechet_efficientnet_lite0": "5e", "weights.fid": "unavailable",
                "weights.fvd": "unavailable"}  # fmt: skip
    truth = records.pop("truth")
    folders = dict.fromkeys((*records, "truth"), Path())
    outcomes = tuple(Outcome(one.episode.episode_id, "written") for one in truth)
    entrants = {name: tuple(of_one) for name, of_one in records.items()}
    return Evaluation(protocol, tuple(records), entrants, tuple(truth), folders, outcomes)


def test_pooled_differences_are_of_the_episodes_that_both_have(truth: Truth) -> None:
    # The easy episode, where both are near, is missing of one: its pool alone would look worse by what it did not do.
    ours = [record(truth, "ours", "easy", None), record(truth, "ours", "hard", 20), record(truth, "ours", "mid", 12)]
    theirs = [record(truth, "theirs", name, levels) for name, levels in (("easy", 2), ("hard", 24), ("mid", 15))]
    expected = pooled_figure(ours[1:], "psnr") - pooled_figure(theirs[1:], "psnr")
    assert pooled_gain(ours, theirs, "psnr") == expected > 1.0
    assert pooled_figure(ours, "psnr") < pooled_figure(theirs, "psnr")
    assert math.isnan(pooled_gain(ours, theirs, LATENT))
    evaluation = evaluation_of(
        ours=ours, frozen_world=theirs, truth=[record(truth, "truth", name, 0) for name in ("easy", "hard", "mid")]
    )
    table = figure_table(evaluation, [FigureTitle("psnr", "PSNR", 2), FigureTitle(LATENT, "latents", 3)])
    _, _, first, second = table.splitlines()
    cells = [cell.strip() for cell in first.split("|")[2:5]]
    assert cells[2].startswith(f"{expected:+.2f} (")
    assert ["n = 2" in cell for cell in cells] == [True, False, True]
    assert "0.160 [0.120, 0.200; n = 2]" in second


def test_latents_of_two_codecs_are_not_subtracted(truth: Truth) -> None:
    ours = [record(truth, "ours", "one", 5), record(truth, "ours", "two", 5, codec="c1")]
    theirs = [record(truth, "theirs", name, 3) for name in ("one", "two")]
    first, second = gains(ours, theirs, LATENT)
    assert first == pytest.approx(0.02)
    assert math.isnan(second)
    assert all(math.isfinite(value) for value in gains(ours, theirs, "psnr"))


def test_drift_compares_first_halves_with_second_ones_and_too_few_samples_are_told(
    truth: Truth, tmp_path: Path
) -> None:
    generator = np.random.default_rng(4)
    network = "frechet_efficientnet_lite0"
    features = {name: generator.normal(size=(6, 5)).astype(np.float32) for name in ("one", "two")}
    for of_one in features.values():
        of_one[3:] += 2.0
    evaluation = evaluation_of(
        ours=[record(truth, "ours", name, 3) for name in features],
        frozen_world=[record(truth, "frozen_world", name, None) for name in features],
        truth=[record(truth, "truth", name, 0) for name in features],
    )
    evaluation.folders.update(dict.fromkeys(evaluation.folders, tmp_path))
    kept = []
    for name, of_one in zip(features, evaluation.records["ours"], strict=True):
        write_record(tmp_path, of_one, {network: features[name]})
        kept.append(read_record(record_path(tmp_path, "ours", name)))
    judged = SetFigures(evaluation)
    halves = [np.concatenate([part[start : start + 3] for part in features.values()]) for start in (0, 3)]
    drift = judged.figure(f"{network}_temp", kept, evaluation.truth)
    assert drift.number == pytest.approx(frechet_distance(*halves).number, rel=1e-6)
    assert drift.number > 10.0
    assert judged.figure(f"{network}_temp", kept, evaluation.truth) is drift  # once for all tables
    assert judged.samples(f"{network}_temp", kept) == 6
    assert "| Frechet distance on EfficientNet-Lite0 | no prediction has features for it" in set_table(
        evaluation, judged
    )


def test_memory_is_the_largest_and_time_the_median(truth: Truth) -> None:
    ours = [
        replace(record(truth, "ours", name, 3), seconds=Figure(seconds), peak_memory_bytes=Figure(memory * 1e9))
        for name, seconds, memory in (("one", 4.0, 1.0), ("two", 2.0, 3.0), ("three", 9.0, 2.0))
    ]
    frozen = [record(truth, "frozen_world", name, 3) for name in ("one", "two", "three")]
    true = [replace(record(truth, "truth", name, 0), metrics=None) for name in ("one", "two", "three")]
    evaluation = evaluation_of(ours=ours, frozen_world=frozen, truth=true)
    _, _, line, *_ = domain_table(evaluation, SetFigures(evaluation)).splitlines()
    assert line.startswith("| domain | ours | 3 | 4.00 | 3.00 |")
