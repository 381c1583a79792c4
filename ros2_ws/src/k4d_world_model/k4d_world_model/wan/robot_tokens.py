"""The parts of Kinema4D's transformer that differ from Wan's: positions, patches, robot tokens, cross-attention."""

from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import (
    WanAttnProcessor,
    WanRotaryPosEmbed,
    _get_added_kv_projections,
    _get_qkv_projections,
)
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from k4d_world_model.errors import ArchitectureError
from k4d_world_model.wan.architecture import MASK_CHANNELS, RobotTokenSize


class SharedRotaryEmbedding(WanRotaryPosEmbed):  # type: ignore[misc]
    """Rotary positions of one half, given to both: picture and pointmap of a place share its position."""

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (1, tokens, 1, channels) for latents (b, c, t, h, 2 w)."""
        half = hidden_states.shape[-1] // 2
        columns = half // self.patch_size[2]
        cosines, sines = super().forward(hidden_states[..., :half])
        return tuple(
            rearrange(
                torch.stack([table, table], dim=-1),
                "1 (rows columns) 1 c half -> 1 (rows half columns) 1 c",
                columns=columns,
            )
            for table in (cosines, sines)
        )  # type: ignore[return-value]


def patch_features(convolution: nn.Conv3d, cells: Tensor) -> Tensor:
    """What a convolution whose stride is its kernel gives for cells (b, c, t, h, w), channels last.

    As one matrix product, which a CPU does in a fraction of the convolution's time; rests of patches are left out, too.
    """
    kt, kh, kw = convolution.kernel_size
    t, h, w = (size // kernel * kernel for size, kernel in zip(cells.shape[2:], (kt, kh, kw), strict=True))
    patches = rearrange(cells[:, :, :t, :h, :w], "b c (t i) (h j) (w k) -> b t h w (c i j k)", i=kt, j=kh, k=kw)
    return functional.linear(patches, convolution.weight.flatten(1), convolution.bias)


class DomainPatchEmbedding(nn.Conv3d):
    """Patches as tokens, plus one learnt vector for all of the picture's and one for all of the pointmap's."""

    def __init__(self, in_channels: int, width: int, patch_size: tuple[int, int, int]) -> None:
        super().__init__(in_channels, width, kernel_size=patch_size, stride=patch_size)
        self.domain = nn.Parameter(torch.zeros(2, width))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Tokens (b, c, t, h, 2 w) of latents, the picture's half first."""
        tokens = rearrange(patch_features(self, hidden_states), "b t h w c -> b c t h w")
        domain = self.domain.to(tokens.dtype).repeat_interleave(tokens.shape[-1] // 2, dim=0)
        return tokens + rearrange(domain, "columns c -> c 1 1 columns")


class RobotTokens(nn.Module):
    """Context tokens of the robot's mask and latents, in the place of Wan's text projection.

    ``halves`` is 2 where robot pictures and pointmaps are both given, else 1.
    """

    def __init__(self, size: RobotTokenSize, latent_channels: int, inner: int, width: int, halves: int) -> None:
        super().__init__()
        self.grid = size.grid
        self.halves = halves
        kernel = (1, size.patch, size.patch)
        self.patch = nn.Conv3d(MASK_CHANNELS + latent_channels, inner, kernel_size=kernel, stride=kernel)
        nn.init.xavier_uniform_(self.patch.weight.flatten(1))
        nn.init.zeros_(self.patch.bias)  # type: ignore[arg-type]
        self.norm = nn.LayerNorm(inner)
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, inner, *size.grid), std=0.02))
        self.domain = nn.Parameter(nn.init.trunc_normal_(torch.empty(2, inner), std=0.02)) if halves == 2 else None
        self.projection = nn.Linear(inner, width)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    @property
    def token_count(self) -> int:
        """How many context tokens it gives."""
        t, h, w = self.grid
        return t * h * w * self.halves

    def forward(self, robot: Tensor) -> Tensor:
        """Tokens (b, n, width) of mask and latents (b, 4 + c, t, h, halves * w); tokens pass unchanged.

        Other sizes than the published one are resampled to the grid of the position table. Raises ArchitectureError
        where a half is smaller than one patch.
        """
        if robot.ndim == 3:
            return robot
        if min(robot.shape[-2], robot.shape[-1] // self.halves) < self.patch.kernel_size[1]:
            raise ArchitectureError(
                f"robot latents of {robot.shape[-2]} x {robot.shape[-1]} cells are smaller than {self.halves} patches "
                f"of {self.patch.kernel_size[1]}"
            )
        halves = [self._half(half) for half in robot.chunk(self.halves, dim=-1)]
        if self.domain is not None:
            halves = [half + rearrange(row, "c -> c 1 1 1") for half, row in zip(halves, self.domain, strict=True)]
        tokens: Tensor = self.projection(rearrange(torch.cat(halves, dim=-1), "b c t h w -> b (t h w) c"))
        return tokens

    def _half(self, robot: Tensor) -> Tensor:
        """Features (b, c, *grid) of one half with their positions."""
        features = functional.gelu(self.norm(patch_features(self.patch, robot)))
        features = rearrange(features, "b t h w c -> b c t h w")
        if tuple(features.shape[2:]) != self.grid:
            features = functional.interpolate(features, size=self.grid, mode="trilinear", align_corners=False)
        return features + self.position


class ActionTokens(nn.Module):
    """One context token a frame of ``action_size`` numbers: the paper's ablations "emb." and "text"."""

    def __init__(self, action_size: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(action_size, width), nn.SiLU(), nn.Linear(width, width))
        self.width = width

    def forward(self, actions: Tensor) -> Tensor:
        """Tokens (b, n, width) of actions (b, n, action_size, 1, 1); tokens pass unchanged."""
        if actions.ndim == 3:
            return actions
        tokens: Tensor = self.layers(actions.flatten(2))
        return tokens + _moments(actions.shape[1], self.width, tokens)


def _moments(count: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines (count, width) that tell ``count`` frames apart: cross-attention knows no order."""
    periods = 64 ** torch.linspace(0, 1, width // 2, device=like.device)
    angles = torch.arange(count, device=like.device)[:, None] / periods
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(like.dtype)


class NoTokens(nn.Module):
    """One learnt context token that says nothing: the paper's ablation "null"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, robot: Tensor) -> Tensor:
        """The token (b, 1, width) for anything of batch size b; tokens pass unchanged."""
        return robot if robot.ndim == 3 else self.token.expand(len(robot), -1, -1)


class ContextProcessor(WanAttnProcessor):  # type: ignore[misc]
    """Cross-attention whose first ``image_tokens`` context tokens are the image encoder's, however many follow.

    Wan's own processor takes the last 512 for text.
    """

    def __init__(self, image_tokens: int) -> None:
        super().__init__()
        self.image_tokens = image_tokens

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """What the tokens (b, n, c) read from the context (b, m, c)."""
        assert encoder_hidden_states is not None
        context = encoder_hidden_states[:, self.image_tokens :]
        query, key, value = _get_qkv_projections(attn, hidden_states, context)
        query, key = attn.norm_q(query), attn.norm_k(key)
        result = self._read(attn, query, key, value)
        if self.image_tokens:
            key, value = _get_added_kv_projections(attn, encoder_hidden_states[:, : self.image_tokens])
            result = result + self._read(attn, query, attn.norm_added_k(key), value)
        projected: Tensor = attn.to_out[1](attn.to_out[0](result))
        return projected

    def _read(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = [rearrange(states, "b n (h c) -> b n h c", h=attn.heads) for states in (query, key, value)]
        read: Tensor = dispatch_attention_fn(*heads, backend=self._attention_backend, parallel_config=None)
        return read.flatten(2, 3).type_as(query)
