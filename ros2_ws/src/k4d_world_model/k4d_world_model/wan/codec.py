"""Codecs: what turns the pictures and pointmaps of a clip into latents and back."""

from typing import Protocol

import torch
from einops import rearrange, repeat
from torch import Generator, Tensor

from k4d_world_model.errors import ArchitectureError
from k4d_world_model.wan.architecture import Architecture, CodecSize


class Codec(Protocol):
    """Between videos (b, 3, 1 + temporal * k, H, W) in about [-1, 1] and latents (b, c, 1 + k, h, w)."""

    @property
    def size(self) -> CodecSize:
        """How many pixels and frames a latent cell covers."""

    def encode(self, video: Tensor, generator: Generator | None = None) -> Tensor:
        """Normalised latents; drawn with ``generator`` where one is given, else the most likely ones.

        Raises ArchitectureError for a video that does not divide into cells.
        """

    def decode(self, latents: Tensor) -> Tensor:
        """The video of normalised latents."""


def check_video(video: Tensor, size: CodecSize) -> None:
    """Raises ArchitectureError unless a video (b, 3, T, H, W) divides into the codec's cells."""
    frames, height, width = video.shape[2:]
    if (frames - 1) % size.temporal or height % size.spatial or width % size.spatial:
        raise ArchitectureError(
            f"a video needs 1 + a multiple of {size.temporal} frames and sides that divide by {size.spatial}, "
            f"got {frames} frames of {height} x {width}"
        )


class PixelCodec:
    """Rearranges pixels into channels without loss; the first frame stands alone and fills its cell by repetition."""

    def __init__(self, size: CodecSize) -> None:
        self.size = size

    def encode(self, video: Tensor, generator: Generator | None = None) -> Tensor:
        """See ``Codec``; there is nothing to draw."""
        check_video(video, self.size)
        return self.pack(torch.cat([repeat(video[:, :, :1], "b c 1 h w -> b c k h w", k=self.size.temporal),
                                    video[:, :, 1:]], dim=2))  # fmt: skip

    def decode(self, latents: Tensor) -> Tensor:
        """See ``Codec``; the first frame is the mean of its repetitions."""
        video = self.unpack(latents)
        first, rest = video[:, :, : self.size.temporal], video[:, :, self.size.temporal :]
        return torch.cat([first.mean(dim=2, keepdim=True), rest], dim=2)

    def pack(self, video: Tensor) -> Tensor:
        """Cells (b, c k s s, T / k, h, w) of a video (b, c, T, H, W) whose frames divide by k."""
        k, s = self.size.temporal, self.size.spatial
        return rearrange(video, "b c (t k) (h i) (w j) -> b (c k i j) t h w", k=k, i=s, j=s)

    def unpack(self, cells: Tensor) -> Tensor:
        """The video (b, c, T, H, W) of cells; the inverse of ``pack``."""
        k, s = self.size.temporal, self.size.spatial
        return rearrange(cells, "b (c k i j) t h w -> b c (t k) (h i) (w j)", k=k, i=s, j=s)


def decode_pair(latents: Tensor, architecture: Architecture, codec: Codec) -> tuple[Tensor, Tensor]:
    """Pictures and points (b, 3, T, H, W) of latents (b, c, t, h, 2 w), decoded as one picture, as published."""
    left, right = latents.chunk(2, dim=-1)
    right = right * architecture.pointmap_latent_std + architecture.pointmap_latent_mean
    rgb, points = codec.decode(torch.cat([left, right], dim=-1)).chunk(2, dim=-1)
    return rgb, points
