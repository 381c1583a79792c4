"""How a world model is trained: the schema of config/training/*.yaml."""

from dataclasses import dataclass, field, replace
from typing import Literal

from k4d_world_model.errors import TrainingError
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.world_model_config import SamplingConfig

# What clips that were encoded beforehand can tell a model.
_OF_LATENTS = {
    "condition": ("robot_rgb_and_pointmap", "robot_pointmap", "robot_rgb", "robot_mask"),
    "first_frame_geometry": ("ramp",),
    "normalization": ("scene",),
    "robot_pictures": ("masked",),
    "prior": ("first_frame",),
    "head": ("velocity",),
}


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters of the transformer's linear layers whose names end in one of ``targets``.

    rank: 0 trains all weights instead. alpha: adapters are weighed alpha / rank.
    """

    rank: int = 0
    alpha: float = 32.0
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")

    def __post_init__(self) -> None:
        if self.rank < 0 or not self.alpha > 0 or not self.targets:
            raise TrainingError(f"lora needs rank >= 0, alpha > 0 and targets, got {self}")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW. ``gradient_clip`` is the largest norm of the gradient, 0 for none."""

    learning_rate: float = 2e-5
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 1e-4
    gradient_clip: float = 1.0

    def __post_init__(self) -> None:
        if not self.learning_rate > 0 or not all(0 <= beta < 1 for beta in self.betas) or not self.eps > 0:
            raise TrainingError(f"learning_rate and eps must be above 0, betas within [0, 1), got {self}")
        if self.weight_decay < 0 or self.gradient_clip < 0:
            raise TrainingError(f"weight_decay and gradient_clip must be at least 0, got {self}")


@dataclass(frozen=True)
class ScheduleSettings:
    """The learning rate over a run: up over ``warm_up`` steps, then constant, or along a cosine to ``final_share``.

    hold_share: part of the budget after which the cosine sets in.
    """

    kind: Literal["constant", "cosine"] = "constant"
    warm_up: int = 100
    hold_share: float = 0.0
    final_share: float = 0.02

    def __post_init__(self) -> None:
        if self.warm_up < 0 or not 0 <= self.hold_share < 1 or not 0 <= self.final_share <= 1:
            raise TrainingError(f"warm_up must be >= 0, hold_share in [0, 1), final_share in [0, 1], got {self}")


@dataclass(frozen=True)
class LossSettings:
    """What is compared with the truth.

    kind: "velocity" of the flow; "clean" latents, which is the former weighted with sigma squared.
    noise_only_share: part of the samples that start from noise alone (sigma is exactly 1), for models of few steps.
    changed_weight: of latents that differ from the prior by more than ``changed_thresholds``, the picture's and the
        pointmap's, where the robot is not; 1 weighs all alike.
    modality_weights: of the picture's and of the pointmap's half.
    soft_mask_share: part of the robot mask's cells that are told as 0.5.
    """

    kind: Literal["velocity", "clean"] = "velocity"
    noise_only_share: float = 0.0
    changed_weight: float = 1.0
    changed_thresholds: tuple[float, float] = (0.08, 0.03)
    modality_weights: tuple[float, float] = (1.0, 1.0)
    soft_mask_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("noise_only_share", "soft_mask_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must be within [0, 1], got {getattr(self, name)}")
        if not self.changed_weight > 0 or not min(self.changed_thresholds) > 0 or min(self.modality_weights) < 0:
            raise TrainingError(
                f"changed_weight and changed_thresholds must be above 0, modality_weights at least 0, got {self}"
            )


@dataclass(frozen=True)
class AugmentationSettings:
    """Which variations of clips are learnt from: mirrored left to right, and with colour channels in another order."""

    flip: bool = False
    permute_colours: bool = False


@dataclass(frozen=True)
class StageSettings:
    """An early part of a run that learns from fewer frames of each clip, so that it sees many more of them.

    until: share of the budget after which it ends. frame_step: every so-manieth frame is shown, the first among them.
    """

    until: float
    frame_step: int

    def __post_init__(self) -> None:
        if not 0 < self.until <= 1 or self.frame_step < 1:
            raise TrainingError(f"a stage needs until in (0, 1] and frame_step of at least 1, got {self}")


