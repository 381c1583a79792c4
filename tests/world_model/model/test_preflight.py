"""Memory told from numbers alone, held to the real modules on a device that has no memory at all."""

import weakref
from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.transformers import transformer_wan
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CLIPVisionConfig, CLIPVisionModel

from k4d_world_model.errors import OutOfMemoryError
from k4d_world_model.wan import preflight, robot_tokens
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.parameters import count_parameters
from k4d_world_model.wan.preflight import GIB, check, estimate
from k4d_world_model.wan.transformer import build_transformer
from k4d_world_model.world_model_config import RuntimeConfig

PUBLISHED = Architecture(frames=49, height=480, width=720)
CUDA = torch.device("cuda")


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make, as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {storage._cdata for storage in storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in storages(result):
            self._count(storage, given)
        self.peak = max(self.peak, self.live)
        return result

    def _count(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen | given:
            self._seen.add(key)
            self.live += size
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size


def storages(tree) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def on_meta(architecture: Architecture):
    with torch.device("meta"):
        return build_transformer(architecture, head_channels(architecture)).requires_grad_(False)


@pytest.fixture
def actions_architecture(motion_architecture):
    return replace(motion_architecture, condition="actions", action_size=7)


@pytest.mark.parametrize("condition", ["robot_rgb_and_pointmap", "robot_pointmap", "robot_rgb", "none"])
@pytest.mark.parametrize("name", ["motion_architecture", "published_architecture"])
def test_parameters_are_counted_exactly(request, name, condition):
    architecture = replace(request.getfixturevalue(name), condition=condition)
    transformer, count = on_meta(architecture), count_parameters(architecture)
    assert count.total == sum(parameter.numel() for parameter in transformer.parameters())
    blocks = sum(parameter.numel() for parameter in transformer.blocks.parameters())
    linear = sum(m.weight.numel() for m in transformer.blocks.modules() if isinstance(m, torch.nn.Linear))
    assert (count.linear, count.other) == (linear, blocks - linear)
    kept = set(transformer._keep_in_fp32_modules)
    exact = [parameter for name, parameter in transformer.named_parameters() if kept & set(name.split("."))]
    assert count.exact == sum(parameter.numel() for parameter in exact)


def test_parameters_of_action_tokens_are_counted(actions_architecture):
    transformer = on_meta(actions_architecture)
    assert count_parameters(actions_architecture).total == sum(p.numel() for p in transformer.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"reads_noise": False},
        {"injection_rank": 5},
        {"light_grid": 3},
        {"continues_surfaces": True, "moves_objects": True},
    ],
    ids=["one step", "narrow injection", "light", "surfaces"],
)
def test_parameters_of_what_a_small_model_leaves_out_or_adds_are_counted(motion_architecture, changes):
    architecture = replace(motion_architecture, **changes)
    count = count_parameters(architecture).total
    assert count == sum(parameter.numel() for parameter in on_meta(architecture).parameters())
    assert count != count_parameters(motion_architecture).total


def test_the_published_model_has_16_35_billion():
    count = count_parameters(PUBLISHED).total
    assert count == sum(parameter.numel() for parameter in on_meta(PUBLISHED).parameters())
    assert round(count / 1e9, 2) == 16.35


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_step_needs_what_its_tensors_hold(monkeypatch, dtype):
    """At the published width and clip, tensor by tensor; attention kernels hold nothing but their output."""
    fewer = replace(PUBLISHED, transformer=replace(PUBLISHED.transformer, num_layers=3))
    for module in (transformer_wan, robot_tokens):
        monkeypatch.setattr(module, "dispatch_attention_fn", lambda query, key, value, **_: torch.empty_like(query))
    transformer, kind = on_meta(fewer), preflight_dtype(dtype)
    kept = set(transformer._keep_in_fp32_modules)
    for name, parameter in transformer.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if kept & set(name.split(".")) else kind)
    states = torch.empty(1, PUBLISHED.in_channels, 13, 60, 180, device="meta", dtype=kind)
    context = torch.empty(1, 881, 5120, device="meta", dtype=kind)
    with torch.no_grad(), LiveBytes() as bytes_:
        transformer(states, torch.empty(1, device="meta"), context, return_dict=False)
    assert estimate(PUBLISHED, RuntimeConfig(dtype=dtype)).step == pytest.approx(bytes_.peak, rel=0.05)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_decoding_needs_what_its_tensors_hold(dtype):
    small = replace(PUBLISHED, height=160, width=240, frames=9)
    with torch.device("meta"):
        vae = AutoencoderKLWan().requires_grad_(False)
    for parameter in vae.parameters():
        parameter.data = parameter.data.to(preflight_dtype(dtype))
    latents = torch.empty(1, 16, 3, 20, 60, device="meta", dtype=preflight_dtype(dtype))
    with torch.no_grad(), LiveBytes() as bytes_:
        vae.decode(latents)
    needed = estimate(small, RuntimeConfig(dtype=dtype))
    assert needed.decode == pytest.approx(bytes_.peak, rel=0.08)
    assert needed.codec == sum(p.numel() for p in vae.parameters()) * (2 if dtype == "bfloat16" else 4)


