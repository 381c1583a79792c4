"""Episodes to annotate, a data set of them, tools written on the spot, and a tiny SAM 2 with random weights."""

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
MODEL_SIDE = 64

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
def sam2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real SAM 2 video classes with small numbers and random weights, saved as transformers does."""
    import torch
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig

    sizes = [[MODEL_SIDE // stride] * 2 for stride in (4, 8, 16)]
    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[MODEL_SIDE, MODEL_SIDE], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 2, 2, 2], global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=sizes,
        fpn_hidden_size=128,
    )  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": MODEL_SIDE, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
        image_size=MODEL_SIDE, num_maskmem=3, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=sizes[-1],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Sam2VideoModel(config)
    with torch.no_grad():
        # Random weights say half of the time that there is no object at all; these always see one.
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    folder = tmp_path_factory.mktemp("sam2") / "tiny"
    model.save_pretrained(folder)
    return folder
