"""k4d-annotate and what is behind it: a data set into another one, sample by sample."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.cli.annotate import main
from k4d_world_model.dataset.annotation.annotated_dataset import annotate_dataset
from k4d_world_model.dataset.annotation.command_annotator import CommandAnnotator
from k4d_world_model.dataset.building.manifest import read_manifest
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.review.check import CheckSettings, check_dataset
from k4d_world_model.dataset.storage.native_sample import list_samples, read_sample, verify_sample
from k4d_world_model.errors import DatasetError

Tool = Callable[..., CommandAnnotator]

SAVE = """
save_file({"points": points}, out / "points.safetensors", metadata={"scale": "affine"})
save_file({"robot_mask": mask}, out / "masks.safetensors")
"""
COUNT = 'with open({counter!r}, "a") as file: file.write(about["episode_id"] + " ")\n'


def test_a_data_set_is_annotated_into_another(dataset: NativeLayout, tool: Tool, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in dataset.samples.rglob("*") if path.is_file()}
    out = NativeLayout(tmp_path / "out")
    report = annotate_dataset(dataset.root, out.root, tool(SAVE))
    assert (report.written, report.kept, report.failed) == (3, 0, ())
    assert {path: path.read_bytes() for path in dataset.samples.rglob("*") if path.is_file()} == before
    for name in ("run_0", "run_1", "run_2"):
        assert verify_sample(out, name) == ()
        episode = read_sample(out, name)
        assert episode.scale == "affine"
        assert episode.robot_mask.sum() == 5 * 3 * 6
        np.testing.assert_allclose(episode.scene_points, 1.0, atol=1e-4)
        np.testing.assert_array_equal(episode.rgb, read_sample(dataset, name).rgb)
        assert "scene_points, robot_mask by" in episode.info.provenance
    manifest = read_manifest(out)
    assert [(sample.episode_id, sample.part) for sample in manifest.samples] == [
        ("run_0", "train"), ("run_1", "val"), ("run_2", "train")
    ]  # fmt: skip
    assert manifest.complete
    assert out.val_list.read_text() == "run_1\n"
    assert "tool.py" in str(manifest.settings["annotation.tool"])
    problems = check_dataset(out.root, CheckSettings(sheets=0), lambda done, total: None).problems
    assert not problems, problems


def test_failures_are_listed_and_the_next_run_goes_on(dataset: NativeLayout, tool: Tool, tmp_path: Path) -> None:
    counter = str(tmp_path / "counter")
    flag = tmp_path / "repaired"
    script = COUNT.format(counter=counter) + f"""
if about["episode_id"] == "run_1" and not Path({str(flag)!r}).exists():
    raise SystemExit("too dark")
""" + SAVE  # fmt: skip
    out = NativeLayout(tmp_path / "out")
    report = annotate_dataset(dataset.root, out.root, tool(script))
    assert report.written == 2
    assert [name for name, _ in report.failed] == ["run_1"]
    assert "too dark" in report.failed[0][1]
    assert not read_manifest(out).complete
    assert read_manifest(out).absent_groups == {"run_1": "val"}
    flag.touch()
    victim = next(path for path in out.sample_folder("run_2").iterdir() if path.name == "meta.json")
    victim.write_text("{}")
    report = annotate_dataset(dataset.root, out.root, tool(script))
    assert (report.written, report.kept, report.failed) == (2, 1, ())
    assert Path(counter).read_text().split() == ["run_0", "run_1", "run_2", "run_1", "run_2"]
    manifest = read_manifest(out)
    assert manifest.complete
    assert manifest.episode_ids("val") == ("run_1",)
    assert all(verify_sample(out, name) == () for name in list_samples(out))


def test_chosen_episodes_only(dataset: NativeLayout, tool: Tool, tmp_path: Path) -> None:
    out = NativeLayout(tmp_path / "out")
    annotate_dataset(dataset.root, out.root, tool(SAVE), episodes=("run_1",))
    assert list_samples(out) == ("run_1",)
    annotate_dataset(dataset.root, out.root, tool(SAVE), episodes=("run_2",))
    assert list_samples(out) == ("run_1", "run_2")
    assert len(read_manifest(out).samples) == 2
    with pytest.raises(DatasetError, match="no episode run_7; it has run_0, run_1, run_2"):
        annotate_dataset(dataset.root, out.root, tool(SAVE), episodes=("run_7",))


def test_unfit_folders_are_refused(dataset: NativeLayout, tool: Tool, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="never changed"):
        annotate_dataset(dataset.root, dataset.root / ".." / "dataset", tool(SAVE))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(DatasetError, match=r"it holds thesis\.tex"):
        annotate_dataset(dataset.root, tmp_path / "full", tool(SAVE))
    annotate_dataset(dataset.root, tmp_path / "out", tool(SAVE), episodes=("run_0",))
    other = replace(tool(SAVE), command=(*tool(SAVE).command, "--better"))
    with pytest.raises(DatasetError, match=r"annotation\.tool was .* and is .*--better"):
        annotate_dataset(dataset.root, tmp_path / "out", other)
    with pytest.raises(DatasetError):
        annotate_dataset(tmp_path / "nowhere", tmp_path / "new", tool(SAVE))
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="the same command goes on"):
        annotate_dataset(dataset.root, tmp_path / "file" / "below", tool(SAVE))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["k4d-annotate", *map(str, arguments)])
    return main()


def test_the_command_line(
    dataset: NativeLayout,
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = shlex.join(tool(SAVE).command)
    out = tmp_path / "out"
    assert run(monkeypatch, dataset.root, "--out", out, "--command", command, "--episodes", "run_0", "run_2") == 0
    assert "2 annotated, 0 kept, 0 failed" in capsys.readouterr().out
    failing = shlex.join(tool('raise SystemExit("no weights")').command)
    assert run(monkeypatch, dataset.root, "--out", tmp_path / "other", "--command", failing) == 1
    printed = capsys.readouterr().out
    assert "FAILED  run_1: " in printed
    assert "no weights" in printed
    for wrong in ([], ["--command", command, "--sam", tmp_path], ["--command", "'unclosed"]):
        assert run(monkeypatch, dataset.root, "--out", tmp_path / "third", *wrong) == 1
        assert "k4d-annotate: " in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


def test_sam_2_from_the_command_line(
    dataset: NativeLayout, sam2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = NativeLayout(tmp_path / "out")
    code = run(monkeypatch, dataset.root, "--out", out.root, "--sam", sam2_folder, "--points", 6, 5, 8, 4)
    assert code == 0
    assert list_samples(out) == ("run_0", "run_1", "run_2")
    assert read_sample(out, "run_0").robot_mask.any()
    assert json.loads(out.manifest.read_text())["settings"]["annotation.tool"].startswith("SAM 2 tiny from SamPrompt(")
