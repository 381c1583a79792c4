"""Builds that are killed, damaged and starved of disk: after another run everything is there, once and sound."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from k4d_world_model.dataset.layout import CHECKSUMS, META, RGB
from k4d_world_model.dataset.storage.native_sample import list_samples, verify_sample
from k4d_world_model.dataset.storage.sample_record import sha256
from k4d_world_model.errors import DatasetError


def wait_for_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 60.0
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"{pids} outlive the process that started them"
        time.sleep(0.05)


def test_every_worker_keeps_to_one_thread(site: Any, faulty: Callable[..., None]) -> None:
    faulty("", at="", work="tell_threads")
    before = dict(os.environ)
    report = site.build(episodes=2)
    assert {episode.reason for episode in report.failed} == {"1 1"}
    assert dict(os.environ) == before


def test_killed_workers_lose_no_episode(site: Any, faulty: Callable[..., None], tmp_path: Path) -> None:
    # Between files, before the move into place, and after it but before the outcome is told.
    faulty("kill", at="2 5 6")
    report = site.build(workers=2)
    assert {path.name for path in (tmp_path / "faults").iterdir()} >= {"fault_0", "fault_1", "fault_2"}
    assert (report.written, report.kept, report.failed) == (7, 1, ())
    site.check()


def test_an_episode_that_kills_every_worker_fails_alone(site: Any, faulty: Callable[..., None]) -> None:
    faulty("kill", at="1", episode_id="demo_3")
    report = site.build(workers=2)
    assert [episode.episode_id for episode in report.failed] == ["demo_3"]
    assert "worker process died 3 times, at last with exit code -9" in report.failed[0].reason
    site.check(tuple(episode_id for episode_id in site.good if episode_id != "demo_3"))


def test_a_killed_build_goes_on(site: Any) -> None:
    orphans = site.build_killed()
    assert len(orphans) == 2
    wait_for_end(orphans)
    assert list_samples(site.layout) == site.good[:3]
    report = site.build()
    assert (report.kept, report.written) == (3, len(site.good) - 3)
    site.check()


def test_a_full_disk_stops_the_build_which_then_goes_on(site: Any, faulty: Callable[..., None]) -> None:
    faulty("full", at="3", episode_id="demo_4")
    with pytest.raises(DatasetError, match=r"no space is left, at episode demo_4 .*No space left on device"):
        site.build()
    assert not site.layout.staging.exists()
    faulty("full", at="3", episode_id="none")
    report = site.build()
    assert report.written + report.kept == len(site.good)
    assert report.kept >= 2
    site.check()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a full disk needs the right to mount a tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(site: Any, small_disk: Path) -> None:
    small = replace(site, out=small_disk / "out")
    with pytest.raises(DatasetError, match="No space left on device"):
        small.build()
    assert 0 < len(list_samples(small.layout)) < len(site.good)
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    small.build()
    small.check()


def test_damaged_samples_are_named_and_made_anew(built: Any, tmp_path: Path) -> None:
    folders = {episode_id: built.layout.sample_folder(episode_id) for episode_id in built.good}
    sound = {path: path.read_bytes() for path in built.layout.samples.rglob("*.*")}
    video = folders["demo_0"] / RGB
    video.write_bytes(video.read_bytes()[:-100])
    sums = folders["demo_1"] / CHECKSUMS
    sums.write_text("0" * 64 + sums.read_text()[64:])
    meta = json.loads((folders["demo_2"] / META).read_text())
    del meta["times"]
    (folders["demo_2"] / META).write_text(json.dumps(meta))
    (folders["demo_3"] / META).unlink()
    (folders["demo_4"] / "strange.txt").touch()
    for path in folders["demo_5"].iterdir():
        path.unlink()
    for episode_id in ("demo_6", "demo_7"):
        folders[episode_id].rename(tmp_path / episode_id)
    folders["demo_6"].write_text("not a folder")
    folders["demo_7"].symlink_to(tmp_path / "demo_7")
    report = built.build()
    built.check()
    reasons = {episode.episode_id: episode.reason for episode in report.damaged}
    assert reasons.keys() == set(built.good)
    bad = (RGB, META, META, META, "strange.txt", CHECKSUMS, "", "")
    for (episode_id, folder), name in zip(folders.items(), bad, strict=True):
        assert str(folder / name) in reasons[episode_id]
    assert {path: path.read_bytes() for path in built.layout.samples.rglob("*.*")} == sound


def test_a_sample_that_is_not_the_manifests_is_made_anew(built: Any) -> None:
    """By itself it is sound: its checksums were made for what somebody wrote into it."""
    folder = built.layout.sample_folder("demo_1")
    meta, sums = folder / META, folder / CHECKSUMS
    before = meta.read_text()
    was = sha256(before.encode())
    meta.write_text(before.replace('"task": ""', '"task": "push"'))
    sums.write_text(sums.read_text().replace(was, sha256(meta.read_bytes())))
    assert verify_sample(built.layout, "demo_1") == ()
    (damaged,) = built.build().damaged
    assert damaged.episode_id == "demo_1"
    assert f"{sums}: is not the one that {built.layout.manifest} has" in damaged.reason
    assert meta.read_text() == before
    built.check()
