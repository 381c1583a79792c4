"""Measures the world model with random weights: seconds per forward and rollout, memory, ratio to the official path.

    python bench/bench_gpu.py --out out/bench
    python bench/bench_gpu.py --shape tiny --device cpu --out out/bench

The full shape is the published one: 16.35 billion parameters, 49 frames of 480 x 720 pixels, autoencoder and image
encoder included, all with random weights. Each case runs in a process of its own, twice: first to compile and to
choose kernels, then timed. Weights say nothing of quality, and nothing of how often a cache hits on real ones.
"""

import json
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from diffusers import AutoencoderKLWan
from records import Record, write_records
from transformers import CLIPVisionConfig, CLIPVisionModel

from k4d_kinematics import Camera
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import WorldModelError
from k4d_world_model.wan.acceleration import DTYPES, check_switches, find_device, loading_device
from k4d_world_model.wan.architecture import Architecture, CodecSize, RobotTokenSize, TransformerSize
from k4d_world_model.wan.checkpoint import Parts
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.image_encoder import ClipImageEncoder
from k4d_world_model.wan.model import WanWorldModel
from k4d_world_model.wan.transformer import build_transformer
from k4d_world_model.wan.vae_codec import WanVaeCodec
from k4d_world_model.world_model_config import RuntimeConfig, SamplingConfig, WorldModelConfig

OFFICIAL = SamplingConfig(steps=50, guidance="official")
DEFAULT = SamplingConfig(steps=20)
FAST = SamplingConfig(steps=8)
EAGER = RuntimeConfig()
COMPILED = RuntimeConfig(compile=True, attention="_native_cudnn")

CASES: dict[str, tuple[SamplingConfig, RuntimeConfig]] = {
    "official two-pass, eager": (OFFICIAL, EAGER),
    "official_fast, eager": (replace(OFFICIAL, guidance="official_fast"), EAGER),
    "50 steps, eager": (replace(OFFICIAL, guidance="none"), EAGER),
    "20 steps, eager": (DEFAULT, EAGER),
    "20 steps, compiled, cuDNN attention": (DEFAULT, COMPILED),
    "20 steps, compiled, cache": (DEFAULT, replace(COMPILED, cache="first_block")),
    "20 steps, compiled, cache, offload model": (DEFAULT, replace(COMPILED, cache="first_block", offload="model")),
    "20 steps, offload group": (DEFAULT, replace(EAGER, offload="group")),
    "20 steps, fp8 storage": (DEFAULT, replace(EAGER, quantization="fp8_storage", offload="model")),
    "20 steps, compiled, fp8": (DEFAULT, replace(COMPILED, quantization="fp8")),
    "8 steps, compiled, fp8": (FAST, replace(COMPILED, quantization="fp8")),
}


@dataclass(frozen=True)
class Shape:
    """A model's numbers, and those of its autoencoder and image encoder."""

    architecture: Architecture
    vae: dict[str, object]
    image_encoder: CLIPVisionConfig


SHAPES = {
    "full": Shape(
        Architecture(frames=49, height=480, width=720),
        {},
        CLIPVisionConfig(
            hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14
        ),
    ),
    "tiny": Shape(
        Architecture(
            frames=5,
            height=48,
            width=80,
            codec=CodecSize("wan_vae", spatial=8, temporal=4, latent_channels=16),
            transformer=TransformerSize(
                num_attention_heads=2, attention_head_dim=24, ffn_dim=88, num_layers=3, freq_dim=32, image_dim=20
            ),
            robot_tokens=RobotTokenSize(patch=3, grid=(2, 2, 3)),
        ),
        {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1},
        CLIPVisionConfig(
            hidden_size=20, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, patch_size=14
        ),
    ),
}


@dataclass(frozen=True)
class Measured:
    """One case. forward_s: median of one evaluation of the transformer. peak_gib: of the device, of the process on the
    CPU. error: why it could not run, empty where it did."""

    case: str
    forward_s: float
    rollout_s: float
    peak_gib: float
    device: str
    error: str = ""


def random_parts(shape: Shape, device: torch.device, dtype: torch.dtype) -> Parts:
    """A world model with normally distributed weights, made where it is to be."""
    architecture = shape.architecture
    with torch.device("meta"):
        transformer = build_transformer(architecture, head_channels(architecture))
        vae = AutoencoderKLWan(**shape.vae)
        encoder = CLIPVisionModel(shape.image_encoder)
    kept = set(transformer._keep_in_fp32_modules)
    for module, kind in ((transformer, dtype), (vae, dtype), (encoder, torch.float32)):
        for name, parameter in module.named_parameters():
            parameter.data = parameter.data.to(torch.float32 if kept & set(name.split(".")) else kind)
        module.to_empty(device=device).requires_grad_(False).eval()
        for parameter in module.parameters():
            parameter.normal_(mean=float(parameter.ndim == 1), std=0.02)
    restore_tables(transformer, encoder, shape, device)
    return Parts(architecture, transformer, WanVaeCodec(vae), ClipImageEncoder(encoder), "random")


def restore_tables(transformer, encoder, shape: Shape, device: torch.device) -> None:
    """Buffers that are computed and not learnt, which ``to_empty`` left undefined."""
    size = shape.architecture.transformer
    transformer.rope = type(transformer.rope)(size.attention_head_dim, size.patch_size, size.rope_max_seq_len).to(
        device
    )
    positions = encoder.embeddings.position_ids
    positions.copy_(torch.arange(positions.shape[-1])[None])


