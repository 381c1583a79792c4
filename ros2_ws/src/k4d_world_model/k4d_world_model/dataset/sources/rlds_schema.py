"""What a TFDS data set says of itself: its fields (features.json), its splits and shards (dataset_info.json)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from k4d_world_model.dataset.sources.json_files import member, read_json
from k4d_world_model.errors import SourceError

STEPS = "steps"
_MOST_NESTED = 64
_MOST_EPISODES = 5_000_000


@dataclass(frozen=True)
class Feature:
    """One field of an episode: its kind, the shape of one value (-1 where unknown), and whether each step has one.

    ``problem`` says why a field of kind "other" cannot be read.
    """

    kind: Literal["image", "text", "integer", "float", "other"]
    shape: tuple[int, ...]
    per_step: bool
    problem: str = ""


@dataclass(frozen=True)
class Split:
    """A part of a data set: its shard files in order, and how many episodes each holds."""

    name: str
    shards: tuple[str, ...]
    lengths: tuple[int, ...]


def read_features(root: Path) -> dict[str, Feature]:
    """All fields by their path, such as "steps/observation/image". Raises SourceError naming what is wrong."""
    path = root / "features.json"
    if not path.exists():
        versions = sorted(str(found.parent.relative_to(root)) for found in root.glob("*/features.json"))
        hint = f"; give one of its versions: {', '.join(versions)}" if versions else ""
        raise SourceError(f"{path}: no such file, so {root} is no prepared TFDS data set{hint}")
    return dict(_leaves(read_json(path), "", False, str(path), 0))


def read_splits(root: Path) -> tuple[tuple[Split, ...], str]:
    """The splits, and the data set's name and version. Raises SourceError when they are not of TFRecord files."""
    path = root / "dataset_info.json"
    info = read_json(path)
    name = member(info, "name", str, str(path))
    file_format = info.get("fileFormat", "tfrecord")
    if file_format != "tfrecord":
        raise SourceError(f"{path}: files are of format {file_format!r}, only 'tfrecord' is supported")
    splits = tuple(_split(entry, name, str(path)) for entry in member(info, "splits", list, str(path)))
    return splits, f"{name} {info.get('version', 'of unknown version')}"


def _split(entry: Any, dataset: str, where: str) -> Split:
    if not isinstance(entry, dict):
        raise SourceError(f"{where}: a split must be an object, got {entry!r}")
    name = member(entry, "name", str, where)
    lengths = tuple(_whole(text, f"{where}: shardLengths of {name!r}") for text in entry.get("shardLengths") or [])
    if not lengths:
        raise SourceError(f"{where}: split {name!r} has no shardLengths; the data set was not prepared completely")
    if sum(lengths) > _MOST_EPISODES:
        raise SourceError(f"{where}: split {name!r} may have {_MOST_EPISODES} episodes, got {sum(lengths)}")
    template = entry.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    if not isinstance(template, str):
        raise SourceError(f"{where}: filepathTemplate of {name!r} must be text, got {template!r}")
    shards = tuple(_shard_name(template, dataset, name, k, len(lengths), where) for k in range(len(lengths)))
    return Split(name, shards, lengths)


def _shard_name(template: str, dataset: str, split: str, shard: int, count: int, where: str) -> str:
    name = template
    for placeholder, value in (
        ("{DATASET}", dataset),
        ("{SPLIT}", split),
        ("{FILEFORMAT}", "tfrecord"),
        ("{SHARD_INDEX}", f"{shard:05d}"),
        ("{NUM_SHARDS}", f"{count:05d}"),
        ("{SHARD_X_OF_Y}", f"{shard:05d}-of-{count:05d}"),
    ):
        name = name.replace(placeholder, value)
    if "{" in name:
        raise SourceError(f"{where}: unknown placeholder in the file name {template!r}")
    return name


def _leaves(node: Any, path: str, per_step: bool, where: str, depth: int) -> Iterator[tuple[str, Feature]]:
    """The fields below one node of features.json, whose content is told by which member it has."""
    if not isinstance(node, dict) or depth > _MOST_NESTED:
        raise SourceError(f"{where}: {path or 'the top'} must be an object nested at most {_MOST_NESTED} deep")
    if "featuresDict" in node:
        inner = member(member(node, "featuresDict", dict, where), "features", dict, where)
        for name, child in inner.items():
            yield from _leaves(child, f"{path}/{name}" if path else name, per_step, where, depth + 1)
    elif "sequence" in node and path == STEPS:
        yield from _leaves(member(node, "sequence", dict, where).get("feature"), path, True, where, depth + 1)
    else:
        yield path, _leaf(node, per_step, f"{where}: {path}")


def _leaf(node: dict[str, Any], per_step: bool, where: str) -> Feature:
    if "image" in node:
        return Feature("image", _shape(node["image"], where), per_step)
    if "text" in node:
        return Feature("text", (), per_step)
    if "tensor" not in node:
        kind = node.get("pythonClassName", "without a class name")
        return Feature("other", (), per_step, f"a feature {kind} is not supported")
    tensor = member(node, "tensor", dict, where)
    dtype, encoding = str(tensor.get("dtype")), tensor.get("encoding", "none")
    shape = _shape(tensor, where)
    if encoding not in ("none", ""):
        return Feature("other", shape, per_step, f"a tensor with encoding {encoding!r} is not supported")
    if dtype in ("string", "object"):
        return Feature("text", shape, per_step)
    if dtype in ("float16", "float32", "float64", "bfloat16"):
        return Feature("float", shape, per_step)
    if dtype == "bool" or dtype.startswith(("int", "uint")):
        return Feature("integer", shape, per_step)
    return Feature("other", shape, per_step, f"a tensor of type {dtype!r} is not supported")


def _shape(node: Any, where: str) -> tuple[int, ...]:
    shape = node.get("shape", {}) if isinstance(node, dict) else None
    dimensions = shape.get("dimensions", []) if isinstance(shape, dict) else None
    if not isinstance(dimensions, list):
        raise SourceError(f"{where}: must have a shape with a list of dimensions, got {node!r}")
    return tuple(_whole(size, f"{where}: dimensions", smallest=-1) for size in dimensions)


def _whole(value: Any, where: str, smallest: int = 0) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{where} must be whole numbers, got {value!r}") from error
    if number < smallest:
        raise SourceError(f"{where} must be at least {smallest}, got {value!r}")
    return number
