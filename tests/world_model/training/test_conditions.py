"""What learning is told by conditions other than the robot's looks, and by fewer clips."""

import itertools
import json
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import default_collate

from k4d_world_model.content_hash import content_hash
from k4d_world_model.errors import TrainingError
from k4d_world_model.training.config import AugmentationSettings, LossSettings
from k4d_world_model.training.data import DataSettings
from k4d_world_model.training.learner import Learner
from k4d_world_model.training.order import NOISE
from k4d_world_model.training.pixel_clips import encoded_pixels
from k4d_world_model.training.train import RunSettings, train
from k4d_world_model.wan.codec import PixelCodec
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.transformer import build_transformer
from k4d_world_model.world_model_config import SamplingConfig

from .conftest import CONFIG, FRAMES, PLAIN, steps


def test_points_are_reconstructed_from_the_clips_own_pictures(clip) -> None:
    """What the transformer is told of a clip: its true pictures; the robot of the loss stays the robot."""
    told = replace(PLAIN, condition="pictures", prior="still", head="blend")
    material = encoded_pixels(default_collate([clip]), told, PixelCodec(told.codec), torch.device("cpu"))
    latents = material.encoded.robot[:, 4:]
    assert torch.allclose(PixelCodec(told.codec).decode(latents)[0], clip.rgb, atol=1e-6)
    assert (material.encoded.robot[:, :4] == 1).all()
    assert torch.equal(material.encoded.inputs.robot_mask[0], clip.inputs.robot_mask)


def test_numbers_are_not_softened(clip) -> None:
    """Counts of words of which some are 1, as a mask's cells are."""
    told = replace(PLAIN, condition="text", action_size=5, prior="still", head="blend", reads_noise=False)
    config = replace(
        CONFIG, architecture=told, loss=LossSettings("clean", noise_only_share=1.0, soft_mask_share=1.0),
        sampling=SamplingConfig(steps=1), augmentation=AugmentationSettings(),
    )  # fmt: skip
    batch = default_collate([clip._replace(inputs=clip.inputs._replace(actions=torch.ones(FRAMES, 5)))])
    accelerator = Accelerator(cpu=True)
    own = Learner(config, build_transformer(told, head_channels(told)), PixelCodec(told.codec), accelerator)
    assert (own.problem(batch, NOISE).encoded.robot == 1).all()


def test_a_run_may_learn_from_some_of_the_clips(dataset, tmp_path) -> None:
    data = DataSettings((dataset,), tmp_path / "clips", clips=2)
    train(steps(CONFIG, 1), RunSettings(data, tmp_path / "out"), lambda _: None)
    found = (path.relative_to(tmp_path / "clips") for path in (tmp_path / "clips").glob("*/*/*.safetensors"))
    names = sorted(f"{path.parts[0]}/{path.name}" for path in found)
    state = json.loads((tmp_path / "out" / "checkpoints" / "step_00000001" / "state.json").read_text())
    pairs = {content_hash(pair) for pair in itertools.permutations(names, 2)}
    assert len(names) > 2
    assert state["data"] in pairs
    with pytest.raises(TrainingError, match="at least one clip to train on, got 0"):
        replace(data, clips=0)


def test_fewer_clips_than_asked_for_are_refused_to_train_on_but_may_validate(dataset, tmp_path) -> None:
    config = steps(CONFIG, 1, validation_clips=7)  # of three
    data = DataSettings((dataset,), tmp_path / "clips", clips=6)
    with pytest.raises(TrainingError, match="6 clips to train on were asked for, there are 5"):
        train(config, RunSettings(data, tmp_path / "out"), lambda _: None)
    assert train(config, RunSettings(replace(data, clips=5), tmp_path / "out"), lambda _: None).step == 1
