"""Figures of the published model at small size, and folders in the published layout made from its weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from k4d_world_model.wan.architecture import Architecture, TransformerSize
from k4d_world_model.wan.checkpoint import Parts
from k4d_world_model.wan.published import load_published, own_name
from k4d_world_model.wan.transformer import RobotWorldTransformer, build_transformer

PARITY = Path(__file__).parent / "parity"
CLIP = {
    "hidden_size": 20,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 2,
}
VAE = {"base_dim": 4, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Numbers that do not depend on how many cores the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def parity() -> Path:
    return PARITY


@pytest.fixture(scope="session")
def architecture() -> Architecture:
    """Of the small published model: pointmaps only, 49 frames, a quarter of the published sizes and less."""
    return Architecture(
        frames=49,
        height=128,
        width=128,
        condition="robot_pointmap",
        transformer=TransformerSize(
            num_attention_heads=2, attention_head_dim=16, ffn_dim=64, num_layers=2, freq_dim=32, image_dim=20
        ),
    )


@pytest.fixture(scope="session")
def figures() -> dict[str, torch.Tensor]:
    return load_file(PARITY / "transformer.safetensors")


@pytest.fixture(scope="session")
def pipeline() -> dict[str, torch.Tensor]:
    return load_file(PARITY / "pipeline.safetensors")


@pytest.fixture(scope="session")
def official(figures, architecture) -> RobotWorldTransformer:
    """The transformer with the published model's weights."""
    transformer = build_transformer(architecture, 16)
    state = {own_name(name[3:]): tensor for name, tensor in figures.items() if name.startswith("sd.")}
    state = {name: tensor for name, tensor in state.items() if ".text_embedder.linear" not in name}
    transformer.load_state_dict(state)
    return transformer.eval()


def write_base(folder: Path, figures: dict[str, torch.Tensor], pipeline: dict[str, torch.Tensor]) -> None:
    """A base model in diffusers' layout, its transformer in two shards, without any of the added weights."""
    with safe_open(PARITY / "transformer.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
    names = ("transformer", "vae", "image_encoder", "scheduler")
    for name, content in zip(names, (config, VAE, CLIP, {"flow_shift": 3.0}), strict=True):
        (folder / name).mkdir(parents=True)
        file_name = "scheduler_config.json" if name == "scheduler" else "config.json"
        (folder / name / file_name).write_text(json.dumps(content))
    state = {name[3:]: tensor for name, tensor in figures.items() if name.startswith("sd.")}
    state = {name: tensor for name, tensor in state.items() if own_name(name) == name}
    shards = {name: f"diffusion_pytorch_model-{1 + (n % 2):05}-of-00002.safetensors" for n, name in enumerate(state)}
    for shard in set(shards.values()):
        part = {name: tensor for name, tensor in state.items() if shards[name] == shard}
        save_file(part, folder / "transformer" / shard)
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    for prefix, path in (("vae.", "vae/diffusion_pytorch_model"), ("clip.", "image_encoder/model")):
        part = {name.removeprefix(prefix): t for name, t in pipeline.items() if name.startswith(prefix)}
        save_file(part, folder / f"{path}.safetensors")


@pytest.fixture(scope="session")
def base(tmp_path_factory, figures, pipeline) -> Path:
    """Never changed by a test; those that damage it copy it."""
    folder = tmp_path_factory.mktemp("published") / "base"
    write_base(folder, figures, pipeline)
    return folder


@pytest.fixture(scope="session")
def published(base, architecture) -> Parts:
    return load_published(base, PARITY, architecture, device="cpu", dtype=torch.float32)