@dataclass(frozen=True)
class BudgetSettings:
    """How long a run takes, and how often it reports. All in optimiser steps, but ``minutes`` of wall time.

    steps, minutes: the run ends with the first that is reached; 0 for no limit, but one must be given.
    checkpoint_every, validation_every, sheet_every: 0 for never; the end of a run does each of them once more.
    validation_clips: how many clips of the validation lists are looked at.
    """

    steps: int = 0
    minutes: float = 0.0
    checkpoint_every: int = 200
    validation_every: int = 200
    sheet_every: int = 1000
    validation_clips: int = 16

    def __post_init__(self) -> None:
        for name in ("steps", "minutes", "checkpoint_every", "validation_every", "sheet_every", "validation_clips"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{name} must be at least 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class TrainingConfig:
    """A training run, as config/training/*.yaml describes it.

    name: what the model will be called.
    architecture: of the model. Trained from scratch unless ``base`` and ``adapter`` name a published checkpoint's
        folders, relative to the configuration's file; an empty ``adapter`` starts a new one on the ``base``.
    start: folder, relative to the configuration's file, of a checkpoint of this architecture to learn on from.
    batch_size: clips a process and pass. accumulation: passes a step.
    mixed_precision: "auto" is bf16 on CUDA and none on the CPU, where it would be slower.
    ema_decay: of the weights' moving average, which is what is exported; 0 exports the weights themselves.
    fits_samples: whether samples of other sizes are scaled and longer ones thinned out evenly, or errors.
    loader_workers: processes that read clips ahead; 0 reads them between steps.
    export_dtype: of the finished model's weights; an adapter's are float32. sampling: how it samples.
    stages: from few frames to many, in order; after the last one, and without any, clips are whole.

    Raises TrainingError where the parts contradict each other.
    """

    name: str
    architecture: Architecture
    base: str = ""
    adapter: str = ""
    start: str = ""
    lora: LoraSettings = field(default_factory=LoraSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    stages: tuple[StageSettings, ...] = ()
    batch_size: int = 1
    accumulation: int = 1
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    ema_decay: float = 0.0
    seed: int = 0
    fits_samples: bool = False
    loader_workers: int = 0
    export_dtype: Literal["float16", "float32"] = "float32"

    def __post_init__(self) -> None:
        if (least := min(self.batch_size, self.accumulation)) < 1:
            raise TrainingError(f"batch_size and accumulation must be at least 1, got {least}")
        if not 0 <= self.ema_decay < 1 or self.loader_workers < 0 or self.seed < 0:
            raise TrainingError(
                f"ema_decay must be in [0, 1), loader_workers and seed at least 0, got {self.ema_decay}, "
                f"{self.loader_workers}, {self.seed}"
            )
        if self.start and self.base:
            raise TrainingError(f"a run starts from a base or from {self.start!r}, not from both")
        if self.adapter and not self.base:
            raise TrainingError(f"adapter {self.adapter!r} needs the base that it belongs to")
        if bool(self.base) != bool(self.lora.rank) or self.trains_on_latents != bool(self.base):
            raise TrainingError(
                "a published base, its codec 'wan_vae' and lora.rank > 0 belong together, got "
                f"base={self.base!r}, codec {self.architecture.codec.kind!r} and rank {self.lora.rank}"
            )
        if not self.architecture.reads_noise and (self.loss.noise_only_share != 1 or self.sampling.steps != 1):
            raise TrainingError(
                "a model that reads no noise learns and samples in one step: noise_only_share and sampling.steps must "
                f"be 1, got {self.loss.noise_only_share} and {self.sampling.steps}"
            )
        if self.loss.changed_weight != 1 and self.architecture.prior != "frozen_world":
            raise TrainingError("changed_weight needs the prior 'frozen_world', from which changes are told")
        if self.augmentation.flip and self.architecture.condition == "actions":
            raise TrainingError("augmentation.flip cannot mirror joint positions: turn it off for condition 'actions'")
        if self.architecture.condition == "text" and (self.augmentation.flip or self.augmentation.permute_colours):
            raise TrainingError(
                "augmentation.flip and augmentation.permute_colours make words of sides and colours wrong: turn them "
                "off for condition 'text'"
            )
        if self.trains_on_latents:
            self._check_latents()
        self._check_stages()

    def _check_latents(self) -> None:
        if self.augmentation.flip or self.augmentation.permute_colours:
            raise TrainingError("pictures that were encoded beforehand cannot be augmented: turn augmentation off")
        architecture = self.architecture
        for name, valid in _OF_LATENTS.items():
            if getattr(architecture, name) not in valid:
                raise TrainingError(
                    f"the codec 'wan_vae' trains on latents that were encoded beforehand, for which {name} must be one "
                    f"of {', '.join(valid)}, got {getattr(architecture, name)!r}"
                )

    def _check_stages(self) -> None:
        ends = [stage.until for stage in self.stages]
        if ends != sorted(set(ends)):
            raise TrainingError(f"stages must end one after the other, got until = {ends}")
        if self.stages and self.trains_on_latents:
            raise TrainingError("frames that were encoded beforehand cannot be left out: leave out the stages")
        for stage in self.stages:
            if (self.architecture.frames - 1) % stage.frame_step:
                raise TrainingError(
                    f"frame_step must divide {self.architecture.frames - 1}, so that the last frame is shown, "
                    f"got {stage.frame_step}"
                )
            frames = (self.architecture.frames - 1) // stage.frame_step + 1
            replace(self.architecture, frames=frames)

    def stage(self, done: float) -> StageSettings | None:
        """The stage of a run that has used the share ``done`` of its budget, None where clips are whole."""
        return next((stage for stage in self.stages if done < stage.until), None)

    @property
    def trains_on_latents(self) -> bool:
        """Whether clips are encoded once and for all; those of the codec "pixels" are encoded as they are read."""
        return self.architecture.codec.kind == "wan_vae"
