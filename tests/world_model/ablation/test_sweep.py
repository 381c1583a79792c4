"""Whole sweeps at small size: they say what the runs gave, and go on where they were stopped."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from k4d_world_model.ablation.config import read_ablation
from k4d_world_model.ablation.figures import FIGURES
from k4d_world_model.ablation.run import SCORES, TRAINED
from k4d_world_model.cli import ablate
from k4d_world_model.errors import AblationError

from ..training.conftest import FRAMES, HEIGHT, WIDTH, make_dataset

PRESET = {
    "name": "small",
    "architecture": {
        "frames": FRAMES, "height": HEIGHT, "width": WIDTH, "condition": "robot_pointmap",
        "robot_in_both_halves": True, "normalization": "fixed", "normalization_margin": 1.2,
        "robot_pictures": "masked", "prior": "still", "head": "blend", "pointmap_latent_mean": 0.0,
        "pointmap_latent_std": 1.0, "reads_noise": False,
        "codec": {"kind": "pixels", "spatial": 4, "temporal": 4, "latent_channels": 192},
        "transformer": {
            "num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 1, "freq_dim": 16,
            "image_dim": 0,
        },
        "robot_tokens": {"patch": 2, "grid": [3, 1, 2]},
    },
    "optimiser": {"learning_rate": 3.0e-3},
    "loss": {"kind": "clean", "noise_only_share": 1.0, "soft_mask_share": 0.1},
    "budget": {"steps": 3, "checkpoint_every": 1, "validation_every": 0, "sheet_every": 0, "validation_clips": 0},
    "sampling": {"steps": 1, "scheduler": "euler", "flow_shift": 1.0},
    "batch_size": 2,
}  # fmt: skip
ABLATION = {
    "name": "small",
    "title": "A small one",
    "preset": "preset.yaml",
    "reference": "pointmap",
    "variants": [
        {"name": "pointmap"},
        {"name": "few", "data": ["second"], "clips": 2},
        {"name": "points", "changes": {"architecture": {"condition": "pictures"}}},
        {"name": "shifted", "model_of": "pointmap", "noise": {"shift_px": 2}, "points_by": "points"},
    ],
    "paper_order": {"psnr": ["pointmap", "few", "points"]},
}


NAMES = [str(variant["name"]) for variant in ABLATION["variants"]]


def write(folder: Path, **changes: object) -> Path:
    (folder / "preset.yaml").write_text(yaml.safe_dump(PRESET))
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(ABLATION | changes))
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("data")
    return tuple(make_dataset(folder / name, name, 3, 2) for name in ("first", "second"))


@pytest.fixture(scope="module")
def arguments(config: Path, data: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> ablate.Arguments:
    out, cache = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("cache")
    return ablate.Arguments((config,), data, out / "whole", seeds=(4,), cache=cache, threads=1)


@pytest.fixture(scope="module")
def whole(arguments: ablate.Arguments) -> Path:
    """A sweep without interruption."""
    ablate.run(arguments)
    return arguments.out


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
    variants = [{"name": "pointmap", "changes": {"loss": {"soft_mask_share": 0.5}}}]
    other = write(tmp_path, variants=variants, paper_order={})
    with pytest.raises(AblationError, match="a run of other settings or data"):
        ablate.run(replace(arguments, config=(other,)))
    with pytest.raises(AblationError, match="a run of other settings or data"):
        ablate.run(replace(arguments, data=arguments.data[1:]))


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
    ],
)
def test_wrong_arguments_are_named(
    arguments: ablate.Arguments, tmp_path: Path, changes: dict[str, object], match: str
) -> None:
    if "data" in changes:
        changes = {**changes, "data": arguments.data[:1]}
    with pytest.raises(AblationError, match=match):
        ablate.run(replace(arguments, out=tmp_path, **changes))
