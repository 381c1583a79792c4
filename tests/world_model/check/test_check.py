"""The check passes on a sound data set, and names what is bad in each of eighteen injected corruptions."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.cli import dataset as command
from k4d_world_model.dataset import layout as files
from k4d_world_model.dataset.building.manifest import manifest_sample, read_manifest, write_lists, write_manifest
from k4d_world_model.dataset.building.processes import results
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.review.check import CheckSettings, check_dataset
from k4d_world_model.dataset.storage.native_sample import read_sample, write_sample
from k4d_world_model.dataset.storage.sample_record import SampleFile, checksums_from_bytes, checksums_to_bytes, sha256
from k4d_world_model.errors import DatasetError, SampleError

from .conftest import make_dataset, make_episode

VICTIM = "s-2"


@pytest.fixture(scope="session")
def sound_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes of five scenes; s-4 and s-5 are two outcomes of one scene."""
    episodes = [make_episode(f"s-{i}", seed=min(i, 4), success=i % 2 == 0) for i in range(6)]
    return make_dataset(tmp_path_factory.mktemp("sound") / "dataset", episodes, ["s-1"]).root


@pytest.fixture
def layout(sound_root: Path, tmp_path: Path) -> NativeLayout:
    """A copy of the sound data set to damage."""
    shutil.copytree(sound_root, tmp_path / "dataset")
    return NativeLayout(tmp_path / "dataset")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["k4d-dataset", *map(str, arguments)])
    return command.main()


def victim_file(layout: NativeLayout, name: str) -> Path:
    return layout.sample_folder(VICTIM) / name


def flip_a_byte(layout: NativeLayout) -> str:
    path = victim_file(layout, files.RGB)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return re.escape(str(path))


def truncate_the_depth(layout: NativeLayout) -> str:
    path = victim_file(layout, files.SCENE_DEPTH)
    path.write_bytes(path.read_bytes()[:-500])
    return re.escape(str(path))


def remove_the_mask(layout: NativeLayout) -> str:
    victim_file(layout, files.ROBOT_MASK).unlink()
    return re.escape(str(victim_file(layout, files.ROBOT_MASK)))


def write_with_checksums(layout: NativeLayout, name: str, data: bytes) -> None:
    """A damage that the sample's own checksums do not show."""
    victim_file(layout, name).write_bytes(data)
    path = victim_file(layout, files.CHECKSUMS)
    listed = checksums_from_bytes(path.read_bytes(), str(path))
    path.write_bytes(
        checksums_to_bytes(tuple(SampleFile(f.name, sha256(data)) if f.name == name else f for f in listed))
    )


def drop_a_meta_field(layout: NativeLayout) -> str:
    content = json.loads(victim_file(layout, files.META).read_text())
    del content["T_world_cam"]
    write_with_checksums(layout, files.META, json.dumps(content).encode())
    return r"meta\.json.*T_world_cam"


def change_the_version(layout: NativeLayout) -> str:
    content = json.loads(victim_file(layout, files.META).read_text())
    write_with_checksums(layout, files.META, json.dumps(content | {"version": 99}).encode())
    return r"meta\.json.*version 99"


def turn_back_time(layout: NativeLayout) -> str:
    content = json.loads(victim_file(layout, files.META).read_text())
    content["times"][4] = content["times"][2]
    write_with_checksums(layout, files.META, json.dumps(content).encode())
    return r"s-2.meta\.json.*increas"


def leave_a_stray_file(layout: NativeLayout) -> str:
    victim_file(layout, "notes.txt").write_text("mine")
    return r"s-2.notes\.txt: does not belong to the sample"


def edit_the_checksums(layout: NativeLayout) -> str:
    path = victim_file(layout, files.CHECKSUMS)
    text = path.read_text()
    path.write_text(("0" if text[0] != "0" else "1") + text[1:])
    return re.escape(str(layout.sample_folder(VICTIM)))


def copy_under_another_name(layout: NativeLayout) -> str:
    shutil.copytree(layout.sample_folder(VICTIM), layout.sample_folder("s-9"))
    return r"s-9.meta\.json: is of episode 's-2'"


