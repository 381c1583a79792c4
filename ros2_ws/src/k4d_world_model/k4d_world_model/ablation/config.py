"""What an ablation compares: the schema of config/ablations/*.yaml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from k4d_kinematics import read_configuration
from k4d_kinematics.configuration import from_mapping
from k4d_kinematics.errors import ConfigurationError
from k4d_world_model.ablation.figures import FIGURES
from k4d_world_model.ablation.pointmap_noise import PointmapNoise
from k4d_world_model.errors import AblationError
from k4d_world_model.training.config import TrainingConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Folders beside those of ablations.
_TAKEN = ("runs", "clips")


@dataclass(frozen=True)
class Variant:
    """One line of an ablation's table.

    name: of the line and of its runs' folder; variants of one name in several files must be the same.
    changes: keys of the preset, nested as there, with other values.
    data: names of the data sets' folders to learn from; all that are given where there are none.
    clips: how many clips to learn from, spread evenly over them; 0 for all.
    model_of: the variant whose finished models are taken instead of training some.
    noise: what is done to the robot's pointmaps before a prediction.
    points_by: the variant whose models make points of the pictures that this one predicts.

    Raises AblationError on a name that is no safe file name, and where the others contradict each other.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    clips: int = 0
    model_of: str = ""
    noise: PointmapNoise = field(default_factory=PointmapNoise)
    points_by: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.model_of and (self.changes or self.data or self.clips):
            raise AblationError(f"variant {self.name!r} takes the models of {self.model_of!r} and cannot change them")
        if self.clips < 0:
            raise AblationError(f"variant {self.name!r}: clips must be at least 0, got {self.clips}")


@dataclass(frozen=True)
class AblationConfig:
    """An ablation, as config/ablations/*.yaml describes it.

    name, title: of its folder and of its table. preset: training YAML relative to this file, which says the budget.
    reference: the variant that differences are taken to.
    judged_on: names of the data sets' folders whose clips count in the tables; all without any.
    paper_order: for figures by name, the variants from best to worst as the paper's table has them.

    Raises AblationError where names are missing, doubled or of no variant before, and on one that is no safe file name.
    """

    name: str
    title: str
    preset: str
    reference: str
    variants: tuple[Variant, ...]
    judged_on: tuple[str, ...] = ()
    paper_order: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.name in _TAKEN:
            raise AblationError(
                f"an ablation cannot be called {self.name!r}, as other folders are: {', '.join(_TAKEN)}"
            )
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names) or self.reference not in names:
            raise AblationError(f"variants need different names, {self.reference!r} among them, got {names}")
        for k, variant in enumerate(self.variants):
            for other in filter(None, (variant.model_of, variant.points_by)):
                if other not in names[:k]:
                    raise AblationError(f"variant {variant.name!r} needs {other!r} before it, got {names[:k]}")
        if unknown := {name for order in self.paper_order.values() for name in order} - set(names):
            raise AblationError(f"paper_order names {sorted(unknown)}, the variants are {names}")
        if unknown := set(self.paper_order) - set(FIGURES):
            raise AblationError(f"paper_order orders by {sorted(unknown)}, the figures are {', '.join(FIGURES)}")

    def variant(self, name: str) -> Variant:
        """The variant of that name, which must be one."""
        return next(variant for variant in self.variants if variant.name == name)


@dataclass(frozen=True)
class Ablation:
    """An ablation and the preset that its variants change: ``content`` as YAML has it, of the file ``path``."""

    config: AblationConfig
    preset: Path
    content: Mapping[str, Any]

    def training(self, variant: Variant, seed: int) -> TrainingConfig:
        """How a variant trains. Raises ConfigurationError naming the variant where its changes fit no schema."""
        content = _changed(self.content, variant.changes)
        try:
            return replace(from_mapping(content, TrainingConfig), name=variant.name, seed=seed)
        except ValueError as error:
            raise ConfigurationError(f"{self.preset} as variant {variant.name!r}: {error}") from error


def read_ablation(path: Path) -> Ablation:
    """The ablation of a YAML file. Raises ConfigurationError or AblationError naming what is wrong with it."""
    config = read_configuration(path, AblationConfig)
    preset = path.parent / config.preset
    read_configuration(preset, TrainingConfig)
    ablation = Ablation(config, preset, yaml.safe_load(preset.read_text()))
    for variant in config.variants:
        ablation.training(variant, 0)
    return ablation


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AblationError(
            f"a name must be 1 to 64 of A-Z a-z 0-9 . _ - and start with a letter or digit, got {name!r}"
        )


def _changed(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The content with the values of ``changes``, key by key at any depth."""
    result = dict(content)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = _changed(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return result
