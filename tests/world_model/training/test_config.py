"""The presets say what they promise, and contradictions are refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from k4d_kinematics import read_configuration
from k4d_world_model.errors import TrainingError
from k4d_world_model.training.config import (
    AugmentationSettings,
    BudgetSettings,
    LoraSettings,
    LossSettings,
    OptimiserSettings,
    ScheduleSettings,
    StageSettings,
    TrainingConfig,
)
from k4d_world_model.wan.architecture import Architecture

from .conftest import ARCHITECTURE, PLAIN

PRESETS = Path(__file__).parents[3] / "config" / "training"


def test_the_published_preset_is_the_published_run() -> None:
    preset = read_configuration(PRESETS / "wan14b_lora.yaml", TrainingConfig)
    assert preset.architecture == Architecture(frames=49, height=480, width=720)
    assert preset.lora == LoraSettings(64, 32.0, ("to_q", "to_k", "to_v", "to_out.0"))
    assert preset.optimiser == OptimiserSettings(2e-5, (0.9, 0.95), 1e-8, 1e-4, 1.0)
    assert (preset.schedule.kind, preset.schedule.warm_up) == ("constant", 100)
    assert preset.loss == LossSettings("velocity", soft_mask_share=0.1)
    assert preset.augmentation == AugmentationSettings()
    assert (preset.batch_size, preset.gradient_checkpointing, preset.mixed_precision) == (1, True, "bf16")
    assert preset.architecture.train_shift == 1.0


def test_the_tiny_preset_needs_no_gpu_and_no_download() -> None:
    preset = read_configuration(PRESETS / "tiny.yaml", TrainingConfig)
    architecture = preset.architecture
    assert (architecture.frames, architecture.codec.kind, architecture.transformer.image_dim) == (49, "pixels", 0)
    assert architecture.height * 3 == architecture.width * 2
    assert architecture.height >= 96
    assert (preset.mixed_precision, preset.base, preset.export_dtype) == ("auto", "", "float16")
    assert not architecture.reads_noise


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size and accumulation must be at least 1, got 0"),
        ({"ema_decay": 1.0}, "ema_decay must be in"),
        ({"architecture": replace(ARCHITECTURE, reads_noise=False)}, "noise_only_share and sampling.steps must be 1"),
        ({"stages": (StageSettings(0.5, 3),)}, "frame_step must divide 8, so that the last frame is shown, got 3"),
        ({"stages": (StageSettings(0.5, 2), StageSettings(0.4, 1))}, "must end one after the other"),
        ({"adapter": "adapter"}, "'adapter' needs the base"),
        ({"base": "base", "start": "model"}, "starts from a base or from 'model', not from both"),
        ({"lora": LoraSettings(4)}, "belong together"),
        ({"base": "base", "lora": LoraSettings(4)}, "belong together"),
        (
            {
                "architecture": replace(PLAIN, prior="first_frame", head="velocity"),
                "loss": LossSettings(changed_weight=2.0),
            },
            "changed_weight needs the prior",
        ),
        (
            {
                "architecture": replace(ARCHITECTURE, condition="actions", action_size=7),
                "augmentation": AugmentationSettings(flip=True),
            },
            "cannot mirror joint positions",
        ),
        (
            {
                "architecture": replace(ARCHITECTURE, condition="text", action_size=7),
                "augmentation": AugmentationSettings(permute_colours=True),
            },
            "words of sides and colours wrong",
        ),
    ],
)
def test_contradictions_are_refused(config, changes, message) -> None:
    with pytest.raises(TrainingError, match=message):
        replace(config, **changes)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LoraSettings(rank=-1), "rank >= 0"),
        (lambda: OptimiserSettings(learning_rate=0.0), "learning_rate"),
        (lambda: OptimiserSettings(betas=(0.9, 1.0)), "betas within"),
        (lambda: OptimiserSettings(weight_decay=-1.0), "weight_decay"),
        (lambda: ScheduleSettings(hold_share=1.0), "hold_share"),
        (lambda: LossSettings(noise_only_share=1.5), "noise_only_share must be within"),
        (lambda: LossSettings(changed_thresholds=(0.0, 1.0)), "changed_thresholds"),
        (lambda: BudgetSettings(steps=-1), "steps must be at least 0, got -1"),
    ],
)
def test_values_out_of_range_are_refused(build, message) -> None:
    with pytest.raises(TrainingError, match=message):
        build()
