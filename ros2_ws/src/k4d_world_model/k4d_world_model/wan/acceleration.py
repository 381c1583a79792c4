"""The switches that trade memory, speed and exactness, set on a loaded transformer; see docs/performance.md."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from k4d_world_model.errors import AccelerationError
from k4d_world_model.wan.transformer import RobotWorldTransformer
from k4d_world_model.world_model_config import RuntimeConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def find_device(name: str) -> torch.device:
    """The device of that name. Raises AccelerationError where torch has none such."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    valid = ["cpu", *(["cuda"] if cuda else []), *cuda]
    if name not in valid:
        raise AccelerationError(f"device must be one of {', '.join(valid)} on this machine, got {name!r}")
    return torch.device(name)


def loading_device(runtime: RuntimeConfig, device: torch.device) -> torch.device:
    """Where weights are put first: in the machine's memory when they are to be offloaded or made smaller."""
    return torch.device("cpu") if runtime.offload != "none" or runtime.quantization != "none" else device


def accelerate(transformer: RobotWorldTransformer, runtime: RuntimeConfig, device: torch.device) -> None:
    """Sets the runtime's switches on a transformer whose LoRAs are fused, and puts it where it is to run.

    With offload "model" it stays in the machine's memory. Raises AccelerationError for what cannot be set.
    """
    check_switches(runtime, device)
    transformer.requires_grad_(False).eval()
    _set_attention(transformer, runtime.attention)
    _quantize(transformer, runtime, device)
    if runtime.cache == "first_block":
        from diffusers import FirstBlockCacheConfig

        transformer.enable_cache(FirstBlockCacheConfig(runtime.cache_threshold))
    if runtime.compile:
        # Caching, casting and streaming are hooks in Python around a block, which break a full graph.
        is_plain = runtime.cache == "none" and runtime.offload != "group" and runtime.quantization != "fp8_storage"
        transformer.compile_repeated_blocks(fullgraph=is_plain)
    if runtime.offload == "group":
        stream_blocks(transformer, device)
    elif runtime.offload == "none":
        transformer.to(device)


def check_switches(runtime: RuntimeConfig, device: torch.device) -> None:
    """Raises AccelerationError for switches that exclude each other, lack their package, or are not for the device."""
    if runtime.quantization in ("fp8", "int8") and importlib.util.find_spec("torchao") is None:
        raise AccelerationError(
            f"quantization {runtime.quantization!r} needs torchao, which is not installed: pip install torchao; "
            "'none' and 'fp8_storage' work without"
        )
    if runtime.quantization == "fp8" and device.type != "cuda":
        raise AccelerationError(
            f"quantization 'fp8' multiplies in 8 bits on a CUDA device of capability 8.9 or more, got {str(device)!r}; "
            "'none', 'int8' and 'fp8_storage' work there"
        )
    if runtime.quantization == "fp8" and torch.cuda.get_device_capability(device) < (8, 9):
        found = ".".join(map(str, torch.cuda.get_device_capability(device)))
        raise AccelerationError(f"quantization 'fp8' needs CUDA capability 8.9 or more, {device} has {found}")
    if runtime.offload != "none" and device.type != "cuda":
        raise AccelerationError(f"offload {runtime.offload!r} takes weights off a CUDA device, got {str(device)!r}")
    if runtime.quantization in ("fp8", "int8") and runtime.offload == "group":
        raise AccelerationError(
            f"quantization {runtime.quantization!r} and offload 'group' exclude each other; 'fp8_storage' goes with it"
        )


def stream_blocks(transformer: RobotWorldTransformer, device: torch.device) -> None:
    """Keeps the blocks' weights in the machine's memory and has each on the device for its turn, the next on its way.

    Everything outside of the blocks stays on the device: context tokens are made of it between evaluations.
    """
    from diffusers.hooks import HookRegistry

    transformer.enable_group_offload(
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=device.type == "cuda",
    )
    outside = HookRegistry.check_if_exists_or_initialize(transformer).get_hook("group_offloading").group
    outside.offload_device = device
    outside.onload_()


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Lets torch use ``count`` threads on the CPU inside the block, what it chose itself where count is 0."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _set_attention(transformer: RobotWorldTransformer, name: str) -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend

    valid = [backend.value for backend in AttentionBackendName]
    if name not in valid:
        raise AccelerationError(f"attention must be one of {', '.join(valid)}, got {name!r}")
    try:
        with attention_backend(name):
            chosen = AttentionBackendName(name)
    except (RuntimeError, ValueError, ImportError, OSError) as error:
        raise AccelerationError(f"attention {name!r} cannot be used here: {error}; 'native' always can") from error
    # transformer.set_attention_backend would change the default of the whole process, too.
    for module in transformer.modules():
        if hasattr(getattr(module, "processor", None), "_attention_backend"):
            module.processor._attention_backend = chosen


def _quantize(transformer: RobotWorldTransformer, runtime: RuntimeConfig, device: torch.device) -> None:
    if runtime.quantization == "fp8_storage":
        transformer.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=DTYPES[runtime.dtype], non_blocking=device.type == "cuda"
        )
    elif runtime.quantization != "none":
        from torchao.quantization import (
            Float8DynamicActivationFloat8WeightConfig,
            Int8DynamicActivationInt8WeightConfig,
            PerRow,
            quantize_,
        )

        eight_bits = (
            Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())
            if runtime.quantization == "fp8"
            else Int8DynamicActivationInt8WeightConfig()
        )
        for block in transformer.blocks:
            quantize_(block, eight_bits, filter_fn=_is_linear, device=device)


def _is_linear(module: nn.Module, name: str) -> bool:
    return isinstance(module, nn.Linear)
