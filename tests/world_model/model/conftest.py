"""A box-shaped robot that moves before a slanted wall, and untrained models of small numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from transformers import CLIPVisionConfig, CLIPVisionModel

from k4d_kinematics import Camera
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.wan.architecture import Architecture, CodecSize, RobotTokenSize, TransformerSize
from k4d_world_model.wan.checkpoint import save_checkpoint
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.image_encoder import ClipImageEncoder
from k4d_world_model.wan.transformer import RobotWorldTransformer, build_transformer
from k4d_world_model.wan.vae_codec import WanVaeCodec


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_conditioning() -> Callable[..., Conditioning]:
    """A conditioning of T frames of H x W pixels."""

    def make(frames: int, height: int, width: int) -> Conditioning:
        camera = Camera.pinhole(height, width, 1.1 * width, 1.2 * width, 0.47 * width, 0.52 * height, frame_id="eye")
        rays = np.concatenate([camera.rays(), np.ones((height, width, 1))], axis=-1)
        wall = rays * np.linspace(1.4, 1.9, height)[:, None, None]  # (H, W, 3)
        mask = np.zeros((frames, height, width), np.bool_)
        for t in range(frames):
            left = width // 8 + t * width // (4 * frames)
            mask[t, height // 4 : 3 * height // 4, left : left + width // 3] = True
        depth = 0.8 + 0.3 * np.arange(width) / width + 0.1 * np.arange(height)[:, None] / height
        points = np.where(mask[..., None], rays * depth[..., None], np.nan).astype(np.float32)
        first_points = np.where(mask[0, ..., None], points[0], wall).astype(np.float32)
        rng = np.random.default_rng(5)
        rgb = np.where(mask[..., None], rng.integers(60, 255, (frames, 1, 1, 3)), 0).astype(np.uint8)
        return Conditioning(
            first_frame=rng.integers(0, 256, (height, width, 3), np.uint8),
            robot_points=points,
            robot_mask=mask,
            times=np.arange(frames) / 7.0,
            camera=camera,
            T_cam_base=np.tile(np.eye(4), (frames, 1, 1)),
            robot_rgb=rgb,
            first_points=first_points,
            robot_sha256="5e",
        )

    return make


@pytest.fixture
def motion_architecture() -> Architecture:
    """The small model's kind: pixels, measured first frame, motion head; 9 frames of 16 x 24 pixels."""
    return Architecture(
        frames=9,
        height=16,
        width=24,
        first_frame_geometry="measured",
        normalization="robot",
        robot_pictures="rendered",
        prior="frozen_world",
        head="motion",
        codec=CodecSize("pixels", spatial=4, temporal=4, latent_channels=192),
        transformer=TransformerSize(
            num_attention_heads=2, attention_head_dim=12, ffn_dim=40, num_layers=3, freq_dim=16, image_dim=0
        ),
        robot_tokens=RobotTokenSize(patch=2, grid=(3, 2, 3)),
    )


@pytest.fixture
def published_architecture() -> Architecture:
    """The published model's kind: autoencoder, image encoder, ramp, velocity; 5 frames of 48 x 80 pixels."""
    return Architecture(
        frames=5,
        height=48,
        width=80,
        codec=CodecSize("wan_vae", spatial=8, temporal=4, latent_channels=16),
        transformer=TransformerSize(
            num_attention_heads=2, attention_head_dim=24, ffn_dim=88, num_layers=3, freq_dim=32, image_dim=20
        ),
        robot_tokens=RobotTokenSize(patch=3, grid=(2, 2, 3)),
    )


@pytest.fixture
def make_transformer() -> Callable[[Architecture], RobotWorldTransformer]:
    """An untrained transformer in which nothing is zero."""

    def make(architecture: Architecture) -> RobotWorldTransformer:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            transformer = build_transformer(architecture, head_channels(architecture))
            for parameter in transformer.parameters():
                torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.05)
        return transformer.requires_grad_(False)

    return make


@pytest.fixture
def motion_folder(tmp_path, motion_architecture, make_transformer) -> Path:
    """A folder with the motion model in ``checkpoint``."""
    save_checkpoint(tmp_path / "checkpoint", make_transformer(motion_architecture), motion_architecture)
    return tmp_path


@pytest.fixture
def published_folder(tmp_path, published_architecture, make_transformer) -> Path:
    """A folder with a model of the published kind in ``checkpoint``."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
        clip = CLIPVisionConfig(
            hidden_size=20,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=224,
            patch_size=14,
        )
        encoder = ClipImageEncoder(CLIPVisionModel(clip))
    transformer = make_transformer(published_architecture)
    save_checkpoint(tmp_path / "checkpoint", transformer, published_architecture, WanVaeCodec(vae), encoder)
    return tmp_path
