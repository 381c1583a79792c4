"""Data sets in another layout: the same samples and split, resumable, nothing skipped in silence."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.cli import dataset as command
from k4d_world_model.dataset.building.convert import ConversionSettings, convert_dataset
from k4d_world_model.dataset.building.manifest import read_manifest
from k4d_world_model.dataset.layout import SCENE_DEPTH, NativeLayout, Robo4DLayout
from k4d_world_model.dataset.review.check import check_dataset
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.rosbag import RosbagSource
from k4d_world_model.dataset.storage.native_sample import list_samples, read_sample
from k4d_world_model.errors import DatasetError, SampleError

from .conftest import FRAMES, make_dataset, make_episode

NAMES = ("s-0", "s-1", "s-2", "s-3")
SETTINGS = ConversionSettings(sampling=FrameSampling(FRAMES))
BAG = """
source: rosbag
name: bag
image_topic: /image
camera_info_topic: /camera_info
depth_topic: /depth
joint_topic: /joint_states
seed_topic: /seed
world_frame: world
base_frame: base
camera_frame: optical
"""


@pytest.fixture
def layout(tmp_path: Path) -> NativeLayout:
    return make_dataset(tmp_path / "native", [make_episode(name, seed=i) for i, name in enumerate(NAMES)], ["s-2"])


def published(layout: NativeLayout, out: Path) -> Robo4DLayout:
    assert convert_dataset(layout.root, "robo4d", out, SETTINGS).samples == len(NAMES)
    return Robo4DLayout(out)


def test_to_the_published_layout_and_back_keeps_samples_and_split(layout: NativeLayout, tmp_path: Path) -> None:
    written = published(layout, tmp_path / "robo4d")
    assert written.train_list.read_text() == "videos/s-0.mp4\nvideos/s-1.mp4\nvideos/s-3.mp4\n"
    assert written.val_list.read_text() == "videos/s-2.mp4\n"
    assert all(written.mask_pointmap(name).exists() and written.first_frame(name).exists() for name in NAMES)
    seen: list[tuple[int, int]] = []
    back = convert_dataset(
        written.root, "native", tmp_path / "back", SETTINGS, lambda n, total: seen.append((n, total))
    )
    assert (back.samples, back.rejected, seen[-1]) == (4, (), (4, 4))
    again = NativeLayout(tmp_path / "back")
    assert check_dataset(again.root).passed
    assert read_manifest(again).episode_ids("val") == ("s-2",)
    first, imported = read_sample(layout, "s-1"), read_sample(again, "s-1")
    assert imported.scale == "affine"
    assert np.abs(imported.rgb.astype(int) - first.rgb).mean() < 8
    assert first.robot_mask is not None
    assert imported.robot_mask is not None
    both = (first.robot_mask & imported.robot_mask).sum() / (first.robot_mask | imported.robot_mask).sum()
    assert both > 0.6  # chroma at half resolution widens a robot of 7 pixels


def test_an_interrupted_conversion_goes_on_and_rewrites_nothing(layout: NativeLayout, tmp_path: Path) -> None:
    written = published(layout, tmp_path / "robo4d")
    out = NativeLayout(tmp_path / "back")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_dataset(written.root, "native", out.root, SETTINGS, stop)
    assert list_samples(out) == ("s-0", "s-1")
    assert not read_manifest(out).complete
    times = {name: out.sample_folder(name).stat().st_mtime_ns for name in ("s-0", "s-1")}
    assert convert_dataset(written.root, "native", out.root, SETTINGS).samples == 4
    assert times == {name: out.sample_folder(name).stat().st_mtime_ns for name in times}
    assert check_dataset(out.root).passed
    pictures = written.video("s-3").stat().st_mtime_ns
    published(layout, written.root)
    assert written.video("s-3").stat().st_mtime_ns == pictures


def test_samples_that_do_not_qualify_are_reported_and_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = replace(make_episode("s-1", seed=1), scene_points=None)
    layout = make_dataset(tmp_path / "native", [make_episode("s-0"), bare])
    words = ["convert", layout.root, "--to", "robo4d", "--out", tmp_path / "robo4d", "--frames", FRAMES]
    monkeypatch.setattr("sys.argv", ["k4d-dataset", *map(str, words)])
    assert command.main() == 0
    out = capsys.readouterr().out
    assert re.search(r"rejected s-1: .*scene_points", out)
    assert "1 samples in" in out
    assert Robo4DLayout(tmp_path / "robo4d").train_list.read_text() == "videos/s-0.mp4\n"
    short = convert_dataset(layout.root, "robo4d", tmp_path / "long")
    assert [(e.episode_id, "49 are needed" in e.reason) for e in short.rejected] == [("s-0", True), ("s-1", True)]


def test_bags_hold_what_the_samples_hold(layout: NativeLayout, tmp_path: Path) -> None:
    (tmp_path / "bag.yaml").write_text(BAG)
    bags = tmp_path / "bags"
    settings = ConversionSettings(bag_source=tmp_path / "bag.yaml")
    assert convert_dataset(layout.root, "bag", bags, settings).samples == 4
    config = RosbagConfig(
        "bag", "/image", "/camera_info", "/depth", "/joint_states", seed_topic="/seed", world_frame="world",
        base_frame="base", camera_frame="optical",
    )  # fmt: skip
    source = RosbagSource(config, bags)
    assert source.episode_ids() == NAMES
    kept, read = read_sample(layout, "s-3"), source.read("s-3", FrameSampling(FRAMES))
    np.testing.assert_array_equal(read.rgb, kept.rgb)
    np.testing.assert_allclose(read.scene_points, kept.scene_points, atol=1e-5)
    with pytest.raises(DatasetError, match="source YAML of kind rosbag"):
        convert_dataset(layout.root, "bag", bags)


def test_a_conversion_killed_before_its_manifest_goes_on(layout: NativeLayout, tmp_path: Path) -> None:
    written = published(layout, tmp_path / "robo4d")
    (tmp_path / "back" / ".staging").mkdir(parents=True)
    assert convert_dataset(written.root, "native", tmp_path / "back").samples == 4


def test_another_data_set_or_length_is_not_mixed_in(layout: NativeLayout, tmp_path: Path) -> None:
    written = published(layout, tmp_path / "robo4d")
    with pytest.raises(DatasetError, match=f"frames was {FRAMES} and is 49 now"):
        convert_dataset(layout.root, "robo4d", written.root)
    other = make_dataset(tmp_path / "other", [make_episode(name, seed=9) for name in NAMES], ["s-2"])
    with pytest.raises(DatasetError, match="was made of something else, choose another: manifest was"):
        convert_dataset(other.root, "robo4d", written.root, SETTINGS)


def test_what_is_damaged_or_in_the_way_is_named(layout: NativeLayout, tmp_path: Path) -> None:
    written = published(layout, tmp_path / "robo4d")
    with pytest.raises(DatasetError, match="was made of something else"):
        convert_dataset(written.root, "native", layout.root)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("")
    with pytest.raises(DatasetError, match="must be empty"):
        convert_dataset(written.root, "native", tmp_path / "taken")
    with pytest.raises(DatasetError, match="no such folder"):
        convert_dataset(tmp_path / "nowhere", "robo4d", tmp_path / "out")
    path = layout.sample_folder("s-1") / SCENE_DEPTH
    path.write_bytes(b"")
    with pytest.raises(SampleError, match=re.escape(str(path))):
        convert_dataset(layout.root, "robo4d", tmp_path / "other", SETTINGS)
