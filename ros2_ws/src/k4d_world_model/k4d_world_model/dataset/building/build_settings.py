"""What a build is to make, and what of it all builds of one data set must agree in."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from k4d_world_model.dataset.building.manifest import Value
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.opening import read_source_yaml
from k4d_world_model.errors import DatasetError

# Packages that decide what samples look like.
_PACKAGES = ("k4d_world_model", "k4d_simulation", "k4d_kinematics", "numpy", "av", "mujoco")


@dataclass(frozen=True)
class BuildSettings:
    """How to build a data set from a source.

    ``episodes`` are built, the first of the source; all where it is None. ``sampling`` chooses their frames. Of every
    stratum ``validation_share`` in [0, 0.5] validates, chosen by ``split_seed``. ``workers`` processes of this machine
    build, one a core where it is None; with ``ray``, a cluster's address or "local", Ray's do. ``root`` is the folder
    of recordings, ``cache`` that of prepared robot surfaces.

    Raises DatasetError on other values, and on both ``workers`` and the address of a cluster, which has its own.
    """

    episodes: int | None = None
    sampling: FrameSampling = field(default_factory=FrameSampling)
    validation_share: float = 0.02
    split_seed: int = 0
    workers: int | None = None
    ray: str = ""
    root: Path | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        for name in ("episodes", "workers"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise DatasetError(f"{name} must be at least 1, got {number}")
        if not 0.0 <= self.validation_share <= 0.5:
            raise DatasetError(f"validation_share must be in [0, 0.5], got {self.validation_share}")
        if self.workers is not None and self.ray not in ("", "local"):
            raise DatasetError(f"a cluster has its own number of workers: give workers or ray {self.ray!r}, not both")

    @property
    def worker_count(self) -> int:
        """Episodes built at once on this machine."""
        return self.workers if self.workers is not None else len(os.sched_getaffinity(0))


def identity(source: Path, settings: BuildSettings) -> dict[str, Value]:
    """All that a sample or the split depends on, flat: of YAML files that the source names, their content too."""
    values: dict[str, Value] = {
        "frames": settings.sampling.frames,
        "mirror_short": settings.sampling.mirror_short,
        "validation_share": settings.validation_share,
        "split_seed": settings.split_seed,
        "root": None if settings.root is None else str(settings.root.resolve()),
    }
    return values | source_settings(source, "source")


def source_settings(source: Path, name: str) -> dict[str, Value]:
    """What a source's YAML and those that it names say, flat and below ``name``, but for the number of episodes.

    How many there are decides about none of them, so a data set may grow.
    """
    read = read_source_yaml(source)
    read.pop("episodes", None)
    return flat_settings(name, read, source.parent)


def program_versions(*more: str) -> dict[str, str]:
    """Versions of Python, of the packages that decide what samples look like, and of ``more`` packages."""
    versions = {"python": platform.python_version()}
    for name in (*_PACKAGES, *more):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def flat_settings(name: str, value: object, folder: Path) -> dict[str, Value]:
    """A setting, or every setting in it, by its dotted name; a YAML file's path is followed by what the file holds.

    ``folder`` is what paths are relative to. Raises DatasetError naming a YAML file that cannot be read.
    """
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        parts = [flat_settings(f"{name}.{part}", inner, folder) for part, inner in value.items()]
        return {key: item for part in parts for key, item in part.items()}
    inside = _named_file(name, folder / value) if isinstance(value, str) and value.endswith((".yaml", ".yml")) else {}
    return {name: value if isinstance(value, Value) else str(value)} | inside


def _named_file(name: str, path: Path) -> dict[str, Value]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DatasetError(f"{name}: {path} cannot be read as YAML: {error}") from error
    return flat_settings(name, content, path.parent) if isinstance(content, Mapping) else {}
