"""Wan's autoencoder behind the codec's interface."""

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from einops import rearrange
from torch import Generator, Tensor

from k4d_world_model.wan.architecture import CodecSize
from k4d_world_model.wan.codec import check_video
from k4d_world_model.wan.weights import build_empty, load_into, read_json, stored_tensors, weight_files


class WanVaeCodec:
    """A Wan autoencoder with its latents normalised by the mean and deviation in its configuration.

    It computes in its weights' type and returns the type that it is given. With ``tiling`` it works through tiles of
    256 pixels that overlap by 64, which needs less memory and gives other numbers: its attention sees one tile at a
    time, and neighbours are blended where they overlap. Without it, what lies side by side is coded as one picture.
    """

    def __init__(self, vae: AutoencoderKLWan, *, tiling: bool = False) -> None:
        self.vae = vae
        if tiling:
            vae.enable_tiling()
        else:
            vae.disable_tiling()

    @property
    def size(self) -> CodecSize:
        """See ``Codec``."""
        config = self.vae.config
        return CodecSize("wan_vae", config.scale_factor_spatial, config.scale_factor_temporal, config.z_dim)

    @torch.no_grad()
    def encode(self, video: Tensor, generator: Generator | None = None) -> Tensor:
        """See ``Codec``."""
        check_video(video, self.size)
        posterior = self.vae.encode(video.to(self.vae.dtype)).latent_dist
        latents = posterior.mode() if generator is None else posterior.sample(generator)
        mean, std = self._statistics(video)
        normalised: Tensor = (latents.to(video.dtype) - mean) / std
        return normalised

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """See ``Codec``; within [-1, 1]."""
        mean, std = self._statistics(latents)
        video: Tensor = self.vae.decode((latents * std + mean).to(self.vae.dtype), return_dict=False)[0]
        return video.to(latents.dtype)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (
            like.new_tensor(numbers) for numbers in (self.vae.config.latents_mean, self.vae.config.latents_std)
        )
        return rearrange(mean, "c -> c 1 1 1"), rearrange(std, "c -> c 1 1 1")


def load_vae_codec(folder: Path, *, device: torch.device, dtype: torch.dtype, tiling: bool = False) -> WanVaeCodec:
    """The codec of a folder in diffusers' layout. Raises CheckpointError when it is damaged or no Wan autoencoder."""
    config = read_json(folder, "config.json")
    vae = build_empty(lambda: AutoencoderKLWan.from_config(config), folder / "config.json")
    load_into(vae, stored_tensors(weight_files(folder, "diffusion_pytorch_model")), device=device, dtype=dtype)
    return WanVaeCodec(vae.requires_grad_(False), tiling=tiling)
