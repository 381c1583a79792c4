"""What counts as finished: runs of these settings, samples, robot, noise and definitions, judged on the same clips."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from k4d_world_model.ablation import run as running
from k4d_world_model.ablation.config import read_ablation
from k4d_world_model.ablation.held_out_clips import held_out_clips
from k4d_world_model.ablation.run import SCORES, TRAINED, Run, scores_of, told, train_run
from k4d_world_model.ablation.sweep import finished, planned
from k4d_world_model.ablation.sweep_settings import SweepSettings
from k4d_world_model.cli import ablate
from k4d_world_model.dataset.building.manifest import read_manifest, write_manifest
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.errors import AblationError, DatasetError
from k4d_world_model.training.checkpoints import RunState

from .conftest import ABLATION, NAMES, PRESET, write

URDF = """<robot name="arm">
<link name="base"><visual><geometry><box size="0.1 0.2 {height}"/></geometry></visual>
<collision><geometry><box size="0.1 0.2 0.7"/></geometry></collision></link>
<link name="tip"/><joint name="turn" type="revolute"><parent link="base"/><child link="tip"/>
<limit lower="-1" upper="1" effort="1" velocity="1"/></joint></robot>"""


@pytest.fixture
def copied(whole: Path, arguments: ablate.Arguments, tmp_path: Path) -> ablate.Arguments:
    """The finished sweep's, with a copy of its results."""
    shutil.copytree(whole, tmp_path / "whole")
    return replace(arguments, out=tmp_path / "whole")


def settings_of(arguments: ablate.Arguments, **changes: object) -> SweepSettings:
    plain = SweepSettings(arguments.data, arguments.out, None, arguments.cache)
    return replace(plain, **changes)


def reported(arguments: ablate.Arguments) -> list[tuple[str, int]]:
    """Variant and number of clips of every run in the results."""
    ablate.run(replace(arguments, report_only=True))
    runs = json.loads((arguments.out / "small" / "results.json").read_text())["runs"]
    return [(run["variant"], run["held_out"]) for run in runs]


def with_other_sample(root: Path, part: str, out: Path) -> Path:
    """A copy of a data set of which the first sample of a part has another content."""
    shutil.copytree(root, out / root.name)
    layout = NativeLayout(out / root.name)
    manifest = read_manifest(layout)
    name = manifest.episode_ids(part)[0]
    samples = [replace(one, sha256="0" * 64) if one.episode_id == name else one for one in manifest.samples]
    write_manifest(layout, replace(manifest, samples=tuple(samples)))
    return layout.root


def write_robot(
    folder: Path, *, height: float = 0.3, tool: str = "tip", shape: str = "visual", comment: str = ""
) -> Path:
    (folder / "arm.urdf").write_text(URDF.format(height=height))
    path = folder / "arm.yaml"
    content = f"name: arm\nurdf: arm.urdf\ntool_link: {tool}\nhome: {{turn: 0.0}}\ngeometry: {shape}\n"
    path.write_text(f"{comment}\n{content}")
    return path


def test_runs_judged_on_different_clips_share_no_table(copied: ablate.Arguments) -> None:
    few = replace(copied, episodes=1)
    ablate.run(replace(few, only=("pointmap",)))
    with pytest.raises(AblationError, match="different clips: pointmap with seed 4 unlike few with seed 4"):
        ablate.run(replace(copied, report_only=True))
    ablation = read_ablation(copied.config[0])
    settings = settings_of(copied, episodes=1)
    held_out = held_out_clips(settings, ablation.training(ablation.config.variants[0], 4).architecture, lambda x, _: x)
    results = finished(planned([ablation], (4,), ()), ablation, settings, held_out)
    assert [(result.variant, len(result.clips)) for result in results] == [("pointmap", 2)]
    ablate.run(few)
    assert reported(copied) == [(name, 2) for name in NAMES]


def test_what_a_sweep_does_not_run_stays_in_its_tables(copied: ablate.Arguments) -> None:
    before = reported(copied)
    ablate.run(replace(copied, only=("pointmap",)))
    table = json.loads((copied.out / "small" / "results.json").read_text())
    assert sorted({run["variant"] for run in table["runs"]}) == sorted(name for name, _ in before)


def test_scores_without_their_model_are_not_finished(copied: ablate.Arguments) -> None:
    shutil.rmtree(copied.out / "runs" / "pointmap")
    assert (copied.out / "runs" / "shifted" / "seed4" / SCORES).exists()
    assert reported(copied) == [("few", 4), ("points", 4)]


def test_a_changed_sample_to_learn_from_is_not_taken_for_the_same(copied: ablate.Arguments, tmp_path: Path) -> None:
    other = replace(copied, data=(copied.data[0], with_other_sample(copied.data[1], "train", tmp_path)))
    with pytest.raises(AblationError, match="a run of other settings, data or robot"):
        ablate.run(replace(other, only=("few",)))
    assert reported(other) == []
    assert reported(replace(other, data=copied.data)) == [(name, 4) for name in NAMES]


def test_a_changed_held_out_sample_is_judged_anew(copied: ablate.Arguments, tmp_path: Path) -> None:
    path = copied.out / "runs" / "pointmap" / "seed4" / SCORES
    before = json.loads(path.read_text())
    other = replace(copied, data=(copied.data[0], with_other_sample(copied.data[1], "val", tmp_path)))
    ablate.run(replace(other, only=("pointmap",)))
    after = json.loads(path.read_text())
    assert before["judged"] != after["judged"]
    assert before["clips"] == after["clips"]  # the manifest says so, the pictures are the same


