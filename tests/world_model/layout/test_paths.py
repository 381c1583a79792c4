"""No name and no link leads out of a data set."""

import inspect
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout, Robo4DLayout
from k4d_world_model.dataset.storage.native_sample import (
    list_samples,
    read_sample,
    read_sample_record,
    verify_sample,
    write_sample,
)
from k4d_world_model.dataset.storage.robo4d_sample import write_robo4d_lists
from k4d_world_model.errors import EpisodeError, SampleError

MakeEpisode = Callable[..., Episode]
ROOT = Path("/nowhere/data")


def path_functions() -> list[Callable[[str], Path]]:
    """Everything of the layouts that makes a path of a name."""
    found = []
    for layout in (NativeLayout(ROOT), Robo4DLayout(ROOT)):
        for name, function in inspect.getmembers(layout, inspect.ismethod):
            if not name.startswith("_") and name != "inside":
                found.append(function)
    return found


def test_all_functions_that_take_a_name_are_found() -> None:
    names = {function.__name__ for function in path_functions()}
    assert {"sample_folder", "first_frame", "video", "pointmap", "mask_video", "mask_pointmap"} <= names


@given(name=st.text(max_size=20) | st.text("./\\a~\0\n", max_size=6))
@example("..")
@example("../x")
@example("/etc/passwd")
@example("a/b")
@example("a\n")
@example(".hidden")
@example("a" * 129)
@example("a\0")
def test_a_name_makes_a_path_directly_in_its_folder_or_none(name: str) -> None:
    for function in path_functions():
        try:
            path = function(name)
        except EpisodeError:
            continue
        inner = path.relative_to(ROOT)
        assert len(inner.parts) <= 3
        assert inner.parts[-1].startswith(name)
        assert Path(*inner.parts).resolve().is_relative_to(Path.cwd()), name


@pytest.mark.parametrize("name", ["../take_1", "/etc", "", ".", "..", "a/b", ".staging"])
def test_reading_and_listing_take_safe_names_only(layout: NativeLayout, name: str) -> None:
    for ask in (read_sample, read_sample_record, verify_sample):
        with pytest.raises(EpisodeError, match="must be 1 to 128"):
            ask(layout, name)
    with pytest.raises(EpisodeError, match="must be 1 to 128"):
        write_robo4d_lists(Robo4DLayout(layout.root), [name], [])


def test_a_linked_sample_outside_is_not_read(make_episode: MakeEpisode, layout: NativeLayout, tmp_path: Path) -> None:
    write_sample(layout, make_episode())
    outside = tmp_path / "outside"
    shutil.move(layout.sample_folder("take_1"), outside)
    layout.sample_folder("take_1").symlink_to(outside)
    for ask in (read_sample, read_sample_record):
        with pytest.raises(SampleError, match="take_1: a link leads out of the data set"):
            ask(layout, "take_1")
    assert "leads out" in verify_sample(layout, "take_1")[0]


@pytest.mark.parametrize("name", ["rgb.mkv", "meta.json", "SHA256SUMS"])
def test_a_linked_file_outside_is_not_read(
    make_episode: MakeEpisode, layout: NativeLayout, tmp_path: Path, name: str
) -> None:
    write_sample(layout, make_episode())
    file = layout.sample_folder("take_1") / name
    shutil.move(file, tmp_path / name)
    file.symlink_to(tmp_path / name)
    with pytest.raises(SampleError, match=f"{name}: a link leads out"):
        read_sample(layout, "take_1")
    assert any(name in problem and "leads out" in problem for problem in verify_sample(layout, "take_1"))


@pytest.mark.parametrize("folder", ["samples", ".staging"])
def test_nothing_is_written_through_a_link_outside(
    make_episode: MakeEpisode, layout: NativeLayout, tmp_path: Path, folder: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    layout.root.mkdir()
    (layout.root / folder).symlink_to(outside)
    with pytest.raises(SampleError, match="a link leads out of the data set"):
        write_sample(layout, make_episode())
    assert list(outside.iterdir()) == []
    if folder == "samples":
        with pytest.raises(SampleError, match="a link leads out of the data set"):
            list_samples(layout)


@pytest.mark.parametrize("name", ["take_1", "take_1/rgb.mkv"])
def test_a_link_to_itself_is_named(make_episode: MakeEpisode, layout: NativeLayout, name: str) -> None:
    write_sample(layout, make_episode())
    path = layout.samples / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(path.name)
    assert f"{path}: a link leads to itself" in verify_sample(layout, "take_1")


def test_the_root_itself_may_be_a_link(make_episode: MakeEpisode, layout: NativeLayout, tmp_path: Path) -> None:
    write_sample(layout, make_episode())
    (tmp_path / "link").symlink_to(layout.root)
    assert read_sample(NativeLayout(tmp_path / "link"), "take_1").frame_count == 5


@pytest.mark.parametrize("replace", [Path.mkdir, os.mkfifo])
def test_a_fifo_or_folder_in_place_of_a_file_is_named(
    make_episode: MakeEpisode, layout: NativeLayout, replace: Callable[[Path], None]
) -> None:
    write_sample(layout, make_episode())
    file = layout.sample_folder("take_1") / "rgb.mkv"
    file.unlink()
    replace(file)
    with pytest.raises(SampleError, match=r"rgb\.mkv: is no regular file"):
        read_sample(layout, "take_1")
