"""Sampling: the published pipeline's numbers, flows with a known end, seeds, steps and caches."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FirstBlockCacheConfig
from einops import repeat

from k4d_world_model.errors import CanceledError, SamplingError
from k4d_world_model.wan.encoding import Encoded
from k4d_world_model.wan.sampler import initial_noise, make_scheduler, sample
from k4d_world_model.world_model_config import SamplingConfig


@pytest.fixture(scope="module")
def encoded(pipeline, published) -> Encoded:
    """What the published pipeline encoded, in its first step's terms."""
    latents = pipeline["in.condition_latents"]
    mask = torch.zeros(1, 4, 13, 16, 32)
    mask[:, :, 0, :, :16], mask[:, :, 0, :, 16:] = 1.0, 0.5
    robot = torch.cat(
        [repeat(pipeline["in.robot_mask_u8"].float(), "b 1 t h w -> b 4 t h w"), pipeline["in.robot_latents"]], dim=1
    )
    picture = pipeline["in.image_u8"].permute(2, 0, 1)[None] / 127.5 - 1.0
    return Encoded(torch.cat([mask, latents], dim=1), robot, published.image_encoder(picture), None, None)


def run(published, encoded: Encoded, seed: int = 42, on_step=None, **sampling) -> torch.Tensor:
    config = SamplingConfig(**{"steps": 3, **sampling})
    parts = (published.transformer, encoded, published.architecture, published.codec, config)
    return sample(*parts, seed=seed, on_step=on_step)


@pytest.mark.parametrize(("guidance", "figure"), [("none", "guidance1"), ("official", "official_guidance5")])
def test_three_steps_give_the_published_pipelines_latents(published, encoded, pipeline, guidance, figure) -> None:
    latents = run(published, encoded, guidance=guidance)
    assert latents.shape == (1, 16, 13, 16, 32)
    expected = pipeline[f"out.{figure}"]
    error = torch.linalg.norm(latents[..., ::3, ::3] - expected) / torch.linalg.norm(expected)
    assert error < 1e-5


def test_one_pass_stands_for_the_two_published_ones_to_first_order(published, encoded) -> None:
    """The smaller the robot's projection, the better one pass of gain -3 gives 5 f(P) - 4 f(2 P)."""
    weak = with_weaker_projection(published, 0.01)
    official, fast, none = (run(weak, encoded, guidance=name) for name in ("official", "official_fast", "none"))
    assert torch.linalg.norm(fast - official) < 0.1 * torch.linalg.norm(none - official)


def with_weaker_projection(published, factor: float):
    transformer = copy.deepcopy(published.transformer)
    with torch.no_grad():
        for parameter in transformer.robot_projection.parameters():
            parameter.mul_(factor)
    return published._replace(transformer=transformer)


def test_noise_and_noise_levels_are_the_published_ones(encoded, pipeline) -> None:
    noise = initial_noise(encoded.channels, 42)
    assert torch.equal(noise[..., ::3, ::3], pipeline["mid.init_latents"])
    scheduler = make_scheduler(SamplingConfig(steps=3))
    assert torch.allclose(scheduler.sigmas, pipeline["mid.sigmas"], atol=1e-7)
    assert torch.equal(scheduler.timesteps.float(), pipeline["mid.timesteps"])


class StraightFlow(torch.nn.Module):
    """Stands for a transformer that knows where every latent ends: velocity (x - end) / sigma."""

    def __init__(self, real, end: torch.Tensor, sigmas: list[float]) -> None:
        super().__init__()
        self.real, self.end, self.sigmas = real, end, list(sigmas)
        self.context, self.inject, self.cache_context = real.context, real.inject, real.cache_context
        self._reset_stateful_cache, self.dtype = real._reset_stateful_cache, real.dtype

    def forward(self, states, timestep, context, return_dict, hints=None):
        return ((states[:, : self.end.shape[1]] - self.end) / self.sigmas.pop(0),)


