"""The noise of a diffusion policy: one schedule for training and for sampling, and chunks sampled with it."""

from typing import TypeVar

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.network import PolicyNetwork
from k4d_world_model.policy_evaluation.diffusion.tool_goals import TOOL_NUMBERS

S = TypeVar("S", DDPMScheduler, DDIMScheduler)

_LARGEST = 6.0  # of a goal's numbers: the workspace in units of the architecture's scale


def noise_schedule(kind: type[S], architecture: PolicyArchitecture) -> S:
    """The scheduler of ``kind`` for an architecture, whose network predicts goals without noise."""
    scheduler: S = kind(
        num_train_timesteps=architecture.diffusion_steps, beta_schedule="squaredcos_cap_v2", prediction_type="sample",
        clip_sample=True, clip_sample_range=_LARGEST,
    )  # fmt: skip
    return scheduler


@torch.no_grad()
def sample_goals(network: PolicyNetwork, seen: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """Goals (b, horizon, TOOL_NUMBERS) given what is encoded as seen (b, width), by DDIM in ``steps`` steps."""
    scheduler = noise_schedule(DDIMScheduler, network.architecture)
    scheduler.set_timesteps(steps)
    goals = torch.randn((len(seen), network.architecture.horizon, TOOL_NUMBERS), generator=generator)
    for level in scheduler.timesteps:
        clean = network.denoise(goals, level.expand(len(seen)), seen)
        goals = scheduler.step(clean, level, goals).prev_sample
    return goals
