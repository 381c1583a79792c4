"""How a world model is run: which weights, how it samples, and what it trades for memory and speed."""

from dataclasses import dataclass, field
from typing import Literal

from k4d_world_model.errors import SamplingError, WorldModelError

Guidance = Literal["none", "official", "official_fast"]


@dataclass(frozen=True)
class SamplingConfig:
    """How noise becomes a prediction.

    steps: evaluations of the transformer.
    scheduler: "euler" follows the flow in straight steps, "unipc" is the second-order solver of the published model.
    flow_shift: moves the noise levels towards noise; 1 spreads them evenly.
    guidance: "none" is what was trained: one pass a step. "official" repeats the published two passes, "official_fast"
        approaches them in one pass with the robot's latents weighted -3.

    Raises SamplingError on values out of range.
    """

    steps: int = 20
    scheduler: Literal["euler", "unipc"] = "unipc"
    flow_shift: float = 3.0
    guidance: Guidance = "none"

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise SamplingError(f"steps must be within 1..1000, got {self.steps}")
        if not self.flow_shift > 0:
            raise SamplingError(f"flow_shift must be above 0, got {self.flow_shift}")


@dataclass(frozen=True)
class RuntimeConfig:
    """What a model may trade for memory and speed; docs/performance.md says what each costs.

    device: as torch names it ("cpu", "cuda", "cuda:1"); nothing switches it in silence.
    dtype: of the transformer's weights and activations.
    quantization: of the blocks' weights, "fp8" and "int8" by torchao, "fp8_storage" by layerwise casting.
    offload: "model" keeps only the part at work on the device, "group" streams the transformer's blocks.
    attention: backend of diffusers' dispatcher, such as "native", "_native_cudnn", "flash", "sage".
    compile: whether torch.compile fuses the repeated block.
    cache: "first_block" skips the other blocks while the first one's output changes by less than ``cache_threshold``.
    vae_tiling: decodes in tiles: less memory, visible borders.
    loras: further LoRA files, relative to the configuration's folder, fused with ``lora_scales``; few-step LoRAs go
        here.
    threads: of torch on the CPU; 0 leaves what torch chose.

    Raises WorldModelError on values out of range.
    """

    device: str = "cuda"
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    quantization: Literal["none", "fp8", "fp8_storage", "int8"] = "none"
    offload: Literal["none", "model", "group"] = "none"
    attention: str = "native"
    compile: bool = False
    cache: Literal["none", "first_block"] = "none"
    cache_threshold: float = 0.05
    vae_tiling: bool = False
    loras: tuple[str, ...] = ()
    lora_scales: tuple[float, ...] = ()
    threads: int = 0

    def __post_init__(self) -> None:
        if len(self.loras) != len(self.lora_scales):
            raise WorldModelError(f"lora_scales must be as many as loras ({len(self.loras)}), got {self.lora_scales}")
        if self.cache_threshold <= 0:
            raise WorldModelError(f"cache_threshold must be above 0, got {self.cache_threshold}")
        if self.threads < 0:
            raise WorldModelError(f"threads must be at least 0, got {self.threads}")


@dataclass(frozen=True)
class WorldModelConfig:
    """A world model, as config/world_models/*.yaml describes it.

    name: what reports call it.
    model: "wan" is the transformer, at any size; "frozen_world" is the baseline that moves only the robot.
    checkpoint: folder in this project's own layout, relative to the configuration's file; empty where ``base`` and
        ``adapter`` name a published one.
    base: folder of Wan2.1-I2V in diffusers' layout. adapter: folder with added_weights.safetensors and
        pytorch_lora_weights.safetensors. architecture: YAML of what the published folders do not say.
    frames, height, width: what ``frozen_world`` predicts; a checkpoint knows its own, and 0 stands for that.
    """

    name: str
    model: Literal["wan", "frozen_world"] = "wan"
    checkpoint: str = ""
    base: str = ""
    adapter: str = ""
    architecture: str = ""
    frames: int = 0
    height: int = 0
    width: int = 0
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        sizes = (self.frames, self.height, self.width)
        if self.model == "frozen_world" and min(sizes) < 1:
            raise WorldModelError(f"frozen_world needs frames, height and width of at least 1, got {sizes}")
        if self.model == "wan" and bool(self.checkpoint) == bool(self.base and self.adapter and self.architecture):
            raise WorldModelError(
                "a wan model needs either a checkpoint, or base, adapter and architecture, got "
                f"checkpoint={self.checkpoint!r}, base={self.base!r}, adapter={self.adapter!r}, "
                f"architecture={self.architecture!r}"
            )
