"""Kinema4D's transformer: diffusers' Wan transformer, told of the robot by its latents and by context tokens."""

from dataclasses import asdict
from typing import Any, ClassVar

import torch
from diffusers import WanTransformer3DModel
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from k4d_world_model.wan.architecture import MASK_CHANNELS, NUMBERS, Architecture, RobotTokenSize
from k4d_world_model.wan.hints import Hints
from k4d_world_model.wan.object_motion import ObjectMotion
from k4d_world_model.wan.robot_region import region_of
from k4d_world_model.wan.robot_shade import RobotShade
from k4d_world_model.wan.robot_tokens import (
    ActionTokens,
    ContextProcessor,
    DomainPatchEmbedding,
    NoTokens,
    RobotTokens,
    SharedRotaryEmbedding,
)
from k4d_world_model.wan.surface_fill import SurfaceFill

# Tokens that a ViT-H/14 gives for one picture: 16 x 16 patches and one for all.
IMAGE_TOKENS = 257


class RobotWorldTransformer(WanTransformer3DModel):  # type: ignore[misc]
    """Velocity, or whatever the head makes of it, of latents whose left half is the picture, whose right the pointmap.

    ``hidden_states`` (b, 2 c + 4, t, h, 2 w) are noisy latents, mask and condition latents; without ``reads_noise`` the
    latter two alone. ``encoder_hidden_states`` are the robot's mask and latents (b, 4 + c, t, h, halves * w), or their
    context as ``context`` made it once for all steps. Blocks are diffusers' own, so that its caches, quantisation,
    offloading and peft work on them.
    """

    _keys_to_ignore_on_load_unexpected: ClassVar = ["norm_added_q", "condition_embedder.text_embedder.linear"]

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        latent_channels: int = 16,
        out_channels: int = 16,
        freq_dim: int = 256,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        eps: float = 1e-6,
        image_dim: int | None = 1280,
        rope_max_seq_len: int = 1024,
        condition: str = "robot_rgb_and_pointmap",
        action_size: int = 0,
        robot_patch: int = 15,
        robot_grid: tuple[int, int, int] = (13, 4, 6),
        reads_noise: bool = True,
        injection_rank: int = 0,
        light_grid: int = 0,
        continues_surfaces: bool = False,
        moves_objects: bool = False,
        robot_in_both_halves: bool = False,
    ) -> None:
        width = num_attention_heads * attention_head_dim
        in_channels = (1 + reads_noise) * latent_channels + MASK_CHANNELS
        super().__init__(
            patch_size=patch_size,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            text_dim=8,
            freq_dim=freq_dim,
            ffn_dim=ffn_dim,
            num_layers=num_layers,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            eps=eps,
            image_dim=image_dim,
            added_kv_proj_dim=width if image_dim else None,
            rope_max_seq_len=rope_max_seq_len,
        )
        self.region = region_of(condition, in_both_halves=robot_in_both_halves)
        self.rope = SharedRotaryEmbedding(attention_head_dim, patch_size, rope_max_seq_len)
        self.patch_embedding = DomainPatchEmbedding(in_channels, width, patch_size)
        self.condition_embedder.text_embedder = self._robot_embedder(width)
        self.robot_projection = None
        if self.region is not None:
            last = nn.Linear(injection_rank or latent_channels, latent_channels)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            first = nn.Linear(latent_channels, injection_rank, bias=False) if injection_rank else None
            self.robot_projection = nn.Sequential(first, last) if first else last
        self.shade = RobotShade(light_grid) if light_grid else None
        self.fill = SurfaceFill() if continues_surfaces else None
        self.motion = ObjectMotion() if moves_objects else None
        for block in self.blocks:
            block.attn2.set_processor(ContextProcessor(IMAGE_TOKENS if image_dim else 0))

    def _robot_embedder(self, width: int) -> nn.Module:
        config = self.config
        if config.condition in NUMBERS:
            return ActionTokens(config.action_size, width)
        if self.region is None:
            return NoTokens(width)
        size = RobotTokenSize(config.robot_patch, tuple(config.robot_grid))
        return RobotTokens(size, config.latent_channels, config.attention_head_dim, width, self.region.halves)

    def inject(self, channels: Tensor, robot: Tensor, gain: float = 1.0) -> Tensor:
        """Mask and condition latents (b, 4 + c, t, h, 2 w) with the robot's written into them.

        ``robot`` (b, 4 + c, t, h, halves * w). ``gain`` weighs the projected latents; 1 is what was trained.
        """
        if self.region is None or self.robot_projection is None:
            return channels
        first, half = self.region.first_frame, channels.shape[-1] // 2
        columns = slice(0 if self.region.left else half, 2 * half if self.region.right else half)
        latents = robot[:, MASK_CHANNELS:, first:].to(channels.dtype)
        projected = self.robot_projection(latents.movedim(1, -1)).movedim(-1, 1)
        result = channels.clone()
        result[:, MASK_CHANNELS:, first:, :, columns] += gain * projected.to(channels.dtype)
        result[:, :MASK_CHANNELS, first:, :, columns] = robot[:, :MASK_CHANNELS, first:].to(channels.dtype)
        return result

    def context(self, robot: Tensor, image_embeddings: Tensor | None = None) -> Tensor:
        """Context tokens (b, n, width) of the robot and the image encoder's output (b, 257, image_dim)."""
        tokens: Tensor = self.condition_embedder.text_embedder(robot)
        if image_embeddings is None:
            return tokens
        return torch.cat([self.condition_embedder.image_embedder(image_embeddings), tokens], dim=1)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_hidden_states_image: Tensor | None = None,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        hints: Hints | None = None,
    ) -> Any:
        """The output (b, out_channels, t, h, 2 w). A context from ``context`` means that ``inject`` was done, too.

        A model that is told of surfaces takes the depths of the motion head's fill from them alone; one that is told of
        light appends the robot's shade, as one more field; one that is told of things appends how far to believe that
        they move. With ``hints`` a tuple is returned, whatever ``return_dict``.
        """
        if encoder_hidden_states.ndim == 5:
            noisy = self.config.latent_channels if self.config.reads_noise else 0
            channels = self.inject(hidden_states[:, noisy:], encoder_hidden_states)
            hidden_states = torch.cat([hidden_states[:, :noisy], channels], dim=1)
            encoder_hidden_states = encoder_hidden_states.to(hidden_states.dtype)
        output = super().forward(
            hidden_states,
            timestep,
            encoder_hidden_states,
            encoder_hidden_states_image,
            return_dict=return_dict,
            attention_kwargs=attention_kwargs,
        )
        if hints is None:
            return output
        fields = output[0]
        if self.fill is not None and hints.surfaces is not None:
            fields = _with_fill(fields, self.fill(hints.surfaces))
        if self.shade is not None and hints.lighting is not None:
            fields = torch.cat([fields, _cells(self.shade(hints.lighting), fields)], dim=1)
        if self.motion is not None and hints.movers is not None:
            fields = torch.cat([fields, _everywhere(self.motion(hints.movers), fields)], dim=1)
        return (fields, *output[1:])


