"""Training a published model's adapter on clips that its autoencoder encoded beforehand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import default_collate

from k4d_world_model.dataset.building.manifest import Manifest, manifest_sample, write_lists, write_manifest
from k4d_world_model.dataset.building.split import scene_group
from k4d_world_model.dataset.clips import ClipDataset, ClipSettings
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import write_sample
from k4d_world_model.errors import SampleError, TrainingError
from k4d_world_model.preparation import ramp
from k4d_world_model.training.config import LoraSettings, LossSettings, OptimiserSettings, TrainingConfig
from k4d_world_model.training.latent_clips import ClipEncoder, encoded_latents, latent_clips
from k4d_world_model.wan.architecture import Architecture, TransformerSize
from k4d_world_model.wan.encoding import encode, encode_pair
from k4d_world_model.wan.inputs import Inputs
from k4d_world_model.wan.published import load_base, published_name
from k4d_world_model.world_model import open_world_model

from ..wan.conftest import PARITY, write_base
from .conftest import steps
from .test_train import rows, run

FRAMES, HEIGHT, WIDTH = 5, 128, 144
ARCHITECTURE = Architecture(
    frames=FRAMES,
    height=HEIGHT,
    width=WIDTH,
    condition="robot_pointmap",
    transformer=TransformerSize(
        num_attention_heads=2, attention_head_dim=16, ffn_dim=64, num_layers=2, freq_dim=32, image_dim=20
    ),
)
LORA = LoraSettings(rank=4, alpha=2.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "base"
    write_base(folder, load_file(PARITY / "transformer.safetensors"), load_file(PARITY / "pipeline.safetensors"))
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two samples to train and one to validate, without cameras and metres, as published ones."""
    root = tmp_path_factory.mktemp("data") / "published"
    layout, samples = NativeLayout(root), []
    for i, part in enumerate(("train", "train", "val")):
        generator = np.random.default_rng(i)
        mask = np.zeros((FRAMES, HEIGHT, WIDTH), np.bool_)
        for t in range(FRAMES):
            mask[t, 40:90, 30 + 8 * t : 60 + 8 * t] = True
        scene = generator.random((FRAMES, HEIGHT, WIDTH, 3)).astype(np.float32)
        episode = Episode(
            info=EpisodeInfo(f"e-{i}", "simulation", task="push", success=True, seed=i),
            rgb=generator.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8),
            times=0.1 * np.arange(FRAMES),
            scale="affine",
            scene_points=scene,
            robot_points=np.where(mask[..., None], scene, np.float32(np.nan)).astype(np.float32),
            robot_mask=mask,
        )
        samples.append(manifest_sample(write_sample(layout, episode), scene_group(episode.info), part))
    manifest = Manifest({"frames": FRAMES}, {}, complete=True, samples=tuple(samples))
    write_manifest(layout, manifest)
    write_lists(layout, manifest)
    return root


@pytest.fixture
def config(base) -> TrainingConfig:
    return TrainingConfig(
        name="small_lora",
        architecture=ARCHITECTURE,
        base=str(base),
        adapter=str(PARITY),
        lora=LORA,
        optimiser=OptimiserSettings(learning_rate=1e-3),
        loss=LossSettings(soft_mask_share=0.1),
        gradient_checkpointing=True,
    )


def test_a_run_leaves_an_adapter_that_opens(config, dataset, tmp_path) -> None:
    run(steps(config, 2, validation_every=2), dataset, tmp_path)
    table = rows(tmp_path)
    assert len(table) == 2
    assert float(table[-1]["validation_loss"]) > 0
    assert table[-1]["changed_rgb_psnr"] == "nan"
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "added_weights.safetensors",
        "pytorch_lora_weights.safetensors",
    ]
    for name in ("added_weights.safetensors", "pytorch_lora_weights.safetensors"):
        trained, start = load_file(tmp_path / "model" / name), load_file(PARITY / name)
        assert {key: value.shape for key, value in trained.items()} == {key: v.shape for key, v in start.items()}
        assert any(not torch.equal(value, start[key].float()) for key, value in trained.items())
    saved = load_file(tmp_path / "checkpoints" / "step_00000002" / "weights.safetensors")
    assert all(".lora_" in name or published_name(name) is not None for name in saved)
    model = open_world_model(tmp_path / "world_model.yaml")
    assert model.frame_shape == (FRAMES, HEIGHT, WIDTH)
    model.close()
    state = run(steps(config, 3), dataset, tmp_path, resume=True)
    assert state.step == 3


