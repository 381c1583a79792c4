"""How much memory a model will need, from its numbers alone, and which switches would make it fit."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypedDict

import torch

from k4d_world_model.errors import OutOfMemoryError
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.parameters import count_parameters
from k4d_world_model.world_model_config import RuntimeConfig

GIB = 2**30

# Wan's autoencoder: its parameters, and bytes that decoding holds at a time per pixel and per byte of its type.
_VAE_PARAMETERS = 126_892_531
_VAE_BYTES = 5200
_TILE_PX = 256
# CLIP's ViT-H/14: 32 layers of 12 width^2 parameters and its embeddings.
_IMAGE_ENCODER_FACTOR = 385
# What allocators lose between blocks.
_MARGIN = 1.05


@dataclass(frozen=True)
class Estimate:
    """Bytes of a prediction on its device.

    transformer, codec, image_encoder: weights while each is at work. step: what one evaluation of the transformer
    holds beside its weights, decode: the codec's decoding alike. clips: pictures, points and latents of the rollout.
    keeps_all: whether the parts share the device, instead of taking turns.
    host: weights that wait in the machine's memory for their turn.
    """

    transformer: int
    codec: int
    image_encoder: int
    step: int
    decode: int
    clips: int
    keeps_all: bool
    host: int

    @property
    def peak(self) -> int:
        """The most that is needed at a time."""
        if self.keeps_all:
            needed = self.transformer + self.codec + self.image_encoder + max(self.step, self.decode)
        else:
            needed = max(self.transformer + self.step, self.codec + self.decode, self.image_encoder)
        return int(_MARGIN * (needed + self.clips))

    @property
    def text(self) -> str:
        """The parts in GiB for people."""
        parts = {
            "transformer": self.transformer, "one step": self.step, "codec": self.codec, "decoding": self.decode,
            "image encoder": self.image_encoder, "clips": self.clips,
        }  # fmt: skip
        shared = "together" if self.keeps_all else "one part at a time"
        return f"{', '.join(f'{name} {size / GIB:.2f}' for name, size in parts.items())} GiB, {shared}"


class Switches(TypedDict, total=False):
    """Values of RuntimeConfig that need less memory than others."""

    dtype: Literal["bfloat16"]
    offload: Literal["model", "group"]
    vae_tiling: bool
    quantization: Literal["fp8_storage"]


# Weights that can be streamed block by block.
_STREAMED = ("none", "fp8_storage")

# From what costs least to what costs most in time and exactness.
_SWITCHES: tuple[Switches, ...] = (
    {"dtype": "bfloat16"},
    {"offload": "model"},
    {"offload": "group"},
    {"vae_tiling": True},
    {"quantization": "fp8_storage"},
    {"offload": "model", "quantization": "fp8_storage"},
    {"offload": "group", "vae_tiling": True},
    {"dtype": "bfloat16", "offload": "group"},
    {"dtype": "bfloat16", "quantization": "fp8_storage"},
    {"quantization": "fp8_storage", "vae_tiling": True},
    {"dtype": "bfloat16", "offload": "group", "vae_tiling": True, "quantization": "fp8_storage"},
    {"dtype": "bfloat16", "vae_tiling": True, "quantization": "fp8_storage"},
)


def estimate(architecture: Architecture, runtime: RuntimeConfig) -> Estimate:
    """What a prediction needs with these switches. A compiled model needs less for its steps than is said here."""
    bytes_each = _bytes_each(runtime)
    pixels = architecture.frames * architecture.height * 2 * architecture.width
    is_vae = architecture.codec.kind == "wan_vae"
    codec = _VAE_PARAMETERS * bytes_each if is_vae else 0
    image_encoder = 4 * _IMAGE_ENCODER_FACTOR * architecture.transformer.image_dim**2
    whole = _transformer_bytes(architecture, replace(runtime, offload="none"))
    return Estimate(
        transformer=_transformer_bytes(architecture, runtime),
        codec=codec,
        image_encoder=image_encoder,
        step=_step_bytes(architecture, runtime),
        decode=_decode_bytes(architecture, runtime) if is_vae else 0,
        # Three float32 channels of both halves: inputs, condition video and output beside a VAE's small latents; the
        # codec "pixels" has latents, prior, noise and solver states of that size, too.
        clips=pixels * 12 * (4 if is_vae else 16),
        keeps_all=runtime.offload == "none",
        host=0 if runtime.offload == "none" else whole + codec + image_encoder,
    )


def check(
    architecture: Architecture, runtime: RuntimeConfig, device: torch.device, *, free: int | None = None
) -> Estimate:
    """The estimate, which fits ``free`` bytes; None asks the device.

    Raises OutOfMemoryError naming the switches that would make it fit.
    """
    needed, free = estimate(architecture, runtime), free_bytes(device) if free is None else free
    if needed.peak > free:
        raise OutOfMemoryError(
            f"{device} has {free / GIB:.2f} GiB free, and the model needs about {needed.peak / GIB:.2f} GiB "
            f"({needed.text}); {_remedies(architecture, runtime, device, free)}"
        )
    waiting = free_bytes(torch.device("cpu")) if needed.host else 0
    if needed.host > waiting:
        raise OutOfMemoryError(
            f"offload {runtime.offload!r} keeps {needed.host / GIB:.2f} GiB in the machine's memory, which has "
            f"{waiting / GIB:.2f} GiB free; quantization 'fp8_storage' halves it, offload 'none' needs none"
        )
    return needed


def free_bytes(device: torch.device) -> int:
    """Bytes that the device can still give; on the CPU what the kernel calls available."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise OutOfMemoryError("/proc/meminfo says nothing of MemAvailable, so that nobody knows what memory is free")


