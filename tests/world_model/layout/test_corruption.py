"""Whatever happens to a sample's files: reading raises, verifying names the file, only what is sound is decoded."""

import hashlib
import io
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage import video_files
from k4d_world_model.dataset.storage.native_sample import (
    list_samples,
    read_sample,
    read_sample_record,
    verify_sample,
    write_sample,
)
from k4d_world_model.errors import DatasetError, SampleError

MakeEpisode = Callable[..., Episode]
FILES = ("rgb.mkv", "scene_depth.mkv", "robot_depth.mkv", "robot_mask.npz", "meta.json", "SHA256SUMS")


@pytest.fixture
def sample(make_episode: MakeEpisode, layout: NativeLayout) -> Path:
    """The folder of a sound sample."""
    write_sample(layout, make_episode())
    return layout.sample_folder("take_1")


def sign(folder: Path) -> None:
    """Makes the list of checksums fit whatever the folder holds."""
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def assert_names(layout: NativeLayout, name: str, reason: str) -> None:
    """Reading and verifying both name the file and the reason."""
    with pytest.raises(SampleError, match=reason) as caught:
        read_sample(layout, "take_1")
    problems = verify_sample(layout, "take_1")
    assert str(caught.value) in problems
    assert all(name in problem for problem in problems), problems


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(layout: NativeLayout, sample: Path, name: str) -> None:
    (sample / name).unlink()
    assert_names(layout, name, "the file is missing")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_one_flipped_bit_is_found(layout: NativeLayout, sample: Path, name: str, where: float) -> None:
    data = bytearray((sample / name).read_bytes())
    data[int(where * (len(data) - 1))] ^= 1
    (sample / name).write_bytes(data)
    with pytest.raises(SampleError, match=sample.name):
        read_sample(layout, "take_1")
    assert verify_sample(layout, "take_1")
    if name != "SHA256SUMS":
        assert_names(layout, name, "wrong checksum")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_named(layout: NativeLayout, sample: Path, name: str, part: float) -> None:
    data = (sample / name).read_bytes()
    (sample / name).write_bytes(data[: int(part * len(data))])
    with pytest.raises(SampleError):
        read_sample(layout, "take_1")
    assert any(name in problem for problem in verify_sample(layout, "take_1"))


@pytest.mark.parametrize("name", FILES[:5])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9])
def test_a_truncated_file_with_a_fitting_checksum_is_named(
    layout: NativeLayout, sample: Path, name: str, part: float
) -> None:
    data = (sample / name).read_bytes()
    (sample / name).write_bytes(data[: int(part * len(data))])
    sign(sample)
    assert_names(layout, name, name)


def test_an_extra_file_is_named_and_ignored_by_reading(layout: NativeLayout, sample: Path) -> None:
    (sample / "notes.txt").write_text("x")
    (sample / "more").mkdir()
    assert [Path(problem.split(":")[0]).name for problem in verify_sample(layout, "take_1")] == ["more", "notes.txt"]
    (sample / "more").rmdir()
    sign(sample)
    assert [Path(problem.split(":")[0]).name for problem in verify_sample(layout, "take_1")] == ["notes.txt"]


def test_every_problem_is_listed(layout: NativeLayout, sample: Path) -> None:
    (sample / "rgb.mkv").unlink()
    (sample / "robot_mask.npz").write_bytes(b"x")
    (sample / "robot_depth.mkv").write_bytes(b"x")
    found = {Path(problem.split(":")[0]).name for problem in verify_sample(layout, "take_1")}
    assert found == {"rgb.mkv", "robot_mask.npz", "robot_depth.mkv"}


def change_meta(sample: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((sample / "meta.json").read_text())
    change(content)
    (sample / "meta.json").write_text(json.dumps(content))
    sign(sample)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda meta: meta.pop("times"), "times"),
        (lambda meta: meta.pop("version"), "version None"),
        (lambda meta: meta["camera"].pop("K"), "K"),
        (lambda meta: meta["episode"].pop("source"), "source"),
        (lambda meta: meta["scene_points"]["axes"][0].pop("step"), "step"),
        (lambda meta: meta.update(colour="red"), "colour"),
        (lambda meta: meta["joints"].update(efforts=[]), "efforts"),
        (lambda meta: meta.update(version=2), "version 2 cannot be read, valid is 1"),
        (lambda meta: meta.update(times=[]), "times"),
        (lambda meta: meta.update(times="soon"), "times"),
        (lambda meta: meta["times"].pop(), r"must have shape \(4, 3\)"),
        (lambda meta: meta["times"].reverse(), "increase strictly"),
        (lambda meta: meta.update(width=17), "17"),
        (lambda meta: meta.update(width=0), "width"),
        (lambda meta: meta.update(scale="imperial"), "scale"),
        (lambda meta: meta.update(camera=None), "needs a camera"),
        (lambda meta: meta["camera"].update(width=19), "camera"),
        (lambda meta: meta["camera"]["K"][0].pop(), "K"),
        (lambda meta: meta["scene_points"].update(stored_as="points"), "axes"),
        (lambda meta: meta["scene_points"]["axes"][0].update(step=0.0), "step"),
        (lambda meta: meta["joints"]["positions"].pop(), "positions"),
        (lambda meta: meta["joints"]["positions"][0].pop(), "meta.json"),
        (lambda meta: meta["T_world_cam"].pop(), "T_world_cam"),
        (lambda meta: meta["episode"].update(episode_id="take_2"), "take_2"),
        (lambda meta: meta["episode"].update(episode_id="../take_1"), "take_1"),
        (lambda meta: meta.update(T_world_base=[[float("nan")] * 4] * 4), "NaN"),
        (lambda meta: meta["T_world_base"][0].__setitem__(0, 10**400), "too large"),
        (lambda meta: meta["joints"]["positions"][0].__setitem__(0, 10**400), "too large"),
        (lambda meta: meta.update(T_world_base=[[0.0] * 4] * 4), "T_world_base must be a rigid transform"),
    ],
)
def test_a_wrong_meta_field_is_named(
    layout: NativeLayout, sample: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    change_meta(sample, change)
    with pytest.raises(SampleError, match=reason) as caught:
        read_sample(layout, "take_1")
    assert str(sample) in str(caught.value)
    assert str(caught.value) in verify_sample(layout, "take_1")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff\xfe", b'{"version": 1}', b"[" * 100_000])
def test_a_meta_file_that_is_none_is_named(layout: NativeLayout, sample: Path, content: bytes) -> None:
    (sample / "meta.json").write_bytes(content)
    sign(sample)
    assert_names(layout, "meta.json", "meta.json")
    with pytest.raises(SampleError, match=r"meta\.json"):
        read_sample_record(layout, "take_1")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "has no checksum"),
        ("0" * 64 + "  ../meta.json\n", "line 1"),
        ("0" * 64 + " meta.json\n", "line 1"),
        (("0" * 64 + "  meta.json\n") * 2, "listed once"),
        ("\xff" * 70, "line 1"),
    ],
)
def test_a_damaged_list_of_checksums_is_named(layout: NativeLayout, sample: Path, lines: str, reason: str) -> None:
    (sample / "SHA256SUMS").write_bytes(lines.encode("latin-1"))
    with pytest.raises(SampleError, match=reason):
        read_sample(layout, "take_1")
    assert any("SHA256SUMS" in problem for problem in verify_sample(layout, "take_1"))


