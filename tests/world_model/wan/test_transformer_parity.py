"""The transformer with the published weights gives the published model's numbers."""

import torch

from k4d_world_model.wan.transformer import IMAGE_TOKENS


def difference(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    assert mine.shape == theirs.shape
    return float((mine - theirs).abs().max())


def injected(transformer, figures, times: int) -> torch.Tensor:
    states = figures["in.hidden_states"]
    channels = states[:, 16:]
    for _ in range(times):
        channels = transformer.inject(channels, figures["in.arm_cond"])
    return torch.cat([states[:, :16], channels], dim=1)


@torch.no_grad()
def test_what_enters_the_blocks_is_the_published_models(official, figures) -> None:
    states = injected(official, figures, 1)
    assert torch.equal(states[..., ::3, ::3], figures["mid.hidden_states_after_injection"])
    # The figure was taken before the domains' vectors are added.
    patches = (
        official.patch_embedding(states) - official.patch_embedding.domain.repeat_interleave(8, 0).T[:, None, None]
    )
    assert difference(patches[..., ::3, ::3], figures["mid.patch_embedding"]) < 1e-5
    context = official.context(figures["in.arm_cond"], figures["in.image_embeds"])
    assert context.shape == (1, IMAGE_TOKENS + 13 * 4 * 6, 32)
    assert difference(context[:, :IMAGE_TOKENS][:, ::7], figures["mid.image_tokens"]) < 1e-5
    assert difference(context[:, IMAGE_TOKENS:][:, ::7], figures["mid.robot_tokens"]) < 1e-5


@torch.no_grad()
def test_every_block_and_the_output_are_the_published_models(official, figures) -> None:
    blocks = []
    hooks = [block.register_forward_hook(lambda *call: blocks.append(call[-1])) for block in official.blocks]
    inputs = (figures["in.timestep"], figures["in.arm_cond"], figures["in.image_embeds"])
    output = official(figures["in.hidden_states"], *inputs, return_dict=False)[0]
    for hook in hooks:
        hook.remove()
    for index, block in enumerate(blocks):
        assert difference(block[:, ::7], figures[f"mid.block{index}"]) < 1e-5
    assert difference(output[..., ::3, ::3], figures["out.sample"]) < 1e-5


@torch.no_grad()
def test_injecting_twice_gives_the_second_pass_of_the_published_guidance(official, figures) -> None:
    inputs = (figures["in.timestep"], figures["in.arm_cond"], figures["in.image_embeds"])
    output = official(injected(official, figures, 1), *inputs, return_dict=False)[0]
    assert difference(output[..., ::3, ::3], figures["out.sample_second_pass"]) < 1e-5
    doubled = official.inject(figures["in.hidden_states"][:, 16:], figures["in.arm_cond"], gain=2.0)
    assert difference(doubled, injected(official, figures, 2)[:, 16:]) < 1e-6


@torch.no_grad()
def test_context_and_injection_done_once_change_no_bit(official, figures) -> None:
    robot, images = figures["in.arm_cond"], figures["in.image_embeds"]
    within = official(figures["in.hidden_states"], figures["in.timestep"], robot, images, return_dict=False)[0]
    before = official(
        injected(official, figures, 1), figures["in.timestep"], official.context(robot, images), return_dict=False
    )[0]
    assert torch.equal(within, before)


@torch.no_grad()
def test_the_input_is_left_as_it_was(official, figures) -> None:
    states = figures["in.hidden_states"].clone()
    official(states, figures["in.timestep"], figures["in.arm_cond"], figures["in.image_embeds"])
    assert torch.equal(states, figures["in.hidden_states"])
