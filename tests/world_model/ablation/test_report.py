"""Tables say how sure they are, of which clips, and how the paper's order stands."""

import json
from pathlib import Path

import pytest

from k4d_world_model.ablation.config import AblationConfig, Variant
from k4d_world_model.ablation.figures import FIGURES
from k4d_world_model.ablation.report import RunResult, markdown, write_report

FACTS = {"steps": 3, "clips_seen": 6, "cpu_seconds": 90.0}
ORDER = ("a", "b", "c", "d")
# PSNR by variant and seed; of easy clips, those of hard ones are 5 lower.
VALUES = {"a": (20.0, 20.1, 20.2), "b": (19.0, 19.1, 19.21), "c": (20.9, 21.0, 21.12), "d": (19.9, 20.0, 21.8)}


def results(seeds: int) -> list[RunResult]:
    made = []
    for name, values in VALUES.items():
        for seed, value in enumerate(values[:seeds]):
            clips = [{"episode": data, "data": data, **dict.fromkeys(FIGURES, 7.0)} for data in ("easy", "hard")]
            clips[0]["psnr"], clips[1]["psnr"] = value, value - 5
            clips[1]["xyz_error_mm"] = None
            made.append(RunResult(name, seed, tuple(clips), FACTS))
    return made


def config(*judged_on: str) -> AblationConfig:
    variants = tuple(Variant(name) for name in ORDER)
    return AblationConfig("small", "A small one", "p.yaml", "a", variants, judged_on, {"psnr": ORDER})


def cells(table: str, name: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_stars_say_how_sure_a_difference_is() -> None:
    table = markdown(config(), results(3))
    assert cells(table, "a")[1:3] == ["3", "17.60 ± 0.10"]
    assert cells(table, "b")[2] == "16.60 ± 0.11 (-1.00**)"
    assert cells(table, "c")[2].endswith("(+0.91**)")
    assert cells(table, "d")[2].endswith("(+0.47)")  # two seeds of three
    all_agree = results(3)
    for result in all_agree[-3:]:
        result.clips[0]["psnr"] += 0.4
    assert cells(markdown(config(), all_agree), "d")[2].endswith("(+0.67*)")


def test_the_papers_order_is_told_pair_by_pair() -> None:
    table = markdown(config("easy"), results(3))
    assert "* paper: a, b, c, d" in table
    assert "* here, by means: c, d, a, b" in table
    assert "* of 6 pairs 1 agree, 3 disagree, 2 are undecided" in table
    assert "* agree: a > b**\n* disagree: a < c**, b < c**, b < d*\n* undecided: a ? d, c ? d\n" in table


def test_two_seeds_decide_nothing() -> None:
    table = markdown(config(), results(2))
    assert "of 6 pairs 0 agree, 0 disagree, 6 are undecided" in table
    assert "*)" not in table


def test_tables_are_of_the_clips_that_the_ablation_names(tmp_path: Path) -> None:
    table = write_report(tmp_path, config("easy"), results(3))
    assert "; 1 held-out clips of easy alone." in table
    assert cells(table, "a")[2] == "20.10 ± 0.10"
    assert "| PSNR (dB) on clips of | easy | hard |" in table
    assert "| a | 20.10 | 15.10 |" in table
    summary = json.loads((tmp_path / "results.json").read_text())
    assert summary["judged_on"] == ["easy"]
    assert [(run["psnr"], run["held_out"]) for run in summary["runs"][:2]] == [(20.0, 1), (20.1, 1)]
    assert next(one["mean"] for one in summary["differences"] if one["variant"] == "b") == pytest.approx(-0.9966667)
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 2 * 12
