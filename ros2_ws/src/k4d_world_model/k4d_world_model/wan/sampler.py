"""From noise to latents: a short loop around the transformer, with everything constant over its steps done before."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from torch import Tensor

from k4d_world_model.errors import SamplingError
from k4d_world_model.wan.architecture import MASK_CHANNELS, Architecture
from k4d_world_model.wan.codec import Codec
from k4d_world_model.wan.encoding import Encoded
from k4d_world_model.wan.head import clean_latents
from k4d_world_model.wan.robot_region import REGIONS
from k4d_world_model.wan.transformer import RobotWorldTransformer
from k4d_world_model.world_model_config import Guidance, SamplingConfig

Scheduler: TypeAlias = FlowMatchEulerDiscreteScheduler | UniPCMultistepScheduler


class Pass(NamedTuple):
    """One evaluation of the transformer: ``weight`` in their sum, ``gain`` of the robot's latents, name for caches."""

    name: str
    weight: float
    gain: float


# The published pipeline evaluates twice and weighs 5 to -4. Its second pass finds the robot's latents added to its
# input twice, since the first pass wrote into it. To first order that is one pass with the latents weighted -3.
PASSES: dict[Guidance, tuple[Pass, ...]] = {
    "none": (Pass("cond", 1.0, 1.0),),
    "official": (Pass("cond", 5.0, 1.0), Pass("uncond", -4.0, 2.0)),
    "official_fast": (Pass("cond", 1.0, -3.0),),
}


@torch.no_grad()
def sample(
    transformer: RobotWorldTransformer,
    encoded: Encoded,
    architecture: Architecture,
    codec: Codec,
    sampling: SamplingConfig,
    *,
    seed: int,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Noise-free latents (b, c, t, h, 2 w), float32, on the device of ``encoded``.

    Noise is drawn on the CPU, so that a seed means the same on every device. ``on_step(step, total)`` is called before
    the first and after every step; what it raises ends the loop. Raises SamplingError for guidance that the model does
    not know, and where the latents are not finite.
    """
    check_guidance(sampling.guidance, architecture)
    if not architecture.reads_noise and sampling.steps != 1:
        raise SamplingError(f"a model that is not shown its noisy latents predicts in 1 step, got {sampling.steps}")
    evaluate = _evaluation(transformer, encoded, sampling.guidance, reads_noise=architecture.reads_noise)
    scheduler = make_scheduler(sampling)
    latents = initial_noise(encoded.channels, seed)
    try:
        if on_step is not None:
            on_step(0, sampling.steps)
        for step, timestep in enumerate(scheduler.timesteps):
            output = evaluate(latents, timestep)
            sigma = scheduler.sigmas[step].to(latents.device)
            if architecture.head != "velocity":
                clean = clean_latents(output, latents, sigma.expand(len(latents)), encoded, architecture, codec)
                output = (latents - clean) / sigma
            latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
            if on_step is not None:
                on_step(step + 1, sampling.steps)
    finally:
        # Caches of diffusers keep a rollout's residuals for its next step; they must not reach the next rollout.
        transformer._reset_stateful_cache()
    if not latents.isfinite().all():
        raise SamplingError(f"latents must be finite, got others after {sampling.steps} steps of {transformer.dtype}")
    return latents


def check_guidance(guidance: Guidance, architecture: Architecture) -> None:
    """Raises SamplingError unless ``guidance`` means something for the model."""
    if guidance != "none" and (architecture.head != "velocity" or REGIONS[architecture.condition] is None):
        raise SamplingError(
            f"guidance {guidance!r} needs the head 'velocity' and a condition with robot latents, got the head "
            f"{architecture.head!r} and the condition {architecture.condition!r}; guidance 'none' fits every model"
        )


def initial_noise(channels: Tensor, seed: int) -> Tensor:
    """Standard normal latents (b, c, t, h, 2 w), float32, for mask and condition latents (b, 4 + c, t, h, 2 w)."""
    batch, conditions, *cells = channels.shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, conditions - MASK_CHANNELS, *cells, generator=generator).to(channels.device)


def make_scheduler(sampling: SamplingConfig) -> Scheduler:
    """A scheduler of diffusers set to its first step, with sigmas (steps + 1,) down to 0 and timesteps (steps,).

    "unipc" has the noise levels of the published pipeline, below 1 because the solver takes the logarithm of 1 - sigma;
    "euler" starts at 1.
    """
    scheduler: Scheduler
    if sampling.scheduler == "unipc":
        scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=sampling.flow_shift
        )
        first = 0.999
    else:
        scheduler = FlowMatchEulerDiscreteScheduler(shift=sampling.flow_shift)
        first = 1.0
    scheduler.set_timesteps(sigmas=np.linspace(first, 0.0, sampling.steps + 1)[:-1])
    # Without it the first step is looked up by its whole timestep, which many steps share.
    scheduler.set_begin_index(0)
    return scheduler


def _evaluation(
    transformer: RobotWorldTransformer, encoded: Encoded, guidance: Guidance, *, reads_noise: bool
) -> Callable[[Tensor, Tensor], Tensor]:
    """The transformer's output, float32, as a function of latents and timestep alone."""
    dtype = transformer.dtype
    robot, channels = encoded.robot.to(dtype), encoded.channels.to(dtype)
    images = None if encoded.image_embeddings is None else encoded.image_embeddings.to(dtype)
    context = transformer.context(robot, images)
    passes = [(item, transformer.inject(channels, robot, item.gain)) for item in PASSES[guidance]]

    def evaluate(latents: Tensor, timestep: Tensor) -> Tensor:
        outputs = []
        for item, injected in passes:
            states = torch.cat([latents.to(dtype), injected], dim=1) if reads_noise else injected
            timesteps = timestep.to(latents.device).expand(len(latents))
            with transformer.cache_context(item.name):
                output = transformer(states, timesteps, context, return_dict=False, hints=encoded.hints)[0]
            outputs.append(item.weight * output.float())
        return torch.stack(outputs).sum(dim=0)

    return evaluate
