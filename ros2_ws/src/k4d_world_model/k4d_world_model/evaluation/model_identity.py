"""What a world model's predictions and latents depend on, as hashes: two models of one hash predict the same."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from k4d_world_model.content_hash import content_hash
from k4d_world_model.prediction import installed_versions
from k4d_world_model.wan.checkpoint import IMAGE_ENCODER, VAE
from k4d_world_model.wan.model import WanWorldModel
from k4d_world_model.wan.weights import sha256_of
from k4d_world_model.world_model import WorldModel
from k4d_world_model.world_model_config import WorldModelConfig


@dataclass(frozen=True, eq=False)
class LatentCodec:
    """A model's codec, as it judges pictures.

    kind: see ``CodecSize``. sha256: of all that its latents depend on. encode: normalised latents of pictures
    (T, H, W, 3), raising ArchitectureError for those that do not divide into its cells.
    """

    kind: str
    sha256: str
    encode: Callable[[NDArray[np.uint8]], Tensor]


def codec_of(model: WorldModel, folder: Path) -> LatentCodec | None:
    """The codec of a model whose configuration's paths are relative to ``folder``; None for one without latents."""
    if not isinstance(model, WanWorldModel):
        return None
    size, runtime = model.architecture.codec, model.config.runtime
    depends: list[object] = [asdict(size)]
    if size.kind == "wan_vae":
        files = _files_sha256(_weights_folder(model.config, folder) / VAE)
        depends += [files, runtime.dtype, runtime.vae_tiling, installed_versions()]
    return LatentCodec(size.kind, content_hash(depends), model.latents)


def model_sha256(model: WorldModel, folder: Path) -> str:
    """Of the configuration, but for paths; of architecture, weights, codec and image encoder; of installed packages."""
    config = asdict(model.config)
    for name in ("checkpoint", "base", "adapter", "architecture"):
        config.pop(name)
    depends: list[object] = [config, model.weights_sha256, installed_versions()]
    if isinstance(model, WanWorldModel):
        weights = _weights_folder(model.config, folder)
        encoders = [VAE] if model.architecture.codec.kind == "wan_vae" else []
        encoders += [IMAGE_ENCODER] if model.architecture.transformer.image_dim else []
        depends += [asdict(model.architecture), [_files_sha256(weights / name) for name in encoders]]
    return content_hash(depends)


def _weights_folder(config: WorldModelConfig, folder: Path) -> Path:
    return folder / (config.checkpoint or config.base)


def _files_sha256(folder: Path) -> str:
    return sha256_of(sorted(path for path in folder.iterdir() if path.is_file()))