@pytest.mark.parametrize("scheduler", ["unipc", "euler"])
@pytest.mark.parametrize(("steps", "shift"), [(1, 1.0), (4, 3.0), (7, 0.5)])
def test_a_straight_flow_ends_where_it_leads(published, encoded, scheduler, steps, shift) -> None:
    sampling = SamplingConfig(steps=steps, scheduler=scheduler, flow_shift=shift)
    linear = np.linspace(0.999 if scheduler == "unipc" else 1.0, 0.0, steps + 1)[:-1]
    sigmas = shift * linear / (1 + (shift - 1) * linear)
    assert np.allclose(make_scheduler(sampling).sigmas[:-1], sigmas, atol=2e-6)
    end = torch.randn(1, 16, 13, 16, 32, generator=torch.Generator().manual_seed(5))
    flow = published._replace(transformer=StraightFlow(published.transformer, end, sigmas))
    latents = run(flow, encoded, steps=steps, scheduler=scheduler, flow_shift=shift)
    assert torch.allclose(latents, end, atol=1e-3)


def test_many_steps_share_a_whole_timestep_and_are_all_taken(published, encoded) -> None:
    scheduler = make_scheduler(SamplingConfig(steps=900))
    assert scheduler.timesteps[0] == scheduler.timesteps[1] == 999
    latents = torch.zeros(1)
    scheduler.step(latents, scheduler.timesteps[0], latents)
    assert scheduler.step_index == 1


def test_a_seed_gives_the_same_latents_again_and_another_seed_others(published, encoded) -> None:
    first, again, other = (run(published, encoded, seed=seed, steps=2) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_a_cache_does_not_reach_the_next_rollout(published, encoded) -> None:
    """With a threshold that skips whatever may be skipped, a rollout is the same after another one of other noise."""
    published.transformer.enable_cache(FirstBlockCacheConfig(threshold=1e6))
    try:
        first = run(published, encoded, seed=7)
        run(published, encoded, seed=8, steps=2)
        again = run(published, encoded, seed=7)
    finally:
        published.transformer.disable_cache()
    assert torch.equal(first, again)
    assert not torch.equal(first, run(published, encoded, seed=7))


def test_steps_are_counted_from_before_the_first_to_after_the_last(published, encoded) -> None:
    calls = []
    run(published, encoded, on_step=lambda *call: calls.append(call))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("last", [0, 2])
def test_a_prediction_can_be_cancelled_at_any_step(published, encoded, last) -> None:
    evaluations = []
    hook = published.transformer.register_forward_hook(lambda *call: evaluations.append(1))

    def cancel(step: int, total: int) -> None:
        if step == last:
            raise CanceledError(f"cancelled at {step} of {total}")

    with pytest.raises(CanceledError, match=f"cancelled at {last} of 3"):
        run(published, encoded, on_step=cancel)
    hook.remove()
    assert len(evaluations) == last


def test_published_guidance_is_refused_where_it_means_nothing(published, encoded) -> None:
    untold = published._replace(architecture=replace(published.architecture, condition="none"))
    with pytest.raises(SamplingError, match="got the head 'velocity' and the condition 'none'"):
        run(untold, encoded, guidance="official")


def test_latents_that_are_no_numbers_are_an_error(published, encoded) -> None:
    broken = encoded._replace(channels=encoded.channels * float("nan"))
    with pytest.raises(SamplingError, match=r"after 1 steps of torch\.float32"):
        run(published, broken, steps=1)


def test_half_precision_weights_give_latents_close_to_the_exact_ones(published, encoded) -> None:
    low = published.transformer.__class__.from_config(published.transformer.config)
    low.load_state_dict(published.transformer.state_dict())
    for name, parameter in low.named_parameters():
        if not set(low._keep_in_fp32_modules) & set(name.split(".")):
            parameter.data = parameter.data.bfloat16()
    latents, exact = (run(parts, encoded) for parts in (published._replace(transformer=low.eval()), published))
    assert latents.dtype == torch.float32
    assert 0 < torch.linalg.norm(latents - exact) < 0.05 * torch.linalg.norm(exact)