def list_twice(layout: NativeLayout) -> str:
    manifest = read_manifest(layout)
    write_manifest(layout, replace(manifest, samples=(*manifest.samples, manifest.samples[2])))
    return r"manifest\.json: lists s-2 2 times"


def leak_into_both_lists(layout: NativeLayout) -> str:
    with layout.val_list.open("a") as file:
        file.write(f"{VICTIM}\n")
    return r"val\.txt: s-2 is in train\.txt too"


def leak_a_scene(layout: NativeLayout) -> str:
    manifest = read_manifest(layout)
    samples = tuple(replace(s, part="val") if s.episode_id == "s-5" else s for s in manifest.samples)
    write_manifest(layout, replace(manifest, samples=samples))
    write_lists(layout, read_manifest(layout))
    return r"scene simulation/push/seed4 is in both parts: s-4 trains and s-5 validates"


def hide_a_leak(layout: NativeLayout) -> str:
    leak_a_scene(layout)
    manifest = read_manifest(layout)
    samples = tuple(replace(s, group="other") if s.episode_id == "s-5" else s for s in manifest.samples)
    write_manifest(layout, replace(manifest, samples=samples))
    return r"s-5: shows scene 'simulation/push/seed4', the manifest has 'other'"


def lose_a_sample(layout: NativeLayout) -> str:
    shutil.rmtree(layout.sample_folder(VICTIM))
    return r"s-2: the sample is missing"


def add_a_sample(layout: NativeLayout) -> str:
    write_sample(layout, make_episode("s-7", seed=7))
    return r"s-7: is not in the manifest"


def rewrite(layout: NativeLayout, change: Callable[[Episode], Episode]) -> None:
    """Another content in files that are sound, with right checksums and a right manifest."""
    episode = change(read_sample(layout, VICTIM))
    shutil.rmtree(layout.sample_folder(VICTIM))
    record = write_sample(layout, episode)
    manifest = read_manifest(layout)
    samples = tuple(manifest_sample(record, s.group, s.part) if s.episode_id == VICTIM else s for s in manifest.samples)
    write_manifest(layout, replace(manifest, samples=samples))


def shift_the_robot(layout: NativeLayout) -> str:
    def shift(episode: Episode) -> Episode:
        assert episode.robot_points is not None
        return replace(episode, robot_points=episode.robot_points * np.float32(0.7))

    rewrite(layout, shift)
    return r"s-2: robot_before_scene: frame \d+: share of the robot"


def flood_with_nan(layout: NativeLayout) -> str:
    def flood(episode: Episode) -> Episode:
        assert episode.scene_points is not None
        points = episode.scene_points.copy()
        points[3] = np.nan
        return replace(episode, scene_points=points)

    rewrite(layout, flood)
    return r"s-2: no_scene: frame 3: share of missing scene points 1"


def exchange_a_sample(layout: NativeLayout) -> str:
    rewrite(layout, lambda episode: replace(episode, rgb=episode.rgb[:, ::-1].copy()))
    manifest = read_manifest(layout)
    samples = tuple(replace(s, sha256="0" * 64) if s.episode_id == VICTIM else s for s in manifest.samples)
    write_manifest(layout, replace(manifest, samples=samples))
    return r"s-2: sha256 is '[0-9a-f]{64}', the manifest has '0{64}'"


CORRUPTIONS = [
    flip_a_byte, truncate_the_depth, remove_the_mask, leave_a_stray_file, drop_a_meta_field, change_the_version,
    turn_back_time, edit_the_checksums, copy_under_another_name, list_twice, leak_into_both_lists, leak_a_scene,
    hide_a_leak, lose_a_sample, add_a_sample, shift_the_robot, flood_with_nan, exchange_a_sample,
]  # fmt: skip