@pytest.mark.parametrize("frames", [4, 6])
@pytest.mark.parametrize("name", ["rgb.mkv", "scene_depth.mkv", "robot_depth.mkv"])
def test_another_number_of_frames_is_named(
    make_episode: MakeEpisode, layout: NativeLayout, sample: Path, name: str, frames: int
) -> None:
    write_sample(layout, make_episode(frames, info=EpisodeInfo("other", "x")))
    shutil.copy(layout.sample_folder("other") / name, sample / name)
    sign(sample)
    assert_names(layout, name, f"{name}: holds {frames} frames, expected 5")


def test_another_size_or_format_is_named(make_episode: MakeEpisode, layout: NativeLayout, sample: Path) -> None:
    write_sample(layout, make_episode(5, 18, 12, info=EpisodeInfo("other", "x")))
    shutil.copy(layout.sample_folder("other") / "rgb.mkv", sample / "rgb.mkv")
    sign(sample)
    assert_names(layout, "rgb.mkv", "expected 12 x 18 pixels")
    (sample / "rgb.mkv").write_bytes(video_files.encode_mp4(make_episode().rgb, 18))
    sign(sample)
    assert_names(layout, "rgb.mkv", "yuv420p")


def test_a_mask_that_contradicts_the_points_is_found(
    make_episode: MakeEpisode, layout: NativeLayout, sample: Path
) -> None:
    write_sample(layout, replace(make_episode(seed=1, robot_points=None), info=EpisodeInfo("other", "x")))
    shifted = np.roll(make_episode().robot_mask, 1, axis=2)
    write_sample(layout, make_episode(robot_points=None, robot_mask=shifted, info=EpisodeInfo("third", "x")))
    shutil.copy(layout.sample_folder("third") / "robot_mask.npz", sample)
    sign(sample)
    assert_names(layout, "meta.json", "robot_points must be finite exactly where robot_mask")


@pytest.mark.parametrize("packed", [np.zeros((5, 26), np.uint8), np.zeros((5, 27), np.int8), np.array([object()])])
def test_a_mask_of_another_shape_or_kind_is_named(layout: NativeLayout, sample: Path, packed: np.ndarray) -> None:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.savez_compressed(file, packed=packed)
    (sample / "robot_mask.npz").write_bytes(file.getvalue())
    sign(sample)
    assert_names(layout, "robot_mask.npz", r"robot_mask\.npz")


@pytest.mark.parametrize("shape", [(5, 10**15), (5, 27 * 10**5)])
def test_a_mask_that_unpacks_to_too_much_is_named(layout: NativeLayout, sample: Path, shape: tuple[int, int]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(sample / "robot_mask.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("packed.npy", header.getvalue() + bytes(5 * 27 * 10**5))
    sign(sample)
    assert_names(layout, "robot_mask.npz", "cannot be read as a packed mask")


def test_a_clip_that_memory_cannot_hold_is_named(
    layout: NativeLayout, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError("unable to allocate 1 TiB")

    monkeypatch.setattr(video_files.np, "empty", refuse)
    with pytest.raises(SampleError, match=r"rgb\.mkv: .*1 TiB"):
        read_sample(layout, "take_1", ())


def test_what_is_not_there_is_named(layout: NativeLayout, sample: Path) -> None:
    for ask in (read_sample, read_sample_record):
        with pytest.raises(SampleError, match="take_9: no such sample"):
            ask(layout, "take_9")
    assert "no such sample" in verify_sample(layout, "take_9")[0]
    with pytest.raises(DatasetError, match="no such folder"):
        list_samples(NativeLayout(layout.root / "elsewhere"))
    (layout.samples / "stray file").write_text("")
    with pytest.raises(SampleError, match="stray file: is no sample"):
        list_samples(layout)