def _with_fill(output: Tensor, depth: Tensor) -> Tensor:
    """An output (b, c, t, h, 2 w) whose fill of the pointmap's half is ``depth`` (b, 1, H, W)."""
    height, half = output.shape[3], output.shape[4] // 2
    cells = rearrange(depth, "b 1 (h i) (w j) -> b (i j) 1 h w", h=height, w=half)
    filled = output.clone()
    filled[:, : cells.shape[1], :1, :, half:] = cells.to(output.dtype)
    return filled


def _cells(shade: Tensor, output: Tensor) -> Tensor:
    """A field (b, 1, T - 1, h', w') as channels of the picture's cells of an output (b, c, t, h, 2 w)."""
    frames, height, half = output.shape[2], output.shape[3], output.shape[4] // 2
    cells = rearrange(shade, "b 1 (t k) (h i) (w j) -> b (k i j) t h w", t=frames - 1, h=height, w=half)
    return functional.pad(cells.to(output.dtype), (0, half, 0, 0, 1, 0))


def _everywhere(belief: Tensor, output: Tensor) -> Tensor:
    """Numbers (b, n, T - 1) as channels (b, n * k, t, h, 2 w) that are alike in all cells of an output."""
    frames = output.shape[2]
    channels = rearrange(belief, "b n (t k) -> b (n k) t", t=frames - 1)
    channels = functional.pad(channels.to(output.dtype), (1, 0))
    return channels[..., None, None].expand(-1, -1, -1, *output.shape[3:])


def build_transformer(architecture: Architecture, out_channels: int) -> RobotWorldTransformer:
    """An untrained transformer of the architecture. The head says how many ``out_channels`` it needs."""
    size = asdict(architecture.transformer)
    size["image_dim"] = size["image_dim"] or None
    transformer: RobotWorldTransformer = RobotWorldTransformer(
        **size,
        latent_channels=architecture.codec.latent_channels,
        out_channels=out_channels,
        condition=architecture.condition,
        action_size=architecture.action_size,
        robot_patch=architecture.robot_tokens.patch,
        robot_grid=architecture.robot_tokens.grid,
        reads_noise=architecture.reads_noise,
        injection_rank=architecture.injection_rank,
        light_grid=architecture.light_grid,
        continues_surfaces=architecture.continues_surfaces,
        moves_objects=architecture.moves_objects,
        robot_in_both_halves=architecture.robot_in_both_halves,
    )
    return transformer
