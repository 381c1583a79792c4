"""Files of named tensors that know their own checksum and appear whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from k4d_world_model.dataset.latent_cache import tensor_digest, write_atomically
from k4d_world_model.errors import SampleError


def write_tensors(path: Path, tensors: Mapping[str, Tensor], version: str) -> None:
    """Writes tensors of the CPU to ``path``, in place of an older file. Raises OSError, as on a full disk."""
    content = save(dict(tensors), {"version": version, "sha256": tensor_digest(tensors)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


def read_tensors(path: Path, version: str) -> dict[str, Tensor]:
    """The tensors of a file. Raises SampleError naming it when it is missing, damaged or of another version."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise SampleError(f"{path}: damaged tensors, remove the file to have it made anew: {error}") from error
    if metadata.get("version") != version:
        raise SampleError(f"{path}: tensors of version {metadata.get('version')}, expected {version}")
    if metadata.get("sha256") != tensor_digest(tensors):
        raise SampleError(f"{path}: the checksum differs; remove the file to have it made anew")
    return tensors
