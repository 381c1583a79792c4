"""What is told of runs: every one is counted, in tables, files and videos."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.dataset.storage.video_files import decode_pictures, encode_mp4
from k4d_world_model.policy_evaluation.agreement_figures import Confusion
from k4d_world_model.policy_evaluation.evaluate_policies import PolicyEvaluation, collect
from k4d_world_model.policy_evaluation.judge import Verdict
from k4d_world_model.policy_evaluation.policy_report import agreements, cells, markdown_report, write_report
from k4d_world_model.policy_evaluation.run_reasons import RunReason, run_reasons
from k4d_world_model.policy_evaluation.run_row import RunRow, WorldName, read_row, row_path, write_row


def verdict(success: bool) -> Verdict:
    return Verdict(success, success, 0.01 if success else math.nan, 0.2, 0.1, 0.02, success, success, "told")


def truth(policy: str, seed: int, done: bool, judged: bool, distance: float = 0.02) -> RunRow:
    return RunRow(policy, False, "easy", seed, "truth", "", done, "", distance, verdict(judged), 2, 90, True, 0.5)


def imagined(policy: str, seed: int, done: bool, chunks: int = 2) -> RunRow:
    return RunRow(policy, False, "easy", seed, "imagined", "", verdict=verdict(done), chunks=chunks, commands=40)


def invalid(policy: str, seed: int, world: WorldName) -> RunRow:
    return RunRow(policy, False, "easy", seed, world, "PolicyError:\n a|b")


# Of policy a: a success, one missed, a near miss called success (by the judge on true footage, too), a far failure, an
# invalid imagined run and one without a row. Of policy b: two failures, one of them called success.
ROWS = (
    truth("a", 1, True, True), imagined("a", 1, True, 1),
    truth("a", 2, True, True), imagined("a", 2, False, 2),
    truth("a", 3, False, True, 0.08), imagined("a", 3, True, 3),
    truth("a", 4, False, False, 0.2), imagined("a", 4, False, 4),
    truth("a", 5, True, True), invalid("a", 5, "imagined"),
    truth("a", 6, True, True),
    truth("b", 1, False, False, 0.3), imagined("b", 1, False),
    truth("b", 2, False, False, 0.15), imagined("b", 2, True),
    *(invalid("b", seed, world) for seed in (3, 4, 5, 6) for world in ("truth", "imagined")),
)  # fmt: skip
EVALUATION = PolicyEvaluation("abc", ("a", "b"), ("easy",), ROWS, 24)


def test_cells_count_every_run() -> None:
    a, b = cells(EVALUATION)
    assert ((a.truth.successes, a.truth.count), (a.imagined.successes, a.imagined.count)) == ((2, 4), (2, 4))
    assert a.world == Confusion(1, 1, 1, 1)
    assert a.judge == Confusion(2, 1, 0, 1)
    assert a.model == Confusion(2, 0, 1, 1)
    assert (a.near_misses, a.chunks, a.invalid, a.missing) == ((1, 1), 2.5, (0, 1), 1)
    assert (b.world, b.near_misses, b.invalid, b.missing) == (Confusion(0, 1, 0, 1), (0, 0), (4, 4), 0)


def test_agreement_is_over_policies() -> None:
    (easy, everything) = agreements(cells(EVALUATION))
    assert (easy.set_up, everything.set_up) == ("easy", "all")
    # Truth 0.5 and 0; imagined 0.5 and 0.5, a tie: only b misses that it is worse.
    assert (easy.difference, easy.mmrv) == pytest.approx((0.25, 0.25))
    assert math.isnan(easy.pearson)


def test_reasons_are_counted_without_their_numbers() -> None:
    rows = []
    for seed, (distance, set_up) in enumerate([(0.061, "easy"), (0.07, "easy"), (0.3, "hard")]):
        missed = truth("a", seed, False, False)
        rows.append(replace(missed, checker_reason=f"{distance} m off", set_up=set_up))
        rows.append(replace(imagined("a", seed, True), set_up=set_up))
        rows.append(replace(truth("b", seed, True, False), set_up=set_up))
        rows.append(replace(imagined("b", seed, seed > 0), set_up=set_up))
        rows.append(replace(invalid("c", seed, "truth"), set_up=set_up, invalid=f"joint{seed + 4} is {distance} off"))
    assert run_reasons(rows, ("easy", "hard")) == [
        RunReason("imagined", "called success", "… m off", (2, 1)),
        RunReason("imagined", "called failure", "told", (1, 0)),
        RunReason("truth", "called failure", "told", (2, 1)),
        RunReason("truth", "invalid", "joint4 is … off", (1, 0)),
        RunReason("truth", "invalid", "joint5 is … off", (1, 0)),
        RunReason("truth", "invalid", "joint6 is … off", (0, 1)),
    ]


def test_reasons_are_those_of_the_runs_that_other_tables_count() -> None:
    reasons = run_reasons(ROWS, ("easy",))
    table = cells(EVALUATION)

    def total(world: WorldName, trouble: str) -> int:
        return sum(one.counts[0] for one in reasons if (one.world, one.trouble) == (world, trouble))

    assert total("imagined", "called success") == sum(cell.world.false_success for cell in table) == 2
    assert total("imagined", "called failure") == sum(cell.world.false_failure for cell in table) == 1
    assert total("truth", "called success") == sum(cell.judge.false_success for cell in table) == 1
    assert total("truth", "called failure") == sum(cell.judge.false_failure for cell in table) == 0
    assert total("truth", "invalid") + total("imagined", "invalid") == sum(sum(cell.invalid) for cell in table) == 9


def test_the_report_is_for_people_and_for_programs(tmp_path: Path) -> None:
    films = {"truth": (40, 10, 5), "imagined": (90, 40, 3)}  # the first level, how much brighter each time, how often
    for row in ROWS[:6]:
        write_row(tmp_path, row)
        level, step, count = films[row.world]
        picture = np.tile((level + step * np.arange(count, dtype=np.uint8))[:, None, None, None], (1, 16, 24, 3))
        row_path(tmp_path, row.policy, row.set_up, row.seed, row.world).with_suffix(".mp4").write_bytes(
            encode_mp4(picture, 18)
        )
    write_report(tmp_path, EVALUATION)
    text = (tmp_path / "report.md").read_text()
    assert text == markdown_report(EVALUATION)
    failed = replace(EVALUATION, failed=(("easy 7", "no memory"),))
    assert "* Not run: easy 7: no memory\n" in markdown_report(failed)
    assert f"{len(ROWS)} of 24 runs" in text
    assert (
        "| easy | a | 2/4 = 0.50 [0.15, 0.85] | 2/4 = 0.50 [0.15, 0.85] | +0.00 | 1 / 1 | 1 of 1 | 2.5 | 0, 1 | 1 |"
        in text
    )
    assert "| imagined | called failure | told | 1 |" in text
    assert "| truth | invalid | PolicyError: a\\|b | 4 |" in text
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {"world": "truth", "trouble": "invalid", "reason": "PolicyError:\n a|b", "counts": [4]} in summary["reasons"]
    assert summary["agreement"][0] == {"set_up": "easy", "difference": 0.25, "mmrv": 0.25, "pearson": None}
    with (tmp_path / "runs.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(ROWS)
    assert {line["invalid"] for line in lines if line["policy"] == "b" and line["seed"] == "3"} == {
        "PolicyError:\n a|b"
    }
    videos = sorted(path.name for path in (tmp_path / "disagreements").iterdir())
    assert videos == ["false_failure_easy_a_2.mp4", "false_success_easy_a_3.mp4"]
    film = decode_pictures((tmp_path / "disagreements" / videos[0]).read_bytes(), "film")
    assert film.shape == (37, 48, 144, 3)  # 90 commands are 4.5 s, at 8 Hz; the other run ends after 40, 2 s
    assert film[[0, 17, 36], :, :60].mean(axis=(1, 2, 3)) == pytest.approx([40, 60, 80], abs=7)
    assert film[[0, 8, 16, 36], :, 84:].mean(axis=(1, 2, 3)) == pytest.approx([90, 130, 170, 170], abs=7)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    for row in ROWS:
        write_row(tmp_path, row)
        again = read_row(row_path(tmp_path, row.policy, row.set_up, row.seed, row.world))
        assert repr(again) == repr(row)  # NaN is not equal to itself
    found = collect(tmp_path, ("a", "b"), {"easy": range(1, 7)})
    assert (len(found.rows), found.expected) == (len(ROWS), 24)
