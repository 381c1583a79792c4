"""Samples become clips once, whoever asks."""

import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from safetensors.torch import load_file

from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import read_sample
from k4d_world_model.errors import DatasetError, EpisodeError, SampleError, TrainingError
from k4d_world_model.evaluation.fitted_episode import fitted_episode, shortened
from k4d_world_model.preparation import ramp
from k4d_world_model.training.clip import read_clip
from k4d_world_model.training.preparing import Preparation, clip_of, prepare_samples, with_rendered_robot

from .conftest import ARCHITECTURE, HEIGHT, WIDTH, make_dataset, make_episode


class Counter:
    """Counts what is prepared."""

    def __init__(self) -> None:
        self.total = 0

    def __call__(self, items, total):
        self.total += total
        return items


def prepare(roots, folder, split="train", architecture=ARCHITECTURE, **changes):
    counter = Counter()
    preparation = Preparation(architecture, folder)
    return prepare_samples(
        roots, split, preparation, **{"workers": 1, "on_preparing": counter, **changes}
    ), counter.total


def test_several_data_sets_become_one_row_and_are_prepared_once(dataset, tmp_path) -> None:
    other = make_dataset(tmp_path / "other", "other", 2, 1)
    samples, made = prepare([dataset, other], tmp_path / "cache")
    assert [sample.episode_id for sample in samples][5:] == ["other-train-0", "other-train-1"]
    assert (len(samples), made) == (7, 7)
    again, made = prepare([dataset, other], tmp_path / "cache")
    assert (again, made) == (samples, 0)
    held_out, made = prepare([dataset], tmp_path / "cache", "val")
    assert (len(held_out), made) == (3, 3)


def test_a_clip_is_its_sample(dataset, tmp_path) -> None:
    samples, _ = prepare([dataset], tmp_path)
    sample = samples[3]
    clip = read_clip(sample.file, sample.episode_id, 0)
    episode = read_sample(NativeLayout(dataset), sample.episode_id)
    assert np.array_equal(np.rint((clip.rgb.numpy() + 1) * 127.5), np.moveaxis(episode.rgb, -1, 0))
    scale, offset = (part.numpy()[:, None, None, None] for part in (clip.inputs.scale, clip.inputs.offset))
    metres = np.moveaxis(clip.points.numpy() * scale + offset, 0, -1)
    valid = np.isfinite(episode.scene_points[..., 2])
    assert np.array_equal(clip.valid.numpy(), valid)
    assert np.abs(metres - episode.scene_points)[valid].max() < 2e-4
    robot = episode.robot_points[episode.robot_mask]
    assert np.allclose(clip.inputs.scale.numpy(), (np.ptp(robot, axis=0) / 2).max(), rtol=1e-4)


def test_processes_prepare_the_same_clips(dataset, tmp_path) -> None:
    alone, _ = prepare([dataset], tmp_path / "one")
    together, made = prepare([dataset], tmp_path / "two", workers=2)
    assert made == 5
    for mine, theirs in zip(alone, together, strict=True):
        ours, others = load_file(mine.file), load_file(theirs.file)
        assert all(torch.equal(tensor, others[name]) for name, tensor in ours.items())


def test_another_architecture_has_other_clips(dataset, tmp_path) -> None:
    _, first = prepare([dataset], tmp_path)
    _, other = prepare([dataset], tmp_path, architecture=replace(ARCHITECTURE, normalization_margin=1.5))
    assert (first, other) == (5, 5)


def test_conditions_that_show_the_robot_share_their_clips(dataset, tmp_path) -> None:
    shared = replace(ARCHITECTURE, head="residual", light_grid=0, continues_surfaces=False)
    _, first = prepare([dataset], tmp_path, architecture=shared)
    _, other = prepare([dataset], tmp_path, architecture=replace(shared, condition="robot_pointmap"))
    assert (first, other) == (5, 0)


def test_a_ramp_beside_the_picture_can_be_kept(dataset, tmp_path) -> None:
    plain = replace(ARCHITECTURE, prior="still", head="blend", light_grid=0, continues_surfaces=False)
    samples, _ = prepare([dataset], tmp_path, architecture=replace(plain, first_frame_geometry="ramp"))
    clip = read_clip(samples[0].file, "a", 0)
    assert torch.equal(clip.inputs.first_points, torch.from_numpy(ramp(HEIGHT, WIDTH)))


