"""CLIP's tower: the published pipeline's tokens, and preprocessing as CLIP's own."""

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessor

from k4d_world_model.wan.image_encoder import clip_pixels


def test_tokens_are_the_published_pipelines(published, pipeline) -> None:
    pictures = pipeline["in.image_u8"].permute(2, 0, 1)[None] / 127.5 - 1.0
    tokens = published.image_encoder(pictures.repeat(2, 1, 1, 1))
    assert tokens.shape == (2, 257, 20)
    assert (tokens[:, ::7] - pipeline["mid.image_embeds"]).abs().max() < 1e-5


@pytest.mark.parametrize(("height", "width"), [(48, 72), (61, 45), (37, 37), (480, 720)])
def test_pictures_are_prepared_as_clip_prepares_them(height, width) -> None:
    levels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    expected = processor(images=levels, return_tensors="np")["pixel_values"][0]
    pixels = clip_pixels(torch.from_numpy(levels).permute(2, 0, 1)[None] / 127.5 - 1.0, 32)
    assert pixels.shape == (1, 3, 32, 32)
    assert np.abs(pixels[0].numpy() - expected).max() < 1e-5
