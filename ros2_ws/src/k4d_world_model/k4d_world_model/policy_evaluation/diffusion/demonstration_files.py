"""Demonstrations on disk: shards of so many scenes each, there whole or not at all, so that a making goes on."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from k4d_kinematics import ConfiguredRobot, read_configuration
from k4d_simulation import SceneConfig
from k4d_world_model.dataset.building.build_settings import flat_settings, program_versions
from k4d_world_model.dataset.robot_pointmaps import drawn_robot_sha256
from k4d_world_model.errors import TrainingError
from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.demonstrations import (
    Demonstration,
    DemonstrationConfig,
    demonstrate,
)

SCENES_PER_SHARD = 50


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """N frames of E successes out of ``tried`` scenes; ``episode`` (N,) tells whose each frame is.

    The other arrays are those of ``Demonstration``, per frame, or per episode where they do not change in it.
    """

    tried: int
    sentences: tuple[str, ...]
    episode: NDArray[np.int64]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float16]
    rays: NDArray[np.float32]
    T_base_cam: NDArray[np.float64]
    state: NDArray[np.float32]
    goals: NDArray[np.float32]
    marks: NDArray[np.float32]


# What of an architecture demonstrations depend on.
_DECISIVE = ("height", "width", "horizon", "period", "centre", "scale", "widest_opening")
_PER_FRAME = ("rgb", "depth", "state", "goals", "marks")
_PER_EPISODE = ("rays", "T_base_cam")


def make_demonstrations(
    folder: Path,
    config: DemonstrationConfig,
    scenes: Path,
    robot: ConfiguredRobot,
    architecture: PolicyArchitecture,
    shown: Callable[[Iterable[Demonstration | None], int, int], Iterable[Demonstration | None]],
) -> Demonstrations:
    """The demonstrations of ``config``, of which shards in ``folder`` are taken as they are and missing ones made.

    ``scenes`` is what ``config.scenes`` are relative to. ``shown`` passes on what is made, given how many scenes are
    done already and how many there are, as for a progress bar. Raises TrainingError naming a shard that is damaged or
    was made with other settings, and where no scene gave a demonstration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = _recipe(config, scenes, robot, architecture)
    parts = [range(k, min(k + SCENES_PER_SHARD, config.count)) for k in range(0, config.count, SCENES_PER_SHARD)]
    paths = [folder / f"scenes_{part.start:06d}_{len(part)}.safetensors" for part in parts]
    missing = [(path, part) for path, part in zip(paths, parts, strict=True) if not path.exists()]
    done = config.count - sum(len(part) for _, part in missing)
    made = iter(shown(_make([part for _, part in missing], config, scenes, robot, architecture), done, config.count))
    for path, part in missing:
        _write(path, [one for one in islice(made, len(part)) if one is not None], recipe, len(part))
    return _joined([_read(path, recipe) for path in paths])


def _recipe(config: DemonstrationConfig, scenes: Path, robot: ConfiguredRobot, architecture: PolicyArchitecture) -> str:
    """What the scenes of a shard depend on, besides their turns: settings, what scene YAMLs hold, robot, programs."""
    settings = {name: value for name, value in asdict(config).items() if name != "count"}
    settings |= flat_settings("scene", list(config.scenes), scenes)
    settings |= {"robot": drawn_robot_sha256(robot), "programs": program_versions()}
    return json.dumps(settings | {name: getattr(architecture, name) for name in _DECISIVE}, sort_keys=True)


def _make(
    parts: Sequence[range],
    config: DemonstrationConfig,
    scenes: Path,
    robot: ConfiguredRobot,
    architecture: PolicyArchitecture,
) -> Iterator[Demonstration | None]:
    scene_configs = [read_configuration(scenes / name, SceneConfig) for name in config.scenes]
    for part in parts:
        yield from demonstrate(config, part, scene_configs, robot, architecture)


def _write(path: Path, made: Sequence[Demonstration], recipe: str, tried: int) -> None:
    arrays = {name: np.concatenate([getattr(one, name) for one in made]) for name in _PER_FRAME if made}
    arrays |= {name: np.stack([getattr(one, name) for one in made]) for name in _PER_EPISODE if made}
    arrays["lengths"] = np.array([len(one.rgb) for one in made], np.int64)
    metadata = {"recipe": recipe, "tried": str(tried), "sentences": json.dumps([one.sentence for one in made])}
    partial = path.with_name(f".{path.name}.partial")
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial, metadata)
    os.replace(partial, path)


@dataclass(frozen=True, eq=False)
class _Shard:
    tried: int
    sentences: tuple[str, ...]
    arrays: dict[str, NDArray[np.generic]]


def _read(path: Path, recipe: str) -> _Shard:
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["recipe"] != recipe:
            raise TrainingError(f"{path}: was made with other settings; remove it, or name another folder")
        sentences = tuple(json.loads(metadata["sentences"]))
        return _Shard(int(metadata["tried"]), sentences, arrays)
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise TrainingError(f"{path}: is no whole shard of demonstrations, remove it: {error}") from error


def _joined(shards: Sequence[_Shard]) -> Demonstrations:
    filled = [shard for shard in shards if shard.sentences]
    tried = sum(shard.tried for shard in shards)
    if not filled:
        raise TrainingError(f"none of {tried} scenes gave a demonstration; ask for more, or for easier scenes")
    lengths = np.concatenate([shard.arrays["lengths"] for shard in filled])
    arrays = {name: np.concatenate([shard.arrays[name] for shard in filled]) for name in (*_PER_FRAME, *_PER_EPISODE)}
    sentences = tuple(sentence for shard in filled for sentence in shard.sentences)
    return Demonstrations(tried, sentences, np.repeat(np.arange(len(lengths)), lengths), **arrays)
