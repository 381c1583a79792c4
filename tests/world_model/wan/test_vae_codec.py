"""Wan's autoencoder as a codec: the published pipeline's condition latents, normalisation, joint decoding, tiles."""

import copy

import pytest
import torch

from k4d_world_model.errors import ArchitectureError
from k4d_world_model.wan.architecture import Architecture, CodecSize, TransformerSize
from k4d_world_model.wan.codec import PixelCodec, decode_pair
from k4d_world_model.wan.vae_codec import WanVaeCodec


@pytest.fixture
def video() -> torch.Tensor:
    return torch.rand(1, 3, 5, 24, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_condition_is_coded_to_the_published_pipelines_latents(published, pipeline) -> None:
    """Picture and ramp side by side, then grey; latent frames depend on no later ones, so two of thirteen suffice."""
    picture = pipeline["in.image_u8"].permute(2, 0, 1) / 127.5 - 1.0
    x, y = torch.linspace(0, 1, 128).expand(128, 128), torch.linspace(0, 1, 128)[:, None].expand(128, 128)
    video = torch.zeros(1, 3, 5, 128, 256)
    video[0, :, 0] = torch.cat([picture, torch.stack([x, y, 1 - y]) * 2 - 1], dim=-1)
    latents = published.codec.encode(video)
    assert (latents - pipeline["in.condition_latents"][:, :, :2]).abs().max() < 1e-5


def test_sizes_are_those_of_the_configuration(published, video) -> None:
    assert published.codec.size == CodecSize("wan_vae", 8, 4, 16)
    latents = published.codec.encode(video)
    assert latents.shape == (1, 16, 2, 3, 5)
    assert published.codec.decode(latents).shape == video.shape
    with pytest.raises(ArchitectureError, match="got 5 frames of 24 x 36"):
        published.codec.encode(video[..., :36])


@torch.no_grad()
def test_latents_are_normalised_and_decoding_undoes_it(published, video) -> None:
    vae = published.codec.vae
    mean, std = (torch.tensor(vae.config[name]).view(16, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    posterior = vae.encode(video).latent_dist
    latents = published.codec.encode(video)
    assert torch.allclose(latents * std + mean, posterior.mode(), atol=1e-5)
    assert torch.allclose(published.codec.decode(latents), vae.decode(posterior.mode()).sample, atol=1e-5)
    drawn = [published.codec.encode(video, torch.Generator().manual_seed(seed)) for seed in (4, 4, 5)]
    assert torch.equal(drawn[0], drawn[1])
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(drawn[2], latents + posterior.std * noise / std, atol=1e-5)


def test_it_computes_in_the_type_of_its_weights_and_returns_what_it_was_given(published, video) -> None:
    low = WanVaeCodec(copy.deepcopy(published.codec.vae).to(torch.bfloat16))
    latents = low.encode(video)
    assert latents.dtype == low.decode(latents).dtype == torch.float32
    exact = published.codec.encode(video)
    assert 0 < torch.linalg.norm(latents - exact) < 0.05 * torch.linalg.norm(exact)


def test_tiles_are_used_only_when_asked_for_and_change_the_numbers(published) -> None:
    latents = torch.randn(1, 16, 1, 3, 40, generator=torch.Generator().manual_seed(6))
    whole = published.codec.decode(latents)
    tiled = WanVaeCodec(published.codec.vae, tiling=True).decode(latents)
    again = WanVaeCodec(published.codec.vae).decode(latents)
    assert torch.equal(whole, again)
    assert tiled.shape == whole.shape
    assert not torch.equal(whole, tiled)


def test_a_pair_is_decoded_as_one_picture_with_its_pointmaps_denormalised(published, architecture) -> None:
    latents = torch.randn(1, 16, 2, 3, 10, generator=torch.Generator().manual_seed(7))
    rgb, points = decode_pair(latents, architecture, published.codec)
    assert rgb.shape == points.shape == (1, 3, 5, 24, 40)
    raw = torch.cat([latents[..., :5], latents[..., 5:] * 1.36 - 0.17], dim=-1)
    assert torch.equal(torch.cat([rgb, points], dim=-1), published.codec.decode(raw))
    assert not torch.allclose(rgb, published.codec.decode(latents[..., :5]), atol=1e-3)


def test_a_pair_of_rearranged_pixels_comes_back_without_loss(video) -> None:
    size = CodecSize("pixels", 4, 2, 96)
    transformer = TransformerSize(num_attention_heads=1, attention_head_dim=12, num_layers=1, image_dim=0)
    architecture = Architecture(5, 24, 40, codec=size, transformer=transformer)
    codec = PixelCodec(size)
    points = video.flip(-1) * 0.5
    latents = torch.cat([codec.encode(video), (codec.encode(points) + 0.17) / 1.36], dim=-1)
    decoded = decode_pair(latents, architecture, codec)
    assert torch.allclose(decoded[0], video, atol=1e-6)
    assert torch.allclose(decoded[1], points, atol=1e-6)