def test_training_sees_what_a_prediction_sees(dataset, base, tmp_path, monkeypatch) -> None:
    """But for chance: the most likely latents are those that ``encode`` makes of the same clip."""
    monkeypatch.setattr(ClipEncoder, "_generator", lambda *_: None)
    cpu = torch.device("cpu")
    parts = load_base(base, None, ARCHITECTURE, device=cpu, dtype=torch.float32, seed=0)
    latents = latent_clips([dataset], "train", tmp_path, "encoder", ARCHITECTURE)
    with pytest.raises(SampleError, match="encode it first"):
        latents.clip(1, 0)
    assert not latents.is_encoded(1)
    latents.encode(1, ClipEncoder(ARCHITECTURE, parts.codec, parts.image_encoder, cpu))
    assert latents.is_encoded(1)
    got = encoded_latents(default_collate([latents.clip(1, 0)]), cpu)

    clip = ClipDataset(dataset, "train", ClipSettings("scene", FRAMES))[1]
    nothing = torch.empty(0)
    inputs = Inputs(
        first_rgb=clip.first_frame[None],
        first_points=torch.from_numpy(ramp(HEIGHT, WIDTH))[None],
        robot_rgb=clip.robot_rgb[None],
        robot_points=clip.robot_points[None],
        robot_mask=clip.robot_mask[None],
        background_rgb=nothing,
        background_points=nothing,
        rays=nothing,
        scale=nothing,
        offset=nothing,
        actions=nothing,
        shadows=nothing,
        surfaces=nothing,
        behind_rgb=nothing,
        behind_points=nothing,
        mover_pixels=nothing,
        mover_path=nothing,
        mover_evidence=nothing,
    )
    expected = encode(inputs, ARCHITECTURE, parts.codec, parts.image_encoder)
    clean = encode_pair(clip.rgb[None], clip.scene_points[None], ARCHITECTURE, parts.codec)
    for mine, theirs in (
        (got.encoded.channels, expected.channels),
        (got.encoded.robot, expected.robot),
        (got.encoded.image_embeddings, expected.image_embeddings),
        (got.clean, clean),
    ):
        assert mine.shape == theirs.shape
        assert torch.allclose(mine, theirs, rtol=2**-7, atol=2**-7)
    mask = got.encoded.robot[:, :4]
    assert torch.equal(mask, expected.robot[:, :4])
    assert 0 < mask.mean() < 1


def test_latents_are_drawn_and_every_time_the_same(dataset, base) -> None:
    cpu = torch.device("cpu")
    parts = load_base(base, None, ARCHITECTURE, device=cpu, dtype=torch.float32, seed=0)
    clip = ClipDataset(dataset, "val", ClipSettings("scene", FRAMES))[0]
    first, again, other = (
        ClipEncoder(ARCHITECTURE, parts.codec, None, cpu, seed).latents(clip).rgb for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": replace(ARCHITECTURE, condition="robot_depth")}, "condition must be one of"),
        ({"base": "", "adapter": ""}, "belong together"),
        ({"lora": LoraSettings()}, "belong together"),
        ({"base": ""}, "needs the base"),
    ],
)
def test_what_latents_cannot_tell_is_refused(config, changes, message) -> None:
    with pytest.raises(TrainingError, match=message):
        replace(config, **changes)


def test_samples_of_one_name_in_two_data_sets_are_refused(config, dataset, tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"come twice: \['e-"):
        run(steps(config, 1), (dataset, dataset), tmp_path)
