"""Latents on disk: a quarter of the published size, never stale, never half written."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from k4d_world_model.dataset.clips import ClipSettings
from k4d_world_model.dataset.latent_cache import ClipLatents, LatentCache, latent_mask
from k4d_world_model.errors import DatasetError, EpisodeError, SampleError


def latents(shape: tuple[int, int, int, int] = (4, 3, 5, 6), seed: int = 0) -> ClipLatents:
    generator = torch.Generator().manual_seed(seed)
    streams = [torch.randn(shape, generator=generator) for _ in range(4)]
    return ClipLatents(*streams, robot_mask=torch.rand(shape[1:], generator=generator) < 0.3)


def test_latents_come_back_in_bfloat16_with_an_exact_mask(tmp_path: Path) -> None:
    cache, kept = LatentCache(tmp_path, "tiny-1"), latents()
    assert cache.get("a", "sum") is None
    cache.put("a", "sum", kept)
    read = cache.get("a", "sum")
    assert read is not None
    for name in ("rgb", "scene_points", "robot_rgb", "robot_points"):
        assert getattr(read, name).dtype == torch.bfloat16
        torch.testing.assert_close(getattr(read, name), getattr(kept, name).bfloat16(), atol=0.0, rtol=0.0)
    torch.testing.assert_close(read.robot_mask, kept.robot_mask)
    assert [path.name for path in cache.folder.iterdir()] == ["a.safetensors"]


def test_the_size_is_a_quarter_of_the_published_one(tmp_path: Path) -> None:
    """49 x 480 x 720 frames: published are four fp32 latents (16, 13, 60, 90) and a uint8 mask of every pixel."""
    cache = LatentCache(tmp_path, "wan")
    cache.put("a", "sum", latents((16, 13, 60, 90)))
    size = cache.path("a").stat().st_size
    ours = 4 * 16 * 13 * 60 * 90 * 2 + 13 * 60 * 90 // 8
    published = 4 * 16 * 13 * 60 * 90 * 4 + 49 * 480 * 720
    assert ours <= size <= ours + 2000
    assert 0.245 < size / published < 0.26


def test_latents_of_other_samples_encoders_or_settings_are_not_taken(tmp_path: Path) -> None:
    cache = LatentCache(tmp_path, "tiny-1")
    cache.put("a", "sum", latents())
    assert cache.get("a", "other sum") is None
    assert cache.get("b", "sum") is None
    assert LatentCache(tmp_path, "tiny-2").get("a", "sum") is None
    assert LatentCache(tmp_path, "tiny-1", ClipSettings("robot")).get("a", "sum") is None
    assert LatentCache(tmp_path, "tiny-1", ClipSettings("scene")).get("a", "sum") is not None
    cache.put("a", "other sum", latents(seed=1))
    assert cache.get("a", "other sum") is not None


@pytest.mark.parametrize("position", [20, 200, -1])
def test_a_damaged_file_is_named(tmp_path: Path, position: int) -> None:
    cache = LatentCache(tmp_path, "tiny-1")
    cache.put("a", "sum", latents())
    data = bytearray(cache.path("a").read_bytes())
    data[position] ^= 0x10
    cache.path("a").write_bytes(data)
    with pytest.raises(SampleError, match=r"a\.safetensors: "):
        cache.get("a", "sum")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    cache = LatentCache(tmp_path, "tiny-1")
    cache.put("a", "sum", latents())
    cache.path("a").write_bytes(cache.path("a").read_bytes()[:-100])
    with pytest.raises(SampleError, match=r"a\.safetensors: damaged"):
        cache.get("a", "sum")


def test_a_killed_writer_leaves_the_older_latents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = LatentCache(tmp_path, "tiny-1")
    cache.put("a", "sum", latents())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        cache.put("a", "sum", latents(seed=1))
    read = cache.get("a", "sum")
    assert read is not None
    torch.testing.assert_close(read.rgb, latents().rgb.bfloat16())
    assert len(list(cache.folder.iterdir())) == 1


def test_names_stay_inside_the_folder_and_shapes_are_checked(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match=r"\.\./x"):
        LatentCache(tmp_path, "../x")
    cache, kept = LatentCache(tmp_path, "tiny-1"), latents()
    with pytest.raises(EpisodeError, match=r"\.\./a"):
        cache.put("../a", "sum", kept)
    with pytest.raises(DatasetError, match=r"same for all streams"):
        cache.put("a", "sum", kept._replace(robot_rgb=kept.rgb[:2]))
    with pytest.raises(DatasetError, match=r"robot_mask must be bool \(3, 5, 6\), got torch\.uint8"):
        cache.put("a", "sum", kept._replace(robot_mask=kept.robot_mask.to(torch.uint8)))


def test_the_mask_of_the_latents_is_the_published_down_sampling() -> None:
    mask = torch.from_numpy(np.random.default_rng(0).random((9, 16, 24)) < 0.1)
    nearest = F.interpolate(mask[:, None].float(), size=(2, 3), mode="nearest")[:, 0]  # (T, h, w)
    expected = torch.stack([nearest[0], nearest[1:5].amax(dim=0), nearest[5:9].amax(dim=0)]).bool()
    torch.testing.assert_close(latent_mask(mask), expected)
    assert tuple(latent_mask(torch.zeros(49, 480, 720, dtype=torch.bool)).shape) == (13, 60, 90)
    with pytest.raises(DatasetError, match=r"4k \+ 1 frames.*\(8, 16, 24\)"):
        latent_mask(mask[:8])