def test_the_image_encoder_is_a_vit_h():
    with torch.device("meta"):
        encoder = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14
            )
        )
    expected = 4 * sum(parameter.numel() for parameter in encoder.parameters())
    assert estimate(PUBLISHED, RuntimeConfig()).image_encoder == pytest.approx(expected, rel=1e-3)


def test_the_published_figures_of_memory_hold():
    assert estimate(PUBLISHED, RuntimeConfig()).transformer / GIB == pytest.approx(30.5, abs=0.05)
    assert estimate(PUBLISHED, RuntimeConfig(quantization="fp8")).transformer / GIB == pytest.approx(15.4, abs=0.1)
    assert estimate(PUBLISHED, RuntimeConfig(offload="group")).peak < 10 * GIB
    assert estimate(PUBLISHED, RuntimeConfig(offload="model", quantization="fp8")).peak < 22 * GIB


def test_only_switches_that_save_memory_are_named():
    before = RuntimeConfig(dtype="float32", offload="group", vae_tiling=True)
    left = preflight.switches_left(PUBLISHED, before, CUDA)
    assert [text for text, _ in left] == ["dtype: bfloat16", "quantization: fp8_storage",
                                          "dtype: bfloat16 with quantization: fp8_storage"]  # fmt: skip
    assert all(peak < estimate(PUBLISHED, before).peak for _, peak in left)


def test_too_little_memory_is_refused_with_the_switches_that_make_it_fit():
    with pytest.raises(OutOfMemoryError, match=r"cuda has 24\.00 GiB free.*would fit with one of these") as caught:
        check(PUBLISHED, RuntimeConfig(), CUDA, free=24 * GIB)
    message = str(caught.value)
    assert "offload: group (" in message
    assert "offload: model with quantization: fp8_storage (" in message
    assert "dtype" not in message, "it is set already"
    assert "offload: model (" not in message, "30 GiB of weights stay"


def test_a_device_too_small_for_all_switches_is_told_the_least():
    with pytest.raises(OutOfMemoryError, match=r"no switch makes it fit; the least would be \d\.\d\d GiB with offload"):
        check(PUBLISHED, RuntimeConfig(), CUDA, free=2 * GIB)
    smallest = RuntimeConfig(offload="group", vae_tiling=True, quantization="fp8_storage")
    with pytest.raises(OutOfMemoryError, match="every switch that saves memory is set already"):
        check(PUBLISHED, smallest, CUDA, free=2 * GIB)


def test_nothing_is_offloaded_from_the_cpu():
    with pytest.raises(OutOfMemoryError) as caught:
        check(PUBLISHED, RuntimeConfig(device="cpu", dtype="float32"), torch.device("cpu"), free=8 * GIB)
    assert "offload" not in str(caught.value)


def test_offloading_needs_the_machines_memory(monkeypatch):
    monkeypatch.setattr(preflight, "free_bytes", lambda device: 80 * GIB if device.type == "cuda" else 16 * GIB)
    check(PUBLISHED, RuntimeConfig(), CUDA)
    with pytest.raises(OutOfMemoryError, match=r"offload 'group' keeps 33\.\d\d GiB in the machine's memory"):
        check(PUBLISHED, RuntimeConfig(offload="group"), CUDA)


def test_what_fits_is_let_through(motion_architecture):
    assert 0 < check(motion_architecture, RuntimeConfig(device="cpu"), torch.device("cpu")).peak < GIB


def preflight_dtype(name: str) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