def test_a_sound_data_set_passes(
    layout: NativeLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "check", layout.root) == 0
    out = capsys.readouterr().out
    assert "6 samples, 0 failed, 0 flagged; the data set is sound" in out
    assert str(layout.review_page) in out
    assert sorted(path.stem for path in layout.review.glob("sheets/*.png")) == [f"s-{i}" for i in range(6)]


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda function: function.__name__)
def test_every_corruption_fails_the_check_and_is_named(
    corrupt: Callable[[NativeLayout], str],
    layout: NativeLayout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = corrupt(layout)
    assert run(monkeypatch, "check", layout.root, "--sheets", 0) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert any(re.search(named, line) for line in failed), failed
    accused = {name for name in ("s-0", "s-1", "s-3") if any(f"/{name}" in line for line in failed)}
    assert not accused, failed


def test_every_bad_file_of_a_sample_is_named(layout: NativeLayout) -> None:
    named = [flip_a_byte(layout), truncate_the_depth(layout), remove_the_mask(layout)]
    (episode,) = [episode for episode in check_dataset(layout.root).episodes if episode.failures]
    assert all(any(re.search(name, failure) for failure in episode.failures) for name in named), episode.failures


def test_an_unfinished_build_and_unreadable_lists_fail(layout: NativeLayout) -> None:
    write_manifest(layout, replace(read_manifest(layout), complete=False))
    layout.train_list.unlink()
    layout.val_list.write_text("s-1\ns-1\n")
    problems = check_dataset(layout.root).problems
    assert any(re.search(r"manifest\.json: the build did not finish", p) for p in problems)
    assert any(re.search(r"train\.txt: cannot be read", p) for p in problems)
    assert any(re.search(r"val\.txt: line 2: s-1 is listed twice", p) for p in problems)


def test_without_a_manifest_the_samples_are_still_checked(layout: NativeLayout) -> None:
    flip_a_byte(layout)
    layout.manifest.write_text("{")
    report = check_dataset(layout.root)
    assert len(report.problems) == 1
    assert "manifest.json" in report.problems[0]
    assert [episode.episode_id for episode in report.episodes if episode.failures] == [VICTIM]
    with pytest.raises(DatasetError, match="no such folder"):
        check_dataset(layout.root / "nowhere")


def test_a_manifest_that_leaves_the_root_or_lacks_a_field_fails(layout: NativeLayout) -> None:
    text = layout.manifest.read_text()
    layout.manifest.write_text(text.replace('"episode_id": "s-2"', '"episode_id": "../s-2"'))
    assert re.search(r"manifest\.json: .*'\.\./s-2'", check_dataset(layout.root).problems[0])
    layout.manifest.write_text(text.replace('"absent_groups": {},', ""))
    assert check_dataset(layout.root).problems == (f"{layout.manifest}: missing fields: absent_groups",)


def test_sheets_are_neither_drawn_nor_removed_outside(layout: NativeLayout, tmp_path: Path) -> None:
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "mine.png").write_text("precious")
    layout.review.symlink_to(tmp_path)
    with pytest.raises(SampleError, match="leads out of the data set"):
        check_dataset(layout.root)
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == ["mine.png"]


def _die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_a_named_error() -> None:
    with pytest.raises(DatasetError, match="a worker process was killed"):
        list(results(_die, [1, 2, 3], 2))


def test_workers_find_what_one_process_finds(layout: NativeLayout) -> None:
    truncate_the_depth(layout)
    seen: list[tuple[int, int]] = []
    shared = check_dataset(layout.root, CheckSettings(workers=2), lambda done, total: seen.append((done, total)))
    assert shared == check_dataset(layout.root)
    assert seen == [(i, 6) for i in range(1, 7)]


def test_flags_are_warnings_and_their_sheets_are_always_drawn(
    layout: NativeLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def freeze(episode: Episode) -> Episode:
        return replace(episode, rgb=np.repeat(episode.rgb[:1], len(episode.rgb), axis=0))

    rewrite(layout, freeze)
    assert run(monkeypatch, "check", layout.root, "--sheets", 0) == 0
    assert re.search(r"flagged s-2: frozen_video: .* 1, at most 0\.5", capsys.readouterr().out)
    assert [path.stem for path in layout.review.glob("sheets/*.png")] == [VICTIM]
    assert run(monkeypatch, "check", layout.root, "--thresholds.still-run", 1.5) == 0
    assert "0 flagged" in capsys.readouterr().out