def synthetic_conditioning(architecture: Architecture) -> Conditioning:
    """A rectangle of a robot that moves to the right over noise."""
    frames, height, width = architecture.frames, architecture.height, architecture.width
    camera = Camera.pinhole(height, width, width, width, width / 2, height / 2, frame_id="camera")
    rays = np.concatenate([camera.rays(), np.ones((height, width, 1))], axis=-1).astype(np.float32)
    mask = np.zeros((frames, height, width), np.bool_)
    for t in range(frames):
        left = width // 8 + t * width // (3 * frames)
        mask[t, height // 3 : 2 * height // 3, left : left + width // 6] = True
    depth = np.linspace(0.8, 1.2, width, dtype=np.float32)[:, None]
    return Conditioning(
        first_frame=np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8),
        robot_points=np.where(mask[..., None], rays * depth, np.float32(np.nan)),
        robot_mask=mask,
        times=np.arange(frames) / 10.0,
        camera=camera,
        T_cam_base=np.tile(np.eye(4), (frames, 1, 1)),
        robot_rgb=np.where(mask[..., None], np.uint8(150), np.uint8(0)).repeat(3, axis=-1),
    )


def measure(case: str, shape: Shape, device: str, steps: int | None) -> Measured:
    """The case's second rollout."""
    sampling, runtime = CASES[case]
    sampling = sampling if steps is None else replace(sampling, steps=steps)
    runtime = replace(runtime, device=device)
    if device == "cpu":
        runtime = replace(runtime, dtype="float32", attention="native")
    place = find_device(device)
    check_switches(runtime, place)
    parts = random_parts(shape, loading_device(runtime, place), DTYPES[runtime.dtype])
    # Neither a path is read nor a checkpoint: the parts are given.
    config = WorldModelConfig(name=case, checkpoint="random", sampling=sampling, runtime=runtime)
    model = WanWorldModel(config, parts)
    conditioning = synthetic_conditioning(shape.architecture)
    model.predict(conditioning, seed=0)
    marks: list[float] = []

    def on_step(step: int, total: int) -> None:
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        marks.append(time.perf_counter())

    provenance = model.predict(conditioning, seed=1, on_step=on_step).provenance
    passes = 2 if sampling.guidance == "official" else 1
    return Measured(
        case=case,
        forward_s=float(np.median(np.diff(marks))) / passes,
        rollout_s=provenance.computation_time,
        peak_gib=provenance.peak_memory_bytes / 2**30,
        device=provenance.device,
    )


def not_run(case: str, device: str, error: str) -> Measured:
    """A case without figures."""
    return Measured(case, float("nan"), float("nan"), float("nan"), device, error)


def table(results: list[Measured]) -> str:
    """Markdown; ratios are rollout times of the official path over the case's."""
    official = results[0].rollout_s
    rows = ["| case | s / forward | s / rollout | peak GiB | official / this |", "|---|---|---|---|---|"]
    for item in results:
        figures = f"{item.forward_s:.3f} | {item.rollout_s:.1f} | {item.peak_gib:.1f} | {official / item.rollout_s:.2f}"
        rows.append(f"| {item.case} | {item.error or figures} |{' | | |' if item.error else ''}")
    return "\n".join(rows)


def records(results: list[Measured]) -> list[Record]:
    """Three figures of every case that ran, with the first case's for comparison."""
    official, found = results[0], []
    for item in results:
        if not item.error:
            conditions = f"{item.case}; random weights; {item.device}"
            for name, unit in (("forward_s", "s"), ("rollout_s", "s"), ("peak_gib", "GiB")):
                value, other = getattr(item, name), getattr(official, name)
                slug = re.sub("[^a-z0-9]+", "_", item.case.lower())
                compared = (None, None) if official.error else (other, other / value)
                found.append(Record(f"gpu_{slug}_{name}", value, unit, *compared, conditions))
    return found


def main(
    shape: Literal["full", "tiny"] = "full",
    device: str = "cuda",
    out: Path = Path("out/bench"),
    cases: tuple[str, ...] = (),
    steps: int | None = None,
    case: str = "",
) -> None:
    """Writes ``gpu.json`` (``gpu_tiny.json``) and prints a table.

    Args:
        shape: "full" is the published model, "tiny" tests this program anywhere.
        device: As torch names it.
        out: Folder of the JSON file.
        cases: Which to run, all where empty; the first is what the others are compared with.
        steps: Replaces the cases' own.
        case: Measures this one in this process and prints it as JSON.
    """
    if case:
        try:
            result = measure(case, SHAPES[shape], device, steps)
        except WorldModelError as error:
            result = not_run(case, device, str(error))
        print(json.dumps(asdict(result)))
        return
    results: list[Measured] = []
    for name in cases or tuple(CASES):
        command = [sys.executable, __file__, "--shape", shape, "--device", device, "--case", name]
        command += [] if steps is None else ["--steps", str(steps)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        lines = done.stdout.splitlines()
        failed = not_run(name, device, f"ended with status {done.returncode}")
        results.append(Measured(**json.loads(lines[-1])) if done.returncode == 0 and lines else failed)
        print(table(results).splitlines()[-1], file=sys.stderr)
    write_records(out / f"gpu{'' if shape == 'full' else '_tiny'}.json", records(results))
    print(table(results))


if __name__ == "__main__":
    tyro.cli(main)
