"""Folders of the published Robo4D-200k layout as a source of affine episodes."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.dataset.episode import Episode, check_episode_id
from k4d_world_model.dataset.layout import Robo4DLayout
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.rooted_path import rooted_path
from k4d_world_model.dataset.storage.robo4d_sample import MASK_THRESHOLD, read_robo4d_sample
from k4d_world_model.errors import EpisodeError, SampleError, SourceError


@dataclass(frozen=True)
class Robo4DConfig:
    """Which samples of a published data set are read, and how their masks.

    ``split`` "train" and "val" are what the published lists name, "all" is every file in videos/. A pixel whose colour
    in the robot's video exceeds ``mask_threshold`` (0 to 254) shows the robot. Raises SourceError on another threshold.
    """

    name: str = "robo4d"
    split: Literal["train", "val", "all"] = "all"
    mask_threshold: int = MASK_THRESHOLD

    def __post_init__(self) -> None:
        if not self.name or not 0 <= self.mask_threshold <= 254:
            raise SourceError(
                f"name must not be empty and mask_threshold be from 0 to 254, got {self.name!r}, {self.mask_threshold}"
            )


class Robo4DSource:
    """Samples below ``root``; they hold no joints, so no robot is of use to them."""

    def __init__(self, config: Robo4DConfig, root: Path, robot: ConfiguredRobot | None = None) -> None:
        if robot is not None:
            raise SourceError("the published layout holds no joints: a robot cannot be applied to it")
        self._config = config
        self._layout = Robo4DLayout(root)

    def episode_ids(self) -> tuple[str, ...]:
        """The samples in the order of their list, or by name for "all". Raises SourceError naming a damaged list."""
        if self._config.split == "all":
            return self._all_names()
        path = self._list()
        names = tuple(_name(line, f"{path}:{number}") for number, line in enumerate(_lines(self._layout, path), 1))
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            raise SourceError(f"{path}: each sample must be listed once, repeated are {', '.join(repeated[:5])}")
        return names

    def read(self, episode_id: str, sampling: FrameSampling) -> Episode:
        """The affine episode of a sample.

        Raises RejectedEpisodeError when it is too short, a file is missing or its videos differ in length or size, and
        SourceError naming a video that cannot be decoded.
        """
        config = self._config
        try:
            return read_robo4d_sample(
                self._layout,
                check_episode_id(episode_id),
                mask_threshold=config.mask_threshold,
                sampling=sampling,
                source=config.name,
            )
        except (SampleError, EpisodeError) as error:
            raise SourceError(str(error)) from error

    def _all_names(self) -> tuple[str, ...]:
        folder = self._layout.videos
        if not folder.is_dir():
            raise SourceError(f"{folder}: no such folder; the published layout has its videos there")
        return tuple(sorted(_name(f"videos/{path.name}", str(path)) for path in folder.iterdir()))

    def _list(self) -> Path:
        if self._config.split == "train":
            return self._layout.train_list
        known = (self._layout.val_list, self._layout.val_sample_list)
        return next((path for path in known if path.exists()), known[0])


def _lines(layout: Robo4DLayout, path: Path) -> list[str]:
    try:
        return rooted_path(layout.root, path.name).read_text().splitlines()
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: the list of samples cannot be read: {error}") from error


def _name(line: str, place: str) -> str:
    """The sample's name in a line ``videos/<name>.mp4``."""
    path = PurePosixPath(line)
    if path.parts != ("videos", path.name) or path.suffix != ".mp4":
        raise SourceError(f"{place}: expected videos/<name>.mp4, got {line!r}")
    try:
        return check_episode_id(path.stem)
    except EpisodeError as error:
        raise SourceError(f"{place}: {error}") from error
