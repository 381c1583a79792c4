"""Kinema4D's world model behind the protocol: encode, sample, decode, recover metres."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from k4d_kinematics import read_configuration
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.normalization import Normalization, normalised_pictures
from k4d_world_model.errors import OutOfMemoryError, WorldModelError
from k4d_world_model.prediction import Measurement, check_visible, installed_versions, rollout_of
from k4d_world_model.preparation import prepare
from k4d_world_model.rollout import Provenance, Rollout
from k4d_world_model.wan import preflight
from k4d_world_model.wan.acceleration import (
    DTYPES,
    accelerate,
    check_switches,
    cpu_threads,
    find_device,
    loading_device,
)
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.checkpoint import Parts, load_checkpoint, read_architecture
from k4d_world_model.wan.codec import decode_pair
from k4d_world_model.wan.encoding import encode
from k4d_world_model.wan.inputs import Inputs
from k4d_world_model.wan.lora import Lora
from k4d_world_model.wan.published import load_published
from k4d_world_model.wan.sampler import check_guidance, sample
from k4d_world_model.wan.vae_codec import WanVaeCodec
from k4d_world_model.world_model import OnStep
from k4d_world_model.world_model_config import SamplingConfig, WorldModelConfig

# What allocators that are no torch.OutOfMemoryError say.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


class WanWorldModel:
    """A loaded world model. It predicts one rollout at a time; callers that share it take turns."""

    def __init__(self, config: WorldModelConfig, parts: Parts) -> None:
        """Takes loaded parts and sets the runtime's switches on them.

        Raises AccelerationError for switches that cannot be set, SamplingError for guidance that the model cannot do.
        """
        check_guidance(config.sampling.guidance, parts.architecture)
        self._config = config
        self._device = find_device(config.runtime.device)
        self._architecture = parts.architecture
        self._weights_sha256 = parts.weights_sha256
        self._parts: Parts | None = parts
        accelerate(parts.transformer, config.runtime, self._device)
        if config.runtime.offload == "none":
            for module in _encoders(parts):
                module.to(self._device)

    @classmethod
    def open(cls, config: WorldModelConfig, folder: Path, *, device: str | None = None) -> "WanWorldModel":
        """The model of a configuration whose paths are relative to ``folder``. ``device`` replaces its own.

        Raises ConfigurationError, CheckpointError, AccelerationError, SamplingError, and OutOfMemoryError before
        anything is allocated where the estimate does not fit the device.
        """
        runtime = replace(config.runtime, device=device or config.runtime.device)
        place, dtype = find_device(runtime.device), DTYPES[runtime.dtype]
        check_switches(runtime, place)
        if config.checkpoint:
            architecture = read_architecture(folder / config.checkpoint)
        else:
            architecture = read_configuration(folder / config.architecture, Architecture)
        check_guidance(config.sampling.guidance, architecture)
        preflight.check(architecture, runtime, place)
        loras = [Lora(folder / name, scale) for name, scale in zip(runtime.loras, runtime.lora_scales, strict=True)]
        first, tiling = loading_device(runtime, place), runtime.vae_tiling
        with _named_memory_errors(runtime.device):
            if config.checkpoint:
                parts = load_checkpoint(
                    folder / config.checkpoint, device=first, dtype=dtype, loras=loras, vae_tiling=tiling
                )
            else:
                base, adapter = folder / config.base, folder / config.adapter
                parts = load_published(
                    base, adapter, architecture, device=first, dtype=dtype, loras=loras, vae_tiling=tiling
                )
            return cls(replace(config, runtime=runtime), parts)

    @property
    def config(self) -> WorldModelConfig:
        """See ``WorldModel``."""
        return self._config

    @property
    def architecture(self) -> Architecture:
        """What travels with its weights."""
        return self._architecture

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """See ``WorldModel``."""
        return self._architecture.frames, self._architecture.height, self._architecture.width

    @property
    def weights_sha256(self) -> str:
        """See ``WorldModel``."""
        return self._weights_sha256

    def predict(
        self, conditioning: Conditioning, *, seed: int, on_step: OnStep | None = None, steps: int | None = None
    ) -> Rollout:
        """See ``WorldModel``. The robot must cover SMALLEST_ROBOT_PART of the clip's pixels.

        Raises PredictionError, too, for output that is not finite, and WorldModelError after ``close``.
        """
        if self._parts is None:
            raise WorldModelError(f"{self._config.name} was closed; open it again to predict")
        sampling = self._config.sampling if steps is None else replace(self._config.sampling, steps=steps)
        threads = cpu_threads(self._config.runtime.threads)
        with _named_memory_errors(self._config.runtime.device), Measurement(self._device) as measured, threads:
            rgb, points, normalization = self._predict_normalised(self._parts, conditioning, sampling, seed, on_step)
        provenance = Provenance(
            model_name=self._config.name,
            weights_sha256=self._weights_sha256,
            robot_sha256=conditioning.robot_sha256,
            seed=seed,
            steps=sampling.steps,
            guidance=sampling.guidance,
            device=self._device_name(),
            computation_time=measured.seconds,
            peak_memory_bytes=measured.peak_memory_bytes,
            versions=installed_versions(),
        )
        is_metric = self._architecture.normalization == "fixed"
        return rollout_of(rgb, points, normalization, conditioning, provenance, is_metric=is_metric)

    def with_frames(self, frames: int) -> "WanWorldModel":
        """See ``WorldModel``. Raises WorldModelError after ``close``."""
        if self._parts is None:
            raise WorldModelError(f"{self._config.name} was closed; open it again to predict")
        twin = copy(self)  # not made anew: the runtime's switches are set on the weights already
        twin._architecture = replace(self._architecture, frames=frames)
        twin._parts = self._parts._replace(architecture=twin._architecture)
        return twin

    @torch.no_grad()
    def latents(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Normalised latents (1, c, t, h, w) that its codec makes of pictures (T, H, W, 3), on the CPU.

        Raises ArchitectureError for pictures that do not divide into cells, and WorldModelError after ``close``.
        """
        if self._parts is None:
            raise WorldModelError(f"{self._config.name} was closed; open it again to encode")
        video = torch.from_numpy(normalised_pictures(rgb)).to(self._device)
        with self._at_work(*_encoders(self._parts)[:1]):
            return self._parts.codec.encode(video[None]).float().cpu()

    def close(self) -> None:
        """See ``WorldModel``."""
        self._parts = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.no_grad()
    def _predict_normalised(
        self, parts: Parts, conditioning: Conditioning, sampling: SamplingConfig, seed: int, on_step: OnStep | None
    ) -> tuple[Tensor, Tensor, Normalization]:
        """Pictures and normalised points (3, T, H, W) on the CPU, and what makes metres of them."""
        check_visible(conditioning)
        prepared, normalization = prepare(conditioning, parts.architecture)
        inputs = Inputs(*(tensor.to(self._device) for tensor in prepared))
        with self._at_work(*_encoders(parts)):
            encoded = encode(inputs, parts.architecture, parts.codec, parts.image_encoder)
        with self._at_work(*([parts.transformer] if self._config.runtime.offload == "model" else [])):
            latents = sample(
                parts.transformer, encoded, parts.architecture, parts.codec, sampling, seed=seed, on_step=on_step
            )
        with self._at_work(*_encoders(parts)[:1]):
            rgb, points = decode_pair(latents, parts.architecture, parts.codec)
        return rgb[0].cpu(), points[0].cpu(), normalization

    @contextmanager
    def _at_work(self, *modules: nn.Module) -> Iterator[None]:
        """Has modules that are offloaded on the device inside the block."""
        moved = modules if self._config.runtime.offload != "none" else ()
        try:
            for module in moved:
                module.to(self._device)
            yield
        finally:
            for module in moved:
                module.to("cpu")

    def _device_name(self) -> str:
        if self._device.type == "cuda":
            return f"{self._device} ({torch.cuda.get_device_name(self._device)})"
        return str(self._device)


def _encoders(parts: Parts) -> list[nn.Module]:
    """What has weights besides the transformer, the codec first."""
    codec = [parts.codec.vae] if isinstance(parts.codec, WanVaeCodec) else []
    return [*codec, *([parts.image_encoder.model] if parts.image_encoder else [])]


@contextmanager
def _named_memory_errors(device: str) -> Iterator[None]:
    """Turns what allocators raise into OutOfMemoryError, and lets go of the memory that the failed frames hold."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_named = not isinstance(error, torch.OutOfMemoryError | MemoryError)
        if is_named and not any(text in str(error) for text in _OUT_OF_MEMORY):
            raise
        traceback.clear_frames(error.__traceback__)
        reason = str(error).splitlines()[0] if str(error) else "no more is known"
        raise OutOfMemoryError(
            f"{device} ran out of memory ({reason}); runtime switches that need less: offload: model or group (CUDA), "
            "quantization: fp8_storage, vae_tiling: true, dtype: bfloat16"
        ) from error
