"""Data sets from recordings: what is in them, how they grow, and what is refused."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from k4d_world_model.cli.build_dataset import main
from k4d_world_model.dataset.building.build_lock import build_lock, check_build_id
from k4d_world_model.dataset.building.build_settings import identity
from k4d_world_model.dataset.building.manifest import manifest_sample, read_manifest
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.storage.native_sample import read_sample, read_sample_record
from k4d_world_model.errors import DatasetError, FolderInUseError, SampleError


def command(monkeypatch: pytest.MonkeyPatch, site: Any, *more: str) -> int:
    words = ["--source", str(site.source), "--root", str(site.root), "--out", str(site.out), "--frames", "5", *more]
    monkeypatch.setattr(sys, "argv", ["k4d-build-dataset", "--workers", "1", *words])
    return main()


def test_samples_are_what_the_source_reads(finished: Any) -> None:
    finished.check()
    source = open_source(finished.source, root=finished.root)
    manifest = read_manifest(finished.layout)
    assert manifest.complete
    assert manifest.settings["source.image_topic"] == "/image"
    for sample, episode_id in zip(manifest.samples, finished.good, strict=True):
        expected = source.read(episode_id, FrameSampling(5))
        np.testing.assert_array_equal(read_sample(finished.layout, episode_id).rgb, expected.rgb)
        record = read_sample_record(finished.layout, episode_id)
        assert sample == manifest_sample(record, f"lab//seed{expected.info.seed}", sample.part)


def test_another_run_keeps_every_sound_sample_untouched(built: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.layout.samples.rglob("*")}
    manifest = built.layout.manifest.read_text()
    report = built.build(episodes=2)
    assert (report.written, report.kept) == (0, len(built.good))
    assert {path: path.stat().st_mtime_ns for path in built.layout.samples.rglob("*")} == before
    assert built.layout.manifest.read_text() == manifest
    built.check()


def test_a_data_set_grows_and_no_sample_changes_sides(site: Any) -> None:
    site.build(episodes=4, validation_share=0.3)
    site.check(site.good[:4])
    train, val = (set(read_manifest(site.layout).episode_ids(part)) for part in ("train", "val"))
    assert train
    assert val
    report = site.build(validation_share=0.3)
    assert (report.written, report.kept) == (4, 4)
    site.check()
    manifest = read_manifest(site.layout)
    assert train <= set(manifest.episode_ids("train"))
    assert val <= set(manifest.episode_ids("val"))


def test_a_group_without_samples_keeps_its_part(built: Any, faulty: Any) -> None:
    """Its episodes cannot be made for a while; if they trained, they must never validate, nor the other way round."""
    before = read_manifest(built.layout)
    lost = before.episode_ids("val")
    (group,) = {sample.group for sample in before.samples if sample.part == "val"}
    for episode_id in lost:
        shutil.rmtree(built.layout.sample_folder(episode_id))
    faulty("broken", at="1", episode_id=" ".join(lost))
    report = built.build()
    assert tuple(episode.episode_id for episode in report.failed) == lost
    assert "Input/output error" in report.failed[0].reason
    built.check(tuple(episode_id for episode_id in built.good if episode_id not in lost))
    manifest = read_manifest(built.layout)
    assert manifest.absent_groups == {group: "val"}
    assert manifest.parts() == before.parts()


def test_rejected_and_failed_episodes_are_told_apart(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "some_bad"
    for name in ("demo_0", "demo_1", "demo_2"):
        shutil.copytree(site.root / name, root / name)
    shutil.copytree(site.root.parent / "short", root / "short")
    bad = replace(site, root=root)
    (bag,) = (root / "demo_1").glob("*.mcap")
    sound = bag.read_bytes()
    bag.write_bytes(sound[:600])
    assert command(monkeypatch, bad) == 1
    printed = capfd.readouterr().out
    assert "2 samples (2 written, 0 kept)" in printed
    assert "1 episodes rejected, 1 failed" in printed
    assert "failed demo_1: SourceError" in printed
    assert "rejected short: it has 4 frames, 5 are needed" in printed
    bad.check(("demo_0", "demo_2"))
    assert not read_manifest(bad.layout).complete

    bag.write_bytes(sound)
    assert command(monkeypatch, bad) == 0
    bad.check(("demo_0", "demo_1", "demo_2"))
    report = json.loads(bad.layout.report.read_text())
    assert [episode["episode_id"] for episode in report["rejected"]] == ["short"]
    assert report["failed"] == []
    assert read_manifest(bad.layout).complete


def test_other_settings_are_refused_by_name(built: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    with pytest.raises(DatasetError, match="frames was 5 and is 6 now"):
        built.build(episodes=1, sampling=FrameSampling(6))
    with pytest.raises(DatasetError, match=r"mirror_short was False and is True now.*validation_share was 0.02"):
        built.build(sampling=FrameSampling(5, mirror_short=True), validation_share=0.1)
    built.source.write_text(built.source.read_text().replace("seed_topic: /seed", "success_topic: /success"))
    assert command(monkeypatch, built) == 1
    complaint = capfd.readouterr().err
    assert "source.seed_topic was '/seed' and is 'absent' now" in complaint
    assert "source.success_topic was 'absent' and is '/success' now" in complaint


def test_a_yaml_that_the_source_names_belongs_to_the_settings(site: Any) -> None:
    robot = site.source.parent / "robot.yaml"
    robot.write_text("name: panda\nhome: {a: 0.5}\n")
    site.source.write_text(site.source.read_text() + "robot: robot.yaml\n")
    settings = identity(site.source, site.settings())
    assert settings["source.robot"] == "robot.yaml"
    assert settings["source.robot.home.a"] == 0.5


def test_folders_that_are_not_ours_are_left_alone(site: Any) -> None:
    site.out.mkdir()
    (site.out / "thesis.tex").write_text("precious")
    with pytest.raises(DatasetError, match=r"must be empty or a data set .* holds thesis\.tex"):
        site.build()
    assert [path.name for path in site.out.iterdir()] == ["thesis.tex"]


def test_samples_that_the_source_does_not_have_are_refused(built: Any) -> None:
    built.layout.sample_folder("demo_1").rename(built.layout.sample_folder("stranger"))
    with pytest.raises(DatasetError, match="the source does not have: stranger"):
        built.build()


def test_a_lost_sample_comes_back_whatever_is_asked_for(built: Any) -> None:
    shutil.rmtree(built.layout.sample_folder("demo_6"))
    report = built.build(episodes=2)
    assert (report.written, report.kept) == (1, len(built.good) - 1)
    built.check()


@pytest.mark.parametrize("name", ["train.txt", "val.txt", "report.json"])
def test_nothing_is_complete_before_its_lists_are_written(built: Any, name: str) -> None:
    (built.out / name).unlink()
    (built.out / name).mkdir()
    with pytest.raises(DatasetError, match=name):
        built.build()
    assert not read_manifest(built.layout).complete


def test_a_build_does_not_write_through_a_link_outside(built: Any, tmp_path: Path) -> None:
    shutil.rmtree(built.layout.staging, ignore_errors=True)
    (tmp_path / "outside").mkdir()
    built.layout.staging.symlink_to(tmp_path / "outside")
    with pytest.raises(SampleError, match="leads out of the data set"):
        built.build()


def test_a_damaged_manifest_is_named(built: Any) -> None:
    text = built.layout.manifest.read_text()
    changes = {
        "cannot be read as JSON": text[:-20],
        "version 9 cannot be read, valid is 1": text.replace('"version": 1', '"version": 9'),
        "octets": text.replace('"bytes"', '"octets"'),
        "frames": text.replace('"frames": 5, "height"', '"frames": "5", "height"'),
    }
    for complaint, damaged in changes.items():
        built.layout.manifest.write_text(damaged)
        with pytest.raises(DatasetError, match=rf"manifest\.json.*{complaint}"):
            built.build()


def test_more_episodes_than_there_are_is_an_error(site: Any) -> None:
    with pytest.raises(DatasetError, match="9 episodes were asked for, the source has 8"):
        site.build(episodes=9)
    assert not site.out.exists()


def test_one_build_at_a_time(site: Any) -> None:
    site.out.mkdir()
    with build_lock(site.layout) as build_id:
        check_build_id(site.layout, build_id)
        with pytest.raises(FolderInUseError, match=r"is being filled by another command: .*\"process\": \d+"):
            site.build()
    with build_lock(site.layout), pytest.raises(DatasetError, match=f"not to {build_id}"):
        check_build_id(site.layout, build_id)


def test_a_worker_without_the_shared_folder_does_not_write(site: Any) -> None:
    with pytest.raises(DatasetError, match="is not the shared folder of the build"):
        check_build_id(site.layout, "0" * 32)
    assert not site.out.exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"episodes": 0}, "episodes must be at least 1, got 0"),
        ({"validation_share": 0.6}, r"validation_share must be in \[0, 0.5\], got 0.6"),
        ({"workers": 2, "ray": "10.0.0.1:6379"}, "not both"),
    ],
)
def test_impossible_settings_are_refused(site: Any, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        site.settings(**changes)


def test_building_imports_nothing_heavy() -> None:
    import subprocess

    program = (
        "import sys, k4d_world_model.cli.build_dataset as _; "
        "print({'torch', 'ray', 'mujoco', 'h5py', 'pyarrow', 'transformers'} & sys.modules.keys())"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert shown.stdout.strip() == "set()"
