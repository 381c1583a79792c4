"""Switches on a real transformer of small numbers: what they change, and what they leave as it was."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

from k4d_world_model.errors import AccelerationError
from k4d_world_model.wan import acceleration
from k4d_world_model.wan.acceleration import accelerate, check_switches, cpu_threads, find_device, stream_blocks
from k4d_world_model.world_model_config import RuntimeConfig

CPU = torch.device("cpu")
PLAIN = RuntimeConfig(device="cpu", dtype="float32")


@pytest.fixture
def transformer(published_architecture, make_transformer):
    return make_transformer(published_architecture)


@torch.no_grad()
def outputs(transformer, steps: int = 1) -> torch.Tensor:
    """Outputs (steps, ...) for noise levels close to each other."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, 36, 2, 6, 20, generator=generator)
    robot, images = torch.randn(1, 20, 2, 6, 20, generator=generator), torch.randn(1, 257, 20, generator=generator)
    context = transformer.context(robot, images)
    found = []
    for step in range(steps):
        with transformer.cache_context("cond"):
            found.append(transformer(states, torch.tensor([600.0 - step]), context, return_dict=False)[0])
    return torch.stack(found)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_without_switches_nothing_changes(transformer):
    before = outputs(transformer)
    accelerate(transformer, PLAIN, CPU)
    assert torch.equal(outputs(transformer), before)


def test_fp8_storage_keeps_the_blocks_weights_in_one_byte(transformer):
    before = outputs(transformer)
    accelerate(transformer, replace(PLAIN, quantization="fp8_storage"), CPU)
    block = transformer.blocks[1]
    assert block.ffn.net[2].weight.dtype == block.attn2.add_k_proj.weight.dtype == torch.float8_e4m3fn
    assert transformer.patch_embedding.weight.dtype == block.norm2.weight.dtype == torch.float32
    assert 1e-4 < relative(outputs(transformer), before) < 0.1
    assert transformer.dtype == torch.float32


def test_the_cache_skips_blocks_while_little_changes(transformer):
    before = outputs(transformer, 4)
    calls = []
    transformer.blocks[1].ffn.register_forward_hook(lambda *_: calls.append(1))
    accelerate(transformer, replace(PLAIN, cache="first_block", cache_threshold=0.5), CPU)
    after = outputs(transformer, 4)
    assert len(calls) == 1
    assert torch.equal(after[0], before[0])
    assert 0 < relative(after, before) < 0.1


def test_an_attention_backend_is_set_for_this_model_alone(transformer):
    before, default = outputs(transformer), _AttentionBackendRegistry._active_backend
    accelerate(transformer, replace(PLAIN, attention="_native_math"), CPU)
    for block in transformer.blocks:
        for attention in (block.attn1, block.attn2):
            assert attention.processor._attention_backend is AttentionBackendName._NATIVE_MATH
    assert _AttentionBackendRegistry._active_backend is default
    assert relative(outputs(transformer), before) < 1e-5


def test_unknown_attention_lists_the_known(transformer):
    with pytest.raises(AccelerationError, match=r"attention must be one of .*_native_cudnn.*, got 'fastest'"):
        accelerate(transformer, replace(PLAIN, attention="fastest"), CPU)


@pytest.mark.parametrize("name", ["flash", "sage"])
def test_attention_without_its_package_says_which(transformer, name):
    with pytest.raises(AccelerationError, match=r"cannot be used here: .*install"):
        accelerate(transformer, replace(PLAIN, attention=name), CPU)


def test_only_the_repeated_block_is_compiled(transformer, monkeypatch):
    asked = []
    monkeypatch.setattr(type(transformer), "compile_repeated_blocks", lambda self, **options: asked.append(options))
    accelerate(transformer, replace(PLAIN, compile=True), CPU)
    accelerate(transformer, replace(PLAIN, compile=True, cache="first_block"), CPU)
    assert asked == [{"fullgraph": True}, {"fullgraph": False}]


def test_streamed_blocks_compute_the_same(transformer):
    before = outputs(transformer, 2)
    stream_blocks(transformer, CPU)
    assert torch.equal(outputs(transformer, 2), before)


def test_streamed_blocks_leave_the_rest_on_the_device(transformer):
    numbered = torch.device("cpu:0")  # another name than "cpu" for what diffusers compares
    stream_blocks(transformer, numbered)
    outside = transformer._diffusers_hook.get_hook("group_offloading").group
    assert outside.onload_device == outside.offload_device == numbered
    modules = {type(module).__name__ for module in outside.modules}
    assert {"DomainPatchEmbedding", "WanTimeTextImageEmbedding", "Linear"} <= modules
    streamed = transformer.blocks[1]._diffusers_hook.get_hook("group_offloading").group
    assert (streamed.onload_device, streamed.offload_device) == (numbered, CPU)


@pytest.mark.parametrize("quantization", ["fp8", "int8"])
def test_quantization_without_torchao_says_what_to_install(monkeypatch, quantization):
    monkeypatch.setattr(acceleration.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AccelerationError, match=f"'{quantization}' needs torchao.*pip install torchao"):
        check_switches(replace(PLAIN, quantization=quantization), CPU)


def test_switches_for_another_device_are_refused(monkeypatch):
    monkeypatch.setattr(acceleration.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(AccelerationError, match=r"capability 8\.9 or more, got 'cpu'"):
        check_switches(replace(PLAIN, quantization="fp8"), CPU)
    for offload in ("model", "group"):
        with pytest.raises(AccelerationError, match=f"offload '{offload}' takes weights off a CUDA device, got 'cpu'"):
            check_switches(replace(PLAIN, offload=offload), CPU)


def test_quantised_weights_are_not_streamed(monkeypatch):
    monkeypatch.setattr(acceleration.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    with pytest.raises(AccelerationError, match="exclude each other"):
        check_switches(RuntimeConfig(quantization="fp8", offload="group"), torch.device("cuda"))


def test_torchao_quantises_the_blocks_linear_layers_alone(transformer, monkeypatch):
    """torchao is no requirement; its stand-in notes what it is asked to do."""
    asked = []

    def quantize_(module, config, filter_fn, device):
        asked.extend(child for name, child in module.named_modules() if filter_fn(child, name))
        assert config == "int8"

    names = ("Float8DynamicActivationFloat8WeightConfig", "PerRow")
    standin = SimpleNamespace(
        quantize_=quantize_, Int8DynamicActivationInt8WeightConfig=lambda: "int8", **dict.fromkeys(names)
    )
    monkeypatch.setitem(sys.modules, "torchao", SimpleNamespace(quantization=standin))
    monkeypatch.setitem(sys.modules, "torchao.quantization", standin)
    monkeypatch.setattr(acceleration.importlib.util, "find_spec", lambda name: object())
    accelerate(transformer, replace(PLAIN, quantization="int8"), CPU)
    expected = [module for module in transformer.blocks.modules() if isinstance(module, torch.nn.Linear)]
    assert asked == expected
    assert len(asked) == 3 * 12


def test_devices_are_found_or_named(monkeypatch):
    assert find_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(AccelerationError, match=r"device must be one of cpu on this machine, got 'cuda'"):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(AccelerationError, match="one of cpu, cuda, cuda:0, cuda:1 on this machine, got 'cuda:2'"):
        find_device("cuda:2")


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with cpu_threads(0):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before
