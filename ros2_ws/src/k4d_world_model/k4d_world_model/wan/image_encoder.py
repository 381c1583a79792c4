"""CLIP's vision tower: what the transformer is told of the first picture beside its latents."""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from k4d_world_model.wan.weights import build_empty, load_into, read_json, stored_tensors, weight_files

# Of the pictures that CLIP was trained on, per channel, for values in [0, 1].
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class ClipImageEncoder:
    """Tokens (b, 257, image_dim) of pictures (b, 3, H, W) in [-1, 1]: the last layer but one of CLIP's vision tower."""

    def __init__(self, model: CLIPVisionModel) -> None:
        self.model = model

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """The tokens, in the type of ``pictures``."""
        size: int = self.model.config.image_size  # type: ignore[assignment]
        pixels = clip_pixels(pictures, size).to(self.model.device, self.model.dtype)
        tokens: Tensor = self.model(pixels, output_hidden_states=True).hidden_states[-2]
        return tokens.to(pictures.device, pictures.dtype)


def clip_pixels(pictures: Tensor, size: int) -> Tensor:
    """CLIP's input (b, 3, size, size) for pictures (b, 3, H, W) in [-1, 1], float32 on the CPU.

    As in CLIP's own preprocessing: 8 bits a channel, Pillow's bicubic filter to ``size`` pixels on the shorter side,
    the middle square.
    """
    levels = ((pictures.float().cpu() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    squares = np.stack([_middle_square(picture, size) for picture in rearrange(levels, "b c h w -> b h w c").numpy()])
    pixels = rearrange(torch.from_numpy(squares), "b h w c -> b c h w").float() / 255.0
    mean, std = (rearrange(torch.tensor(numbers), "c -> c 1 1") for numbers in (MEAN, STD))
    return (pixels - mean) / std


def _middle_square(picture: np.ndarray, size: int) -> np.ndarray:
    height, width = picture.shape[:2]
    shorter = min(height, width)
    height, width = size * height // shorter, size * width // shorter
    resized = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - size) // 2, (width - size) // 2
    return resized[top : top + size, left : left + size]


def load_image_encoder(folder: Path, *, device: torch.device, dtype: torch.dtype = torch.float32) -> ClipImageEncoder:
    """The encoder of a folder in transformers' layout. Raises CheckpointError when it is damaged or no CLIP tower."""
    config = read_json(folder, "config.json")
    model = build_empty(lambda: CLIPVisionModel(CLIPVisionConfig.from_dict(config)), folder / "config.json")
    stored = stored_tensors(weight_files(folder, "model"))
    # transformers wrote the tower's names with a prefix up to version 4, and its positions as a tensor before that.
    plain = {name.removeprefix("vision_model."): tensor for name, tensor in stored.items()}
    plain.pop("embeddings.position_ids", None)
    load_into(model, plain, device=device, dtype=dtype)
    return ClipImageEncoder(model.requires_grad_(False))