def test_a_listed_sample_that_the_manifest_lacks_is_named(copied: ablate.Arguments, tmp_path: Path) -> None:
    root = with_other_sample(copied.data[1], "train", tmp_path)
    with NativeLayout(root).train_list.open("a") as file:
        file.write("stranger\n")
    with pytest.raises(DatasetError, match="has no sample stranger, which the list 'train' names"):
        ablate.run(replace(copied, data=(copied.data[0], root)))


@pytest.mark.parametrize("name", ["DEFINITIONS", "EVALUATION_DEFINITIONS"])
def test_other_definitions_are_judged_anew(
    copied: ablate.Arguments, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ablation = read_ablation(copied.config[0])
    run = Run(ablation, ablation.config.variants[3], 4)
    assert scores_of(run, settings_of(copied)) is not None
    monkeypatch.setattr(running, name, 1000)
    assert scores_of(run, settings_of(copied)) is None


def test_other_noise_is_judged_anew_for_the_disturbed_variant_alone(copied: ablate.Arguments, tmp_path: Path) -> None:
    *others, disturbed = ABLATION["variants"]
    changed = write(tmp_path, variants=[*others, disturbed | {"noise": {"shift_px": 3}}])
    assert reported(replace(copied, config=(changed,))) == [(name, 4) for name in NAMES[:3]]
    ablate.run(replace(copied, config=(changed,)))
    assert reported(replace(copied, config=(changed,))) == [(name, 4) for name in NAMES]
    assert reported(copied) == [(name, 4) for name in NAMES[:3]]


def test_a_run_is_known_by_its_robot(tmp_path: Path) -> None:
    drawn = {"robot_pictures": "rendered"}
    ablation = read_ablation(write(tmp_path, PRESET | {"architecture": PRESET["architecture"] | drawn}))
    run = Run(ablation, ablation.config.variants[0], 4)
    architecture = ablation.training(run.variant, 4).architecture

    def robot(**changes: object) -> str | None:
        settings = SweepSettings((tmp_path,), tmp_path, write_robot(tmp_path, **changes), tmp_path / "cache")
        return settings.robot_sha256(architecture)

    first = robot()
    assert len({first, robot(height=0.4), robot(tool="base"), robot(shape="collision")}) == 4
    assert robot(comment="# the same") == first
    assert (
        SweepSettings((tmp_path,), tmp_path, tmp_path / "none.yaml", tmp_path).robot_sha256(
            replace(architecture, robot_pictures="masked")
        )
        is None
    )


def test_a_run_of_another_robot_is_refused(arguments: ablate.Arguments, tmp_path: Path) -> None:
    drawn = {"robot_pictures": "rendered"}
    ablation = read_ablation(write(tmp_path, PRESET | {"architecture": PRESET["architecture"] | drawn}))
    run = Run(ablation, ablation.config.variants[0], 4)
    settings = settings_of(arguments, out=tmp_path, robot=write_robot(tmp_path), cache=tmp_path / "cache")
    run.folder(tmp_path).mkdir(parents=True)
    (run.folder(tmp_path) / TRAINED).write_text(json.dumps(told(run, settings)))
    train_run(run, settings, lambda _: None, lambda items, _: items)
    write_robot(tmp_path, height=0.4)
    with pytest.raises(AblationError, match="other settings, data or robot"):
        train_run(run, replace(settings), lambda _: None, lambda items, _: items)


def test_held_out_clips_are_known_by_size_and_robot(
    arguments: ablate.Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    ablation = read_ablation(arguments.config[0])
    architecture = ablation.training(ablation.config.variants[0], 4).architecture
    settings = settings_of(arguments, episodes=1)

    def judged(**changes: int) -> str:
        return held_out_clips(settings, replace(architecture, **changes), lambda items, _: items).sha256

    first = judged()
    assert judged(frames=5) != first
    monkeypatch.setattr(SweepSettings, "robot_sha256", lambda *_: "another")
    assert judged() != first


def test_ablations_of_different_sizes_share_no_clips(arguments: ablate.Arguments, tmp_path: Path) -> None:
    smaller = PRESET | {"architecture": PRESET["architecture"] | {"frames": 5}}
    variants = [{"name": "other"}]
    path = write(tmp_path, smaller, name="second", reference="other", variants=variants, paper_order={})
    with pytest.raises(AblationError, match=r"\(9, 16, 24, 'masked'\) for 'pointmap' of 'small'; \(5, .*'second'"):
        planned([read_ablation(arguments.config[0]), read_ablation(path)], (0,), ())


def test_minutes_do_not_count_the_making_of_clips(
    arguments: ablate.Arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]

    def train(config, run, on_progress, on_preparing) -> RunState:
        for seconds in on_preparing([50.0, 30.0], 2):
            clock[0] += seconds
        clock[0] += 7.0
        (run.out / "checkpoints").mkdir(parents=True)
        return RunState(3, 6, 8.0, 4, "", "")

    monkeypatch.setattr(running, "train", train)
    monkeypatch.setattr(running.time, "process_time", lambda: clock[0])
    ablation = read_ablation(arguments.config[0])
    run = Run(ablation, ablation.config.variants[0], 4)
    train_run(run, settings_of(arguments, out=tmp_path), lambda _: None, lambda items, _: items)
    facts = json.loads((run.folder(tmp_path) / TRAINED).read_text())
    assert (facts["cpu_seconds"], facts["wall_seconds"]) == (7.0, 8.0)