def switches_left(architecture: Architecture, runtime: RuntimeConfig, device: torch.device) -> list[tuple[str, int]]:
    """What may still be switched to save memory, and the estimated peak in bytes with it."""
    now, found = estimate(architecture, runtime).peak, []
    for switches in _SWITCHES:
        after = replace(runtime, **switches)
        peak = estimate(architecture, after).peak
        is_new = all(getattr(runtime, name) != value for name, value in switches.items())
        can_offload = device.type == "cuda" and (after.offload != "group" or after.quantization in _STREAMED)
        if is_new and peak < now and (can_offload or "offload" not in switches):
            found.append((" with ".join(f"{name}: {str(value).lower()}" for name, value in switches.items()), peak))
    return found


def _remedies(architecture: Architecture, runtime: RuntimeConfig, device: torch.device, free: int) -> str:
    left = switches_left(architecture, runtime, device)
    fitting = [f"{text} ({peak / GIB:.2f} GiB)" for text, peak in left if peak <= free]
    if fitting:
        return f"it would fit with one of these in its runtime: {'; '.join(fitting)}"
    if not left:
        return "every switch that saves memory is set already: give it a larger device or a smaller model"
    text, peak = min(left, key=lambda item: item[1])
    return f"no switch makes it fit; the least would be {peak / GIB:.2f} GiB with {text}"


def _bytes_each(runtime: RuntimeConfig) -> int:
    return 4 if runtime.dtype == "float32" else 2


def _transformer_bytes(architecture: Architecture, runtime: RuntimeConfig) -> int:
    count, each = count_parameters(architecture), _bytes_each(runtime)
    linear = count.linear * (each if runtime.quantization == "none" else 1)
    others = (count.other + count.outside) * each + count.exact * (4 - each)
    if runtime.offload == "group":
        # The block at work and the next one on its way.
        layers = architecture.transformer.num_layers
        return count.outside * each + 2 * (linear + count.other * each) // layers
    return linear + others


def _step_bytes(architecture: Architecture, runtime: RuntimeConfig) -> int:
    """The more of a block's two peaks: normalising in float32, and the feed-forward layer; as counted on its graph."""
    t, h, w = architecture.latent_grid
    size, each = architecture.transformer, _bytes_each(runtime)
    p_t, p_h, p_w = size.patch_size
    tokens = (t // p_t) * (h // p_h) * (2 * w // p_w)
    normalising = 5 * 4 + each
    feeding = each * (4 + 2 * size.ffn_dim / size.width)
    cached = 3 * each if runtime.cache == "first_block" else 0
    cast = max(size.ffn_dim, size.width) * size.width * each if runtime.quantization == "fp8_storage" else 0
    return int(tokens * size.width * (max(normalising, feeding) + cached) + cast)


def _decode_bytes(architecture: Architecture, runtime: RuntimeConfig) -> int:
    pixels = architecture.height * 2 * architecture.width
    at_once = min(pixels, _TILE_PX**2) if runtime.vae_tiling else pixels
    return _VAE_BYTES * _bytes_each(runtime) * at_once
