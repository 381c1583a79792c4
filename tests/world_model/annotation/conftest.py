"""Episodes to annotate, a data set of them, and tools written on the spot."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import Camera
from k4d_world_model.dataset.annotation.command_annotator import CommandAnnotator
from k4d_world_model.dataset.building.manifest import Manifest, manifest_sample, write_lists, write_manifest
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import write_sample

FRAMES, HEIGHT, WIDTH = 5, 12, 18
SAM_SIDE = 64

TOOL_START = """
import json, sys
from pathlib import Path
import numpy as np
from PIL import Image
from safetensors.numpy import save_file
source, out = Path(sys.argv[1]), Path(sys.argv[2])
about = json.loads((source / "episode.json").read_text())
shape = (about["frames"], about["height"], about["width"])
points = np.ones((*shape, 3), np.float32)
mask = np.zeros(shape, bool)
mask[:, 2:5, 3:9] = True
"""


@pytest.fixture
def episode() -> Episode:
    """Pictures of noise, times and a camera: what a recording without depth has."""
    rng = np.random.default_rng(11)
    return Episode(
        EpisodeInfo("run_0", "lab", robot="panda", task="push", provenance="a recording", success=True),
        rng.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8),
        np.arange(FRAMES) * 0.1 + 2.0,
        camera=Camera.pinhole(HEIGHT, WIDTH, 20.0, 21.0, 8.5, 5.5),
    )


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    mask[:, 3:8, 4:11] = True
    return mask


@pytest.fixture
def tool(tmp_path: Path) -> Callable[..., CommandAnnotator]:
    """A command annotator whose script goes on from ``TOOL_START``."""

    def make(script: str, timeout: float = 120.0) -> CommandAnnotator:
        path = tmp_path / "tool.py"
        path.write_text(TOOL_START + script)
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return CommandAnnotator((sys.executable, str(path), "{input}", "{output}"), timeout, work)

    return make


@pytest.fixture
def dataset(episode: Episode, tmp_path: Path) -> NativeLayout:
    """A data set of three episodes, the second of which validates."""
    layout = NativeLayout(tmp_path / "dataset")
    layout.root.mkdir()
    samples = []
    for index, part in enumerate(("train", "val", "train")):
        name = f"run_{index}"
        record = write_sample(layout, replace(episode, info=replace(episode.info, episode_id=name)))
        samples.append(manifest_sample(record, name, part))
    manifest = Manifest({"frames": FRAMES}, {}, complete=True, samples=tuple(samples))
    write_manifest(layout, manifest)
    write_lists(layout, manifest)
    return layout


@pytest.fixture(scope="session")
def sam3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real SAM 3, detector and tracker in one, small and with random weights, which are named as published."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import Sam3TrackerVideoConfig, Sam3VideoConfig, Sam3VideoModel

    backbone = {
        "model_type": "sam3_vit_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": SAM_SIDE, "pretrain_image_size": SAM_SIDE, "patch_size": 16,
        "window_size": 2, "global_attn_indexes": [1],
    }  # fmt: skip
    tracker = Sam3TrackerVideoConfig(
        vision_config={"model_type": "sam3_vision_model", "fpn_hidden_size": 128, "backbone_config": backbone},
        prompt_encoder_config={"hidden_size": 128, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
        image_size=SAM_SIDE, num_maskmem=3, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64, mask_downsampler_embed_dim=128, memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
    )  # fmt: skip
    layers = {"hidden_size": 128, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    detector = {
        "vision_config": tracker.vision_config.to_dict(),
        "text_config": {
            "model_type": "clip_text_model", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32,
            "projection_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 8,
        },
        "geometry_encoder_config": layers, "detr_encoder_config": layers, "detr_decoder_config": layers,
        "mask_decoder_config": {"hidden_size": 128, "num_attention_heads": 2},
    }  # fmt: skip
    torch.manual_seed(0)
    model = Sam3VideoModel(Sam3VideoConfig(detector_config=detector, tracker_config=tracker.to_dict()))
    with torch.no_grad():
        model.tracker_model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)  # it always sees an object
    folder = tmp_path_factory.mktemp("sam3") / "tiny"
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    # transformers 5.23 writes the tracker's prefix twice; the published file has it once.
    published = {name.replace("tracker_model.tracker_model.", "tracker_model."): each for name, each in weights.items()}
    save_file(published, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(params=["sam2", "sam3"])
def sam_folder(request: pytest.FixtureRequest) -> Path:
    """Each generation of SAM in turn."""
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    return folder
