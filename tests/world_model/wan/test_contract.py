"""The transformer told of robot pictures and pointmaps does what was published, said again in plain loops."""

import math

import pytest
import torch
from torch.nn import functional

from k4d_world_model.wan.architecture import Architecture, RobotTokenSize, TransformerSize
from k4d_world_model.wan.transformer import build_transformer

# Latents of t x h x w cells a half, 2 x 12 channels a token, robot patches of 3 cells.
T, H, W, HEADS, DEPTH, PATCH = 3, 6, 12, 2, 12, 3
WIDTH = HEADS * DEPTH
GRID = (T, H // PATCH, W // PATCH)


@pytest.fixture(scope="module")
def transformer():
    architecture = Architecture(
        frames=1 + 4 * (T - 1),
        height=8 * H,
        width=8 * W,
        transformer=TransformerSize((1, 2, 2), HEADS, DEPTH, 30, 1, 20, 10),
        robot_tokens=RobotTokenSize(PATCH, GRID),
    )
    built = build_transformer(architecture, 16).eval()
    draw = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    return built


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(12)
    mask = (torch.rand(1, 1, T, H, W, generator=draw) > 0.6).float().repeat(1, 4, 1, 1, 2)
    return {
        "states": torch.randn(1, 36, T, H, 2 * W, generator=draw),
        "robot": torch.cat([mask, torch.randn(1, 16, T, H, 2 * W, generator=draw)], dim=1),
        "images": torch.randn(1, 257, 10, generator=draw),
    }


def injected(transformer, inputs) -> torch.Tensor:
    """Robot latents, projected, added to the condition latents, and its mask put in place of theirs; not on frame 0."""
    states, weight = inputs["states"].clone(), transformer.robot_projection.weight
    for frame in range(1, T):
        for channel in range(16):
            projected = transformer.robot_projection.bias[channel].clone()
            for source in range(16):
                projected = projected + weight[channel, source] * inputs["robot"][0, 4 + source, frame]
            states[0, 20 + channel, frame] += projected
        states[0, 16:20, frame] = inputs["robot"][0, :4, frame]
    return states


@torch.no_grad()
def test_the_robot_enters_both_halves_of_every_frame_but_the_first(transformer, inputs) -> None:
    mine = transformer.inject(inputs["states"][:, 16:], inputs["robot"])
    assert torch.allclose(mine, injected(transformer, inputs)[:, 16:], atol=1e-5)
    assert torch.equal(mine[:, :, 0], inputs["states"][:, 16:, 0])


@torch.no_grad()
def test_a_gain_weighs_the_latents_but_not_the_mask(transformer, inputs) -> None:
    channels = inputs["states"][:, 16:]
    once, thrice = (transformer.inject(channels, inputs["robot"], gain) for gain in (1.0, -3.0))
    assert torch.allclose(thrice[:, 4:] - channels[:, 4:], -3 * (once[:, 4:] - channels[:, 4:]), atol=1e-5)
    assert torch.equal(thrice[:, :4], once[:, :4])


def reference_tokens(transformer, inputs) -> torch.Tensor:
    """Per patch: convolution, normalisation, GELU, its half's position and modality, projection; by t, then h, w."""
    robot, embedder = inputs["robot"][0], transformer.condition_embedder.text_embedder
    tokens = []
    for t in range(T):
        for row in range(GRID[1]):
            for column in range(2 * GRID[2]):
                cells = robot[:, t, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
                feature = torch.einsum("ochw,chw->o", embedder.patch.weight[:, :, 0], cells) + embedder.patch.bias
                feature = (feature - feature.mean()) / (feature.var(unbiased=False) + 1e-5).sqrt()
                feature = feature * embedder.norm.weight + embedder.norm.bias
                feature = feature * 0.5 * (1 + torch.erf(feature / math.sqrt(2)))
                half, place = divmod(column, GRID[2])
                feature = feature + embedder.position[0, :, t, row, place] + embedder.domain[half]
                tokens.append(embedder.projection.weight @ feature + embedder.projection.bias)
    return torch.stack(tokens)


@torch.no_grad()
def test_robot_tokens_follow_the_image_tokens(transformer, inputs) -> None:
    context = transformer.context(inputs["robot"], inputs["images"])
    images = transformer.condition_embedder.image_embedder(inputs["images"])
    assert torch.equal(context[:, :257], images)
    assert torch.allclose(context[0, 257:], reference_tokens(transformer, inputs), atol=1e-4)


@torch.no_grad()
def test_other_sizes_resample_the_features_and_never_the_positions(transformer) -> None:
    """Where all patches look alike, resampled features do too, and what is left of the differences is the table's."""
    embedder = transformer.condition_embedder.text_embedder
    robot = torch.ones(1, 20, T + 2, H + 5, 2 * (W + 7))
    tokens = embedder(robot).reshape(*GRID[:2], 2, GRID[2], WIDTH)
    table = torch.einsum("oc,cthw->thwo", embedder.projection.weight, embedder.position[0])
    for half in range(2):
        places = tokens[:, :, half]
        assert torch.allclose(places - places[0, 0, 0], table - table[0, 0, 0], atol=1e-4)


@torch.no_grad()
def test_patches_know_their_half_and_both_halves_share_positions(transformer, inputs) -> None:
    patches = transformer.patch_embedding(inputs["states"])
    plain = functional.conv3d(
        inputs["states"], transformer.patch_embedding.weight, transformer.patch_embedding.bias, stride=(1, 2, 2)
    )
    domain = transformer.patch_embedding.domain
    assert torch.allclose(patches[..., : W // 2] - plain[..., : W // 2], domain[0].view(-1, 1, 1, 1), atol=1e-4)
    assert torch.allclose(patches[..., W // 2 :] - plain[..., W // 2 :], domain[1].view(-1, 1, 1, 1), atol=1e-4)
    # 12 channels a head turn with t, h and w in parts of 4; a channel pair i of n turns by 10000 ** (-2 i / n) a step.
    for function, table in zip((torch.cos, torch.sin), transformer.rope(inputs["states"]), strict=True):
        table = table.reshape(T, H // 2, W, 12)
        for t, h, w in ((0, 0, 0), (2, 1, 3), (1, 2, 9)):
            angles = [place * 10000 ** (-2 * (i // 2) / 4) for place in (t, h, w % (W // 2)) for i in range(4)]
            assert torch.allclose(table[t, h, w], function(torch.tensor(angles)), atol=1e-5)


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    heads = []
    for head in range(HEADS):
        part = slice(head * DEPTH, (head + 1) * DEPTH)
        weights = torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(DEPTH), dim=-1)
        heads.append(weights @ value[:, part])
    return torch.cat(heads, dim=-1)


def scaled(states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return states / (states.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight


@torch.no_grad()
def test_cross_attention_reads_image_and_robot_tokens_apart_and_adds_what_it_read(transformer) -> None:
    block = transformer.blocks[0].attn2
    draw = torch.Generator().manual_seed(13)
    states, context = torch.randn(7, WIDTH, generator=draw), torch.randn(257 + 19, WIDTH, generator=draw)
    query = scaled(block.to_q(states), block.norm_q.weight)
    robot, images = context[257:], context[:257]
    read = attention(query, scaled(block.to_k(robot), block.norm_k.weight), block.to_v(robot))
    read = read + attention(
        query, scaled(block.add_k_proj(images), block.norm_added_k.weight), block.add_v_proj(images)
    )
    assert torch.allclose(block(states[None], context[None])[0], block.to_out[0](read), atol=1e-5)


@torch.no_grad()
def test_the_whole_is_the_sum_of_these_parts(transformer, inputs) -> None:
    timestep = torch.tensor([412.0])
    whole = transformer(inputs["states"], timestep, inputs["robot"], inputs["images"], return_dict=False)[0]
    tokens = transformer.condition_embedder.image_embedder(inputs["images"])
    context = torch.cat([tokens, reference_tokens(transformer, inputs)[None]], dim=1)
    parts = transformer(injected(transformer, inputs), timestep, context, return_dict=False)[0]
    assert whole.shape == (1, 16, T, H, 2 * W)
    assert torch.allclose(whole, parts, atol=1e-4 * float(whole.abs().max()))
