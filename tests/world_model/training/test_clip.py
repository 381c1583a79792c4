"""Clips keep what they are made of, on disk and in the mirror."""

from itertools import permutations

import numpy as np
import pytest
import torch
from einops import rearrange

from k4d_kinematics import Camera, light_directions
from k4d_world_model.errors import SampleError
from k4d_world_model.still_scene import SURFACES
from k4d_world_model.training.augmentation import augmented, mirrored, recoloured
from k4d_world_model.training.clip import TrainingClip, read_clip, write_clip
from k4d_world_model.training.config import AugmentationSettings
from k4d_world_model.training.preparing import clip_of
from k4d_world_model.wan.inputs import Inputs

from .conftest import ARCHITECTURE, FRAMES, HEIGHT, WIDTH, make_episode

# In-painting solves a linear system, whose rounding depends on the order of its unknowns.
FILLED = ("background_rgb", "background_points", "behind_rgb", "behind_points", "surfaces")


def test_a_clip_comes_back_from_disk(clip, tmp_path) -> None:
    write_clip(tmp_path / "a" / "clip.safetensors", clip)
    again = read_clip(tmp_path / "a" / "clip.safetensors", "clip", 4)
    assert (again.episode_id, int(again.position)) == ("clip", 4)
    depths = clip.points[2][clip.valid]
    half_step = float(depths.max() - depths.min()) / 65535 / 2
    for name in Inputs._fields:
        mine, read = getattr(clip.inputs, name), getattr(again.inputs, name)
        limit = 3 * half_step if name == "robot_points" else 1e-6
        assert mine.dtype == read.dtype
        assert torch.allclose(mine.float(), read.float(), rtol=0, atol=limit), name
    assert torch.allclose(clip.rgb, again.rgb, rtol=0, atol=1e-6)
    assert torch.allclose(clip.points, again.points, rtol=0, atol=3 * half_step + 1e-6)
    assert torch.equal(clip.valid, again.valid)
    assert not clip.valid.all()


@pytest.fixture
def with_movers(clip) -> TrainingClip:
    """The clip with two things that move, one of them without pixels."""
    generator = np.random.default_rng(5)
    pixels = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    pixels[0, 3:5, 4:9] = True
    path, evidence = (torch.from_numpy(generator.random((2, FRAMES, n)).astype(np.float32)) for n in (3, 6))
    inputs = clip.inputs._replace(mover_pixels=pixels, mover_path=path, mover_evidence=evidence)
    return clip._replace(inputs=inputs)


def test_things_that_move_come_back_frame_by_frame(with_movers, tmp_path) -> None:
    write_clip(tmp_path / "clip.safetensors", with_movers)
    some = read_clip(tmp_path / "clip.safetensors", "clip", 0, 4).inputs
    assert torch.equal(some.mover_pixels, with_movers.inputs.mover_pixels)
    assert torch.equal(some.mover_path, with_movers.inputs.mover_path[:, ::4])
    assert torch.equal(some.mover_evidence, with_movers.inputs.mover_evidence[:, ::4])


def test_in_the_mirror_things_move_the_other_way(with_movers) -> None:
    there, here = mirrored(with_movers).inputs, with_movers.inputs
    assert torch.equal(there.mover_pixels, here.mover_pixels.flip(-1))
    assert torch.equal(there.mover_path[..., 0], -here.mover_path[..., 0])
    assert torch.equal(there.mover_path[..., 1:], here.mover_path[..., 1:])
    assert torch.equal(there.mover_evidence, here.mover_evidence)


def test_a_clip_takes_little_space(clip, tmp_path) -> None:
    write_clip(tmp_path / "clip.safetensors", clip)
    pixels = FRAMES * HEIGHT * WIDTH
    robot = int(clip.inputs.robot_mask.sum())
    single = 4 * (9 + 3 + 2 * SURFACES) * HEIGHT * WIDTH + 9 * HEIGHT * WIDTH + 9 * pixels / 4 / 8
    expected = 5 * pixels + 2 * pixels / 8 + 5 * robot + single
    assert (tmp_path / "clip.safetensors").stat().st_size < expected + 2500


@pytest.mark.parametrize("step", [2, 4])
def test_a_clip_can_be_read_with_fewer_frames(clip, tmp_path, step) -> None:
    path = tmp_path / "clip.safetensors"
    write_clip(path, clip)
    whole, some = read_clip(path, "clip", 0), read_clip(path, "clip", 0, step)
    assert torch.equal(some.rgb, whole.rgb[:, ::step])
    assert torch.equal(some.points, whole.points[:, ::step])
    assert torch.equal(some.valid, whole.valid[::step])
    for name in ("robot_rgb", "robot_points", "shadows"):
        assert torch.equal(getattr(some.inputs, name), getattr(whole.inputs, name)[:, ::step]), name
    for name in ("robot_mask", "actions"):
        assert torch.equal(getattr(some.inputs, name), getattr(whole.inputs, name)[::step]), name
    assert torch.equal(some.inputs.rays, whole.inputs.rays)


@pytest.mark.parametrize("where", [0.3, 0.9])
def test_a_damaged_clip_is_named(clip, tmp_path, where) -> None:
    path = tmp_path / "clip.safetensors"
    write_clip(path, clip)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(SampleError, match=r"clip\.safetensors"):
        read_clip(path, "clip", 0)


