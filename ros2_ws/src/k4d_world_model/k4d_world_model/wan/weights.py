"""Reading weights strictly: files that stay in their folder, and every tensor where it belongs, or an error."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from accelerate import init_empty_weights
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from k4d_world_model.errors import CheckpointError

M = TypeVar("M", bound=nn.Module)

# What models' constructors raise on numbers that make no model.
_UNBUILDABLE = (
    TypeError, ValueError, KeyError, AttributeError, RuntimeError, ZeroDivisionError, StrictDataclassError
)  # fmt: skip
_FLOATING = ("F16", "BF16", "F32")


class Stored(NamedTuple):
    """A tensor in a file: where, under which name, of which shape."""

    path: Path
    key: str
    shape: tuple[int, ...]


def file_inside(folder: Path, name: str) -> Path:
    """The file ``name`` of ``folder``. Raises CheckpointError when there is none or when it lies elsewhere."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CheckpointError(
            f"{path} must be a file inside {folder}, but leads to {path.resolve()}; copy weights as files, not as links"
        )
    if not path.is_file():
        raise CheckpointError(f"{folder} must hold a file {name}, but does not")
    return path


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in the file ``name`` of ``folder``. Raises CheckpointError when it cannot be read."""
    path = file_inside(folder, name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def weight_files(folder: Path, stem: str) -> list[Path]:
    """``stem``.safetensors of ``folder``, or the shards that its index lists, sorted by name.

    Raises CheckpointError when one is missing or lies outside the folder.
    """
    index = f"{stem}.safetensors.index.json"
    if not (folder / index).exists():
        return [file_inside(folder, f"{stem}.safetensors")]
    shards = read_json(folder, index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise CheckpointError(f"{folder / index} must map the names of tensors to files under 'weight_map'")
    return [file_inside(folder, name) for name in sorted(set(shards.values()))]


def stored_tensors(files: Iterable[Path]) -> dict[str, Stored]:
    """Every tensor in safetensors files by its name; only their headers are read.

    Raises CheckpointError for files that are damaged, hold the same name twice or other types than float16, bfloat16
    and float32.
    """
    stored: dict[str, Stored] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118
                    tensor = file.get_slice(key)
                    if tensor.get_dtype() not in _FLOATING and key != "vision_model.embeddings.position_ids":
                        raise CheckpointError(f"{path}: {key} must be one of {_FLOATING}, got {tensor.get_dtype()}")
                    if key in stored:
                        raise CheckpointError(f"{key} is stored twice: in {stored[key].path} and in {path}")
                    stored[key] = Stored(path, key, tuple(tensor.get_shape()))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    return stored


def read_tensors(stored: Mapping[str, Stored], device: torch.device) -> Iterable[tuple[str, Tensor]]:
    """Names and tensors, in their stored type on ``device``, one at a time, file by file."""
    by_file = sorted(stored.items(), key=lambda item: (item[1].path, item[1].key))
    for path, items in groupby(by_file, key=lambda item: item[1].path):
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                for name, tensor in items:
                    yield name, file.get_tensor(tensor.key)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error


def sha256_of(files: Sequence[Path]) -> str:
    """SHA-256 of a file; of several what ``sha256sum a b | sha256sum`` gives in their folder, sorted by name."""
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_digest, files))
    if len(digests) == 1:
        return digests[0]
    lines = sorted((path.name, digest) for path, digest in zip(files, digests, strict=True))
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build_empty(build: Callable[[], M], described_by: Path) -> M:
    """A module whose weights take no memory yet. Raises CheckpointError when ``build`` rejects what the file says."""
    try:
        with init_empty_weights(include_buffers=False):
            return build()
    except _UNBUILDABLE as error:
        raise CheckpointError(f"{described_by} does not describe a usable model: {error}") from error


def misfits(module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Every missing and unexpected name and every wrong shape among ``shapes``, for an error; empty where all fits."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    common = sorted(expected.keys() & shapes.keys())
    findings = {
        "missing": sorted(expected.keys() - shapes.keys()),
        "unexpected": sorted(shapes.keys() - expected.keys()),
        "of another shape": [
            f"{name} {shapes[name]} instead of {expected[name]}" for name in common if shapes[name] != expected[name]
        ],
    }
    return "; ".join(f"{len(names)} {what}: {', '.join(names)}" for what, names in findings.items() if names)


def load_into(
    module: nn.Module,
    stored: Mapping[str, Stored],
    *,
    device: torch.device,
    dtype: torch.dtype,
    given: Mapping[str, Tensor] | None = None,
    change: Callable[[str, Tensor], Tensor] = lambda _, tensor: tensor,
) -> None:
    """Fills a module from ``build_empty`` with tensors stored and ``given``, each changed by ``change(name, tensor)``.

    What its class lists in ``_keep_in_fp32_modules`` is float32, the rest ``dtype``. Raises CheckpointError, which
    lists every missing and unexpected name and every wrong shape, before anything is read.
    """
    given = given or {}
    shapes = {name: tensor.shape for name, tensor in stored.items()}
    shapes |= {name: tuple(tensor.shape) for name, tensor in given.items()}
    if found := misfits(module, shapes):
        files = ", ".join(sorted({str(tensor.path) for tensor in stored.values()}))
        raise CheckpointError(f"the weights in {files} do not fit {type(module).__name__}: {found}")
    exact = set(getattr(module, "_keep_in_fp32_modules", None) or ())
    state = {}
    for name, tensor in chain(given.items(), read_tensors(stored, device)):
        kind = torch.float32 if exact & set(name.split(".")) else dtype
        # A copy, since a tensor on the CPU is otherwise the file itself.
        state[name] = change(name, tensor).to(device, kind, copy=True)
    module.load_state_dict(state, assign=True)
    module.to(device).eval()
