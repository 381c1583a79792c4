"""Whole sweeps at small size: they say what the runs gave, and go on where they were stopped."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from k4d_world_model.ablation.config import read_ablation
from k4d_world_model.ablation.figures import FIGURES
from k4d_world_model.ablation.run import SCORES, TRAINED
from k4d_world_model.cli import ablate
from k4d_world_model.errors import AblationError

from .conftest import NAMES, write


def scores(out: Path) -> dict[str, object]:
    return {str(path.relative_to(out)): json.loads(path.read_text()) for path in sorted(out.rglob(SCORES))}


def test_a_sweep_says_what_its_runs_gave(whole: Path) -> None:
    runs = json.loads((whole / "small" / "results.json").read_text())["runs"]
    assert [(run["variant"], run["seed"]) for run in runs] == [(name, 4) for name in NAMES]
    for one in runs:
        assert (one["steps"], one["clips_seen"], one["held_out"]) == (3, 6, 4)
        assert {name for name in FIGURES if one[name] is None} <= {"psnr_changed", "xyz_error_changed_mm"}
    with (whole / "small" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 4
    assert {row["data"] for row in rows} == {"first", "second"}
    mean = sum(float(row["psnr"]) for row in rows[:4]) / 4
    assert runs[0]["psnr"] == pytest.approx(mean)
    table = (whole / "small" / "table.md").read_text()
    assert "4 runs of 3 steps on 6 clips" in table
    assert "3 are undecided" in table  # a single seed says nothing about an order
    assert len({run["psnr"] for run in runs}) == len(runs)


def test_a_variant_learns_from_its_own_data(whole: Path) -> None:
    states = {name: json.loads((whole / "runs" / name / "seed4" / TRAINED).read_text()) for name in NAMES[:3]}
    assert states["pointmap"]["learnt_from"] == states["points"]["learnt_from"] != states["few"]["learnt_from"]
    assert [states[name]["clips"] for name in NAMES[:3]] == [0, 2, 0]


def test_a_stopped_sweep_goes_on_and_repeats_nothing(
    whole: Path, arguments: ablate.Arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = replace(arguments, out=tmp_path / "out", seeds=(4,), only=("few", "shifted"))
    watch, stopped = ablate._watch, []

    def stopping(bar: object) -> object:
        own = watch(bar)

        def on_progress(progress: object) -> None:
            if progress.state.step == 2 and (again.out / "runs" / "pointmap" / "seed4" / TRAINED).exists():
                stopped.append(progress.state.step)
                raise KeyboardInterrupt
            own.on_progress(progress)

        return replace(own, on_progress=on_progress)

    monkeypatch.setattr(ablate, "_watch", stopping)
    with pytest.raises(KeyboardInterrupt):
        ablate.run(again)
    assert stopped == [2]
    assert list(scores(again.out)) == ["runs/pointmap/seed4/scores.json"]
    files = [again.out / "runs" / "pointmap" / "seed4" / name for name in (TRAINED, SCORES, "world_model.yaml")]
    before = [path.stat().st_mtime_ns for path in files]
    monkeypatch.setattr(ablate, "_watch", watch)
    ablate.run(again)
    assert [path.stat().st_mtime_ns for path in files] == before
    finished = scores(whole)
    found = scores(again.out)
    assert found == {name: finished[name] for name in found}
    assert sorted(found) == [f"runs/{name}/seed4/scores.json" for name in ("few", "pointmap", "points", "shifted")]


def test_a_run_of_other_settings_is_not_taken_for_this_one(
    whole: Path, arguments: ablate.Arguments, tmp_path: Path
) -> None:
    for changes in ({"loss": {"soft_mask_share": 0.5}}, {"architecture": {"transformer": {"ffn_dim": 48}}}):
        other = write(tmp_path, variants=[{"name": "pointmap", "changes": changes}], paper_order={})
        with pytest.raises(AblationError, match="a run of other settings, data or robot"):
            ablate.run(replace(arguments, config=(other,)))
    with pytest.raises(AblationError, match="a run of other settings, data or robot"):
        ablate.run(replace(arguments, only=("pointmap",), data=arguments.data[1:]))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"reference": "none such"}, "'none such'"),
        (
            {"variants": [{"name": "pointmap"}, {"name": "b", "changes": {"los": {}}}]},
            "variant 'b'.*did you mean 'loss'",
        ),
        ({"variants": [{"name": "pointmap", "model_of": "b"}, {"name": "b"}]}, "needs 'b' before it"),
        ({"variants": [{"name": "pointmap"}, {"name": "pointmap"}]}, "different names"),
        ({"paper_order": {"psnr": ["pointmap", "gone"]}}, "gone"),
        ({"paper_order": {"lpips": ["pointmap"]}}, "lpips"),
        (
            {"variants": [{"name": "pointmap"}, {"name": "b", "model_of": "pointmap", "clips": 3}]},
            "takes the models of 'pointmap'",
        ),
        ({"name": "../up"}, r"a name must be .* got '\.\./up'"),
        ({"name": "runs"}, "cannot be called 'runs'"),
        ({"variants": [{"name": "pointmap"}, {"name": "a/b"}]}, "a name must be .* got 'a/b'"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, changes: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        read_ablation(write(tmp_path, **{"paper_order": {}, **changes}))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"only": ("bar",)}, r"no variant is called \['bar'\]"),
        ({"seeds": ()}, "at least one seed"),
        ({"only": ("few",), "data": ("first",)}, "no data set is called.*second.*first"),
        ({"episodes": 0}, "at least 1 episode of each data set must judge, got 0"),
        ({"episodes": -3}, "at least 1 episode of each data set must judge, got -3"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: ablate.Arguments, tmp_path: Path, changes: dict[str, object], match: str
) -> None:
    if "data" in changes:
        changes = {**changes, "data": arguments.data[:1]}
    with pytest.raises(AblationError, match=match):
        ablate.run(replace(arguments, out=tmp_path, **changes))