def test_a_clip_cut_short_or_missing_is_named(clip, tmp_path) -> None:
    path = tmp_path / "clip.safetensors"
    write_clip(path, clip)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(SampleError, match=r"clip\.safetensors"):
        read_clip(path, "clip", 0)
    with pytest.raises(SampleError, match=r"other\.safetensors"):
        read_clip(tmp_path / "other.safetensors", "clip", 0)


def test_points_off_their_rays_are_refused(clip, tmp_path) -> None:
    points = clip.points.clone()
    points[0, 2, 5, 6] += 0.1
    with pytest.raises(SampleError, match=r"clip: points lie 0\.1"):
        write_clip(tmp_path / "clip.safetensors", clip._replace(points=points))


def test_the_mirror_shows_what_a_mirrored_world_would_show() -> None:
    """The independent definition: prepare an episode whose world and camera were mirrored at x = 0."""
    episode = make_episode("clip", 7)
    camera = episode.camera
    assert camera is not None
    K = camera.matrix
    opposite = Camera.pinhole(HEIGHT, WIDTH, K[0, 0], K[1, 1], WIDTH - 1 - K[0, 2], K[1, 2], frame_id="cam")
    flip = np.array([-1.0, 1.0, 1.0], np.float32)
    world = type(episode)(
        **{
            **vars(episode),
            "rgb": episode.rgb[:, :, ::-1].copy(),
            "camera": opposite,
            "scene_points": (episode.scene_points[:, :, ::-1] * flip).copy(),
            "robot_points": (episode.robot_points[:, :, ::-1] * flip).copy(),
            "robot_mask": episode.robot_mask[:, :, ::-1].copy(),
            # The base's y axis is mirrored with the world, so that it stays right-handed.
            "T_world_base": np.diag([-1.0, 1.0, 1.0, 1.0]) @ episode.T_world_base @ np.diag([1.0, -1.0, 1.0, 1.0]),
        }
    )
    expected = clip_of(world, ARCHITECTURE, None)
    got = mirrored(clip_of(episode, ARCHITECTURE, None))
    for name in Inputs._fields:
        mine, theirs = getattr(got.inputs, name).float(), getattr(expected.inputs, name).float()
        if name == "shadows":
            continue  # Cells of shadow maps lie otherwise in a mirrored world: see the next test.
        assert torch.allclose(mine, theirs, atol=1e-2 if name in FILLED else 1e-5), name
    assert torch.equal(got.rgb, expected.rgb)
    assert torch.allclose(got.points, expected.points, atol=1e-5)
    assert torch.equal(got.valid, expected.valid)


def test_mirrored_shadows_are_those_of_mirrored_light(clip) -> None:
    """In the mirrored world of the test above, the base's y axis is mirrored: light from (x, y) comes from (x, -y)."""
    directions = light_directions(3, 0.8).reshape(3, 3, 3)
    np.testing.assert_allclose(directions[:, ::-1] * [1.0, -1.0, 1.0], directions)
    mine = rearrange(clip.inputs.shadows, "(x y) ... -> x y ...", x=3)
    theirs = rearrange(mirrored(clip).inputs.shadows, "(x y) ... -> x y ...", x=3)
    assert torch.equal(theirs[1, 0], mine[1, 2].flip(-1))
    assert torch.equal(theirs[2, 1], mine[2, 1].flip(-1))
    assert not torch.equal(mine[1, 0], mine[1, 2])


def test_the_mirror_undoes_itself(clip) -> None:
    twice = mirrored(mirrored(clip))
    assert all(torch.equal(a, b) for a, b in zip(twice.inputs, clip.inputs, strict=True))
    assert torch.equal(twice.points, clip.points)


def test_mirrored_points_lie_on_mirrored_rays(clip) -> None:
    got = mirrored(clip)
    scale, offset = (rearrange(value, "c -> c 1 1 1") for value in (got.inputs.scale, got.inputs.offset))
    metres = got.points * scale + offset
    on_ray = got.inputs.rays[:, None] * metres[2:]
    assert torch.allclose(metres[:, got.valid], on_ray[:, got.valid], atol=1e-5)


def test_colours_are_permuted_alike_in_all_pictures(clip) -> None:
    got = recoloured(clip, (2, 0, 1))
    for mine, theirs in (
        (got.rgb, clip.rgb),
        (got.inputs.first_rgb, clip.inputs.first_rgb),
        (got.inputs.robot_rgb, clip.inputs.robot_rgb),
        (got.inputs.background_rgb, clip.inputs.background_rgb),
    ):
        assert torch.equal(mine[0], theirs[2])
        assert torch.equal(mine[1], theirs[0])
        assert torch.equal(mine[2], theirs[1])
    assert torch.equal(got.points, clip.points)


def test_all_variations_are_drawn_and_none_where_none_is_wanted(clip) -> None:
    both, none = AugmentationSettings(flip=True, permute_colours=True), AugmentationSettings()
    seen = set()
    for seed in range(120):
        got = augmented(clip, both, np.random.default_rng(seed))
        flipped = not torch.equal(got.valid, clip.valid)
        base = mirrored(clip).rgb if flipped else clip.rgb
        order = next(p for p in permutations(range(3)) if torch.equal(base[list(p)], got.rgb))
        seen.add((flipped, order))
        assert augmented(clip, none, np.random.default_rng(seed)) is clip
    assert len(seen) == 12
