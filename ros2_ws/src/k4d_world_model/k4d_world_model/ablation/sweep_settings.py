"""What all runs of a sweep share, and how its samples and its robot are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from k4d_kinematics import ConfiguredRobot, configured_robot
from k4d_world_model.dataset.building.manifest import read_manifest
from k4d_world_model.dataset.building.split import Part
from k4d_world_model.dataset.building.split_lists import read_split
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.dataset.robot_pointmaps import drawn_robot_sha256
from k4d_world_model.errors import AblationError, DatasetError
from k4d_world_model.wan.architecture import Architecture


@dataclass(frozen=True)
class SweepSettings:
    """What all runs of a sweep share.

    data: roots of native data sets, told apart by their folders' names. out: folder of runs and results. robot: its
    YAML, where the preset's architecture reads rendered pictures. cache: folder of prepared clips. episodes: how many
    validation samples of each data set judge, at least 1; None for all.

    Samples and robot are read once: they are those of the moment when they were first asked for.
    """

    data: tuple[Path, ...]
    out: Path
    robot: Path | None
    cache: Path
    episodes: int | None = None

    def __post_init__(self) -> None:
        names = [root.resolve().name for root in self.data]
        if not names or len(set(names)) != len(names):
            raise AblationError(f"a sweep needs data sets in folders of different names, got {names}")
        if self.episodes is not None and self.episodes < 1:
            raise AblationError(f"at least 1 episode of each data set must judge, got {self.episodes}")

    def roots(self, names: Sequence[str]) -> tuple[Path, ...]:
        """The data sets of these names, all without any. Raises AblationError for a name that none has."""
        by_name = {root.resolve().name: root for root in self.data}
        if missing := set(names) - set(by_name):
            raise AblationError(f"no data set is called {sorted(missing)}, there are {sorted(by_name)}")
        return tuple(by_name[name] for name in names) or self.data

    def drawn_robot(self, architecture: Architecture) -> ConfiguredRobot | None:
        """The robot that is drawn for an architecture, None for one that takes the recorded one."""
        return self._robot if architecture.robot_pictures == "rendered" else None

    def robot_sha256(self, architecture: Architecture) -> str | None:
        """The hash of that robot: its description, its tool and its surface as it is drawn."""
        return self._robot_sha256 if architecture.robot_pictures == "rendered" else None

    @cached_property
    def learnable(self) -> Mapping[Path, Mapping[str, str]]:
        """The samples to learn from of each root, as ``sample_hashes`` gives them."""
        return {root: sample_hashes(root, "train") for root in self.data}

    @cached_property
    def _robot(self) -> ConfiguredRobot | None:
        return None if self.robot is None else configured_robot(self.robot, self.cache / "surfaces")

    @cached_property
    def _robot_sha256(self) -> str | None:
        return None if self._robot is None else drawn_robot_sha256(self._robot)


def sample_hashes(root: Path, part: Part) -> dict[str, str]:
    """The sha256 of every sample of a part's list, by identifier and in the list's order.

    Raises DatasetError where there is no data set or list, and naming a sample that the manifest lacks.
    """
    layout = NativeLayout(dataset_root(root))
    known = {sample.episode_id: sample.sha256 for sample in read_manifest(layout).samples}
    listed = read_split(layout, part)
    if missing := [name for name in listed if name not in known]:
        raise DatasetError(f"{layout.manifest}: has no sample {missing[0]}, which the list {part!r} names")
    return {name: known[name] for name in listed}
