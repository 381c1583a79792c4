"""Clips and latents of a data set on disk, also through the worker processes of a DataLoader."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from k4d_world_model.dataset.clips import Clip, ClipDataset, ClipSettings
from k4d_world_model.dataset.latent_cache import (
    ClipLatents,
    LatentCache,
    LatentDataset,
    fill_latent_cache,
    latent_mask,
)
from k4d_world_model.dataset.layout import RGB, NativeLayout
from k4d_world_model.dataset.storage.native_sample import read_sample, write_sample
from k4d_world_model.errors import DatasetError, SampleError

from .conftest import FRAMES, HEIGHT, WIDTH, make_episode

SETTINGS = ClipSettings("robot", FRAMES)


def same(a: Clip, b: Clip) -> bool:
    return a.episode_id == b.episode_id and all(
        torch.equal(x, y)
        for x, y in (
            (a.rgb, b.rgb), (a.scene_points, b.scene_points), (a.robot_points, b.robot_points), (a.times, b.times),
            (a.scene_valid, b.scene_valid), (a.robot_mask, b.robot_mask), (a.robot_affine.scale, b.robot_affine.scale),
        )
    )  # fmt: skip


def test_each_split_has_its_samples_in_the_lists_order(layout: NativeLayout) -> None:
    layout.train_list.write_text("t-2\nt-0\n")
    train, val = ClipDataset(layout.root, "train", SETTINGS), ClipDataset(layout.root, "val", SETTINGS)
    assert [train[i].episode_id for i in range(len(train))] == ["t-2", "t-0"]
    assert [clip.episode_id for clip in val] == ["v-0", "v-1"]
    with pytest.raises(IndexError):
        val[2]


def test_a_clip_is_the_sample_and_the_same_every_time(layout: NativeLayout) -> None:
    clips = ClipDataset(layout.root, "val", SETTINGS)
    assert same(clips[1], clips[1])
    sample = read_sample(layout, "v-1")
    assert sample.scene_points is not None
    metres = clips[1].scene_affine.points(clips[1].scene_points).permute(1, 2, 3, 0)
    valid = clips[1].scene_valid
    torch.testing.assert_close(metres[valid], torch.from_numpy(sample.scene_points)[valid], atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_what_one_process_reads(layout: NativeLayout, start: str) -> None:
    clips = ClipDataset(layout.root, "train", SETTINGS)
    clips[0]
    loader = DataLoader(clips, batch_size=2, num_workers=2, multiprocessing_context=start, timeout=120)
    batches = list(loader)
    assert [tuple(batch.episode_id) for batch in batches] == [("t-0", "t-1"), ("t-2",)]
    assert tuple(batches[0].rgb.shape) == (2, 3, FRAMES, HEIGHT, WIDTH)
    assert torch.equal(batches[0].robot_points[1], clips[1].robot_points)
    assert torch.equal(batches[0].robot_affine.offset[1], clips[1].robot_affine.offset)
    assert torch.equal(batches[1].rgb[0], clips[2].rgb)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_sample_stops_the_loader_and_is_named(layout: NativeLayout, workers: int) -> None:
    path = layout.sample_folder("t-1") / RGB
    path.write_bytes(path.read_bytes()[:-1])
    start = "fork" if workers else None
    loader = DataLoader(
        ClipDataset(layout.root, "train", SETTINGS),
        num_workers=workers,
        multiprocessing_context=start,
        timeout=60 * workers,
    )
    with pytest.raises(SampleError, match=re.escape(str(path))):
        list(loader)


def test_a_missing_data_set_list_or_sample_is_named(layout: NativeLayout) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        ClipDataset(layout.root / "nowhere", "train")
    with pytest.raises(DatasetError, match="'train' and 'val', got 'test'"):
        ClipDataset(layout.root, "test")  # type: ignore[arg-type]
    layout.train_list.write_text("../t-0\n")
    with pytest.raises(DatasetError, match=r"train\.txt: line 1: .*'\.\./t-0'"):
        ClipDataset(layout.root, "train")
    layout.val_list.unlink()
    with pytest.raises(DatasetError, match=r"val\.txt"):
        ClipDataset(layout.root, "val")
    layout.train_list.write_text("t-9\n")
    with pytest.raises(SampleError, match="t-9"):
        ClipDataset(layout.root, "train")[0]


def encode(clip: Clip) -> ClipLatents:
    """A stand-in for an autoencoder: means over the cells of the latents, by way of its channels."""
    streams = [
        torch.nn.functional.avg_pool3d(x, (1, 8, 8))[:, ::4]
        for x in (clip.rgb, clip.scene_points, clip.robot_rgb, clip.robot_points)
    ]
    return ClipLatents(*streams, robot_mask=latent_mask(clip.robot_mask))


def test_the_cache_is_filled_once_and_again_where_a_sample_changed(layout: NativeLayout, tmp_path: Path) -> None:
    clips, cache = ClipDataset(layout.root, "train", SETTINGS), LatentCache(tmp_path / "cache", "mean", SETTINGS)
    assert fill_latent_cache(clips, cache, encode) == 3
    assert fill_latent_cache(clips, cache, encode) == 0
    latents = LatentDataset(clips, cache)
    assert len(latents) == 3
    assert torch.equal(latents[1].rgb, encode(clips[1]).rgb.bfloat16())
    assert torch.equal(latents[1].robot_mask, latent_mask(clips[1].robot_mask))
    shutil.rmtree(layout.sample_folder("t-1"))
    write_sample(layout, make_episode("t-1", seed=77))
    with pytest.raises(SampleError, match=r"t-1\.safetensors: no latents, or of another version of the sample"):
        latents[1]
    assert fill_latent_cache(clips, cache, encode) == 1
    assert torch.equal(latents[1].rgb, encode(clips[1]).rgb.bfloat16())


def test_latents_come_in_batches_from_workers(layout: NativeLayout, tmp_path: Path) -> None:
    clips, cache = ClipDataset(layout.root, "val", SETTINGS), LatentCache(tmp_path / "cache", "mean", SETTINGS)
    fill_latent_cache(clips, cache, encode)
    loader = DataLoader(
        LatentDataset(clips, cache), batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=120
    )
    (batch,) = list(loader)
    assert isinstance(batch, ClipLatents)
    assert batch.rgb.dtype == torch.bfloat16
    assert tuple(batch.rgb.shape) == (2, 3, 3, 2, 3)
    assert torch.equal(batch.robot_mask[1], latent_mask(clips[1].robot_mask))
