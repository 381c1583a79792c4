"""Smaller clips show the same world: points stay on their rays, masks on their points, the first frame stays first."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from k4d_world_model.errors import ArchitectureError, TrainingError
from k4d_world_model.training.clip import TrainingClip
from k4d_world_model.training.coarser import coarser
from k4d_world_model.training.config import StageSettings, TrainingConfig
from k4d_world_model.wan.architecture import Architecture, CodecSize, TransformerSize
from k4d_world_model.wan.inputs import Inputs

SIZE = (2, 7, 12, 20)  # b, T, H, W


def batch() -> TrainingClip:
    torch.manual_seed(0)
    b, t, h, w = SIZE
    mask = torch.rand(b, t, h, w) > 0.5
    video, still = torch.rand(b, 3, t, h, w), torch.rand(b, 3, h, w)
    points = torch.where(mask[:, None], video, -1.0)
    inputs = Inputs(
        still, still + 1, torch.where(mask[:, None], video + 2, -1.0), points, mask, still + 3, still + 4, still + 5,
        torch.ones(b, 3), torch.zeros(b, 3), torch.rand(b, t, 2),
    )  # fmt: skip
    return TrainingClip(["a", "b"], torch.tensor([0, 1]), inputs, video, video + 6, mask)


def test_pixels_and_frames_are_sampled_together() -> None:
    whole = batch()
    small = coarser(whole, StageSettings(0.5, 3, 4, 10))
    rows, columns = np.arange(4) * 3 + 1, np.arange(10) * 2 + 1
    frames = [0, 3, 6]
    assert torch.equal(small.rgb, whole.rgb[:, :, frames][..., rows, :][..., columns])
    assert torch.equal(small.points, small.rgb + 6)
    assert torch.equal(small.valid, whole.valid[:, frames][..., rows, :][..., columns])
    inputs = small.inputs
    assert torch.equal(inputs.robot_mask, small.valid)
    assert torch.equal(inputs.robot_points, torch.where(inputs.robot_mask[:, None], small.rgb, -1.0))
    assert torch.equal(inputs.robot_rgb, torch.where(inputs.robot_mask[:, None], small.rgb + 2, -1.0))
    first = whole.inputs.first_rgb[..., rows, :][..., columns]
    for part, shift in ((inputs.first_rgb, 0), (inputs.first_points, 1), (inputs.background_rgb, 3)):
        assert torch.equal(part, first + shift)
    assert torch.equal(inputs.background_points, first + 4)
    assert torch.equal(inputs.rays, first + 5)
    assert torch.equal(inputs.actions, whole.inputs.actions[:, frames])


def config() -> TrainingConfig:
    architecture = Architecture(
        13, 32, 48, head="velocity", codec=CodecSize("pixels", 8, 4, 768),
        transformer=TransformerSize((1, 2, 2), 1, 12, 24, 1, 16, 0),
    )  # fmt: skip
    return TrainingConfig("small", architecture)


def test_stages_follow_the_budget() -> None:
    early, late = StageSettings(0.5, 3, 16, 32), StageSettings(0.8, 1, 16, 32)
    run = replace(config(), stages=(early, late))
    assert [run.stage(done) for done in (0.0, 0.49, 0.5, 0.79, 0.8, 1.0)] == [early, early, late, late, None, None]
    assert config().stage(0.0) is None


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((StageSettings(0.5, 1, 16, 32), StageSettings(0.4, 1, 16, 32)), "one after the other"),
        ((StageSettings(0.5, 5, 16, 32),), "must divide 12"),
    ],
)
def test_stages_that_cannot_be_are_refused(stages: tuple[StageSettings, ...], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        replace(config(), stages=stages)


def test_a_stage_must_fit_the_transformer() -> None:
    with pytest.raises(ArchitectureError, match="width must be a multiple of 16"):
        replace(config(), stages=(StageSettings(0.5, 3, 16, 24),))
    with pytest.raises(ArchitectureError, match="frames must be"):
        replace(config(), stages=(StageSettings(0.5, 6, 16, 32),))


@pytest.mark.parametrize("change", [{"until": 0.0}, {"until": 1.1}, {"frame_step": 0}, {"height": 0}])
def test_a_stage_checks_itself(change: dict[str, float]) -> None:
    with pytest.raises(TrainingError, match="a stage needs"):
        StageSettings(**{"until": 0.5, "frame_step": 1, "height": 16, "width": 32, **change})