def test_samples_are_made_to_fit_where_asked(dataset, tmp_path) -> None:
    small = replace(
        ARCHITECTURE, frames=5, height=8, width=16, head="residual", light_grid=0, continues_surfaces=False,
    )  # fmt: skip
    with pytest.raises(SampleError, match="the model predicts"):
        prepare([dataset], tmp_path, architecture=small)
    preparation = Preparation(small, tmp_path, fits=True)
    samples = prepare_samples([dataset], "train", preparation, workers=1, on_preparing=Counter())
    clip = read_clip(samples[2].file, samples[2].episode_id, 0)
    episode = read_sample(NativeLayout(dataset), samples[2].episode_id)
    expected = fitted_episode(shortened(episode, 5), 8, 16)
    assert clip.rgb.shape == (3, 5, 8, 16)
    assert np.array_equal(np.rint((clip.rgb.numpy() + 1) * 127.5), np.moveaxis(expected.rgb, -1, 0))
    assert np.array_equal(clip.inputs.robot_mask.numpy(), expected.robot_mask)


def test_every_kth_frame_is_taken_the_last_one_among_them() -> None:
    episode = make_episode("clip", 7)
    short = shortened(episode, 3)
    assert np.array_equal(short.times, episode.times[[0, 4, 8]])
    assert np.array_equal(short.robot_points, episode.robot_points[[0, 4, 8]], equal_nan=True)
    assert shortened(episode, 9) is episode
    with pytest.raises(EpisodeError, match="4 - 1 must divide 9 - 1"):
        shortened(episode, 4)


def test_samples_without_a_robot_are_left_out_and_said_so(tmp_path, caplog) -> None:
    root = make_dataset(tmp_path / "data", "data", 3, 1, hidden=1)
    with caplog.at_level(logging.WARNING):
        samples, _ = prepare([root], tmp_path / "cache")
    assert [sample.episode_id for sample in samples] == ["data-train-0", "data-train-1"]
    assert "1 of 3 samples never show the robot and are left out: ['data-train-2']" in caplog.text
    samples, made = prepare([root], tmp_path / "cache")
    assert (len(samples), made) == (2, 0)


def test_nothing_left_to_train_on_is_an_error(tmp_path) -> None:
    root = make_dataset(tmp_path / "data", "data", 1, 1, hidden=1)
    with pytest.raises(TrainingError, match="no clip to train on"):
        prepare([root], tmp_path / "cache")
    with pytest.raises(DatasetError, match="no such folder"):
        prepare([tmp_path / "none"], tmp_path / "cache")


def test_a_damaged_sample_is_named(dataset, tmp_path) -> None:
    root = tmp_path / "data"
    shutil.copytree(dataset, root)
    (root / "samples" / "first-train-2" / "rgb.mkv").write_bytes(b"none")
    with pytest.raises(SampleError, match=r"first-train-2/rgb\.mkv"):
        prepare([root], tmp_path / "cache")


def test_a_rendered_robot_needs_its_description(tmp_path) -> None:
    with pytest.raises(TrainingError, match="--robot"):
        Preparation(replace(ARCHITECTURE, robot_pictures="rendered"), tmp_path)


def test_an_episode_without_joints_shows_no_rendered_robot() -> None:
    with pytest.raises(SampleError, match="sample clip shows no rendered robot: it has no joints"):
        with_rendered_robot(make_episode("clip", 7), robot=None)
    with pytest.raises(SampleError, match="the model predicts"):
        clip_of(make_episode("clip", 7), replace(ARCHITECTURE, frames=13), None)


def test_a_robot_of_other_meshes_has_other_clips(tmp_path) -> None:
    (tmp_path / "r.urdf").write_text(
        '<robot name="r"><link name="a"><visual><geometry><mesh filename="a.stl"/></geometry></visual></link></robot>'
    )
    (tmp_path / "r.yaml").write_text("{name: r, urdf: r.urdf, tool_link: a, home: {}}")
    keys = set()
    for size in (0.02, 0.3):
        trimesh.creation.box((size, size, size)).export(tmp_path / "a.stl")
        rendered = replace(ARCHITECTURE, robot_pictures="rendered")
        keys.add(Preparation(rendered, tmp_path / "cache", tmp_path / "r.yaml").key())
    assert len(keys) == 2
