"""Reads episodes of LIBERO's, robomimic's and robosuite's HDF5 files."""

import math
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.dataset.episode import Episode, EpisodeInfo, check_episode_id
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.calibration import Calibration
from k4d_world_model.dataset.sources.hdf5_config import Hdf5Config
from k4d_world_model.dataset.sources.hdf5_file import (
    open_dataset,
    open_group,
    open_hdf5,
    read_rows,
    read_text_attribute,
)
from k4d_world_model.dataset.sources.json_files import member, parse_json
from k4d_world_model.dataset.sources.mujoco_calibration import mujoco_calibration
from k4d_world_model.dataset.sources.recorded_episode import check_robot_given, recorded_episode
from k4d_world_model.dataset.sources.recorded_fields import join_joints
from k4d_world_model.dataset.sources.rooted_path import rooted_path
from k4d_world_model.errors import EpisodeError, SourceError

__all__ = ["Hdf5Config", "Hdf5Source"]

_MOST_NUMBERS = 192_000_000
_MOST_FRAMES = 10_000_000

Rows = TypeVar("Rows", NDArray[np.uint8], NDArray[np.float32])


class Hdf5Source:
    """The demonstrations of all HDF5 files below a folder, one episode each: <name>-<file stem>-<demo>."""

    def __init__(self, config: Hdf5Config, root: Path, robot: ConfiguredRobot | None = None) -> None:
        check_robot_given(config.robot, robot)
        self._config = config
        self._root = root
        self._robot = robot

    def episode_ids(self) -> tuple[str, ...]:
        """All demonstrations, by file name and number. Raises SourceError naming a file that cannot be read."""
        return tuple(self._demos)

    def read(self, episode_id: str, sampling: FrameSampling) -> Episode:
        """The episode with the frames that ``sampling`` chooses, only those being read, at times index / rate_hz.

        Raises RejectedEpisodeError when it does not qualify, SourceError naming the file when it is damaged, and
        SourceError listing what there is when a configured data set is missing.
        """
        if episode_id not in self._demos:
            raise SourceError(f"{self._root}: no episode {episode_id!r}; see episode_ids()")
        file_name, demo_name = self._demos[episode_id]
        with open_hdf5(rooted_path(self._root, file_name)) as file:
            demo = open_group(file, f"data/{demo_name}")
            return self._read(demo, file_name, episode_id, sampling)

    def _read(self, demo: h5py.Group, file_name: str, episode_id: str, sampling: FrameSampling) -> Episode:
        config = self._config
        images = open_dataset(demo, config.image)
        shape = images.shape
        if len(shape) != 4 or shape[3] != 3 or images.dtype != np.uint8 or not 0 < math.prod(shape[1:]) < _MOST_NUMBERS:
            raise SourceError(
                f"{_place(demo)}/{config.image} must be uint8 (T, H, W, 3) with 1 to {_MOST_NUMBERS} numbers a frame, "
                f"got {images.dtype} {shape}"
            )
        count, height, width = shape[:3]
        if count > _MOST_FRAMES:
            raise SourceError(f"{_place(demo)}/{config.image} may have {_MOST_FRAMES} frames, got {count}")
        indices = sampling.indices(count)
        times = sampling.times(np.arange(count) / config.rate_hz)
        values = [self._rows(demo, field.field, count, indices) for field in config.joints]
        info = EpisodeInfo(
            episode_id,
            config.name,
            robot=config.robot and Path(config.robot).stem,
            task=Path(file_name).stem,
            caption=_caption(demo, config.caption),
            success=self._success(demo),
            provenance=f"{file_name}, {demo.name}",
        )
        return recorded_episode(
            info,
            np.ascontiguousarray(self._upright(read_rows(images, indices).astype(np.uint8))),
            times,
            join_joints(config.joints, values, times) if values else None,
            self._calibration(demo, height, width),
            self._robot,
            self._depth(demo, (count, height, width), indices),
        )

    @cached_property
    def _demos(self) -> dict[str, tuple[str, str]]:
        """File and group of each episode."""
        demos: dict[str, tuple[str, str]] = {}
        for file_name, demo_name in self._found():
            episode_id = f"{self._config.name}-{Path(file_name).stem}-{demo_name}"
            try:
                check_episode_id(episode_id)
            except EpisodeError as error:
                raise SourceError(f"{self._root / file_name}: {error}") from error
            if episode_id in demos:
                raise SourceError(f"{self._root}: {file_name} and {demos[episode_id][0]} both give {episode_id}")
            demos[episode_id] = (file_name, demo_name)
        return demos

    def _found(self) -> Iterator[tuple[str, str]]:
        files = sorted(path.relative_to(self._root).as_posix() for path in self._root.glob(self._config.files))
        if not files:
            raise SourceError(f"{self._root}: no file matches {self._config.files!r}")
        for file_name in files:
            with open_hdf5(rooted_path(self._root, file_name)) as file:
                for demo_name in sorted(open_group(file, "data"), key=_natural_order):
                    yield file_name, demo_name

    def _rows(self, demo: h5py.Group, name: str, count: int, indices: NDArray[np.intp]) -> NDArray[np.generic]:
        """Chosen rows (T, C) of a data set of numbers with a row for each frame."""
        dataset = open_dataset(demo, name)
        if dataset.ndim not in (1, 2) or len(dataset) != count or dataset.dtype.kind not in "biuf":
            raise SourceError(
                f"{_place(demo)}/{name} must hold numbers (T,) or (T, C) for {count} frames, got {dataset.dtype} "
                f"{dataset.shape}"
            )
        numbers = math.prod(dataset.shape[1:]) * len(indices)
        if not 0 < numbers <= _MOST_NUMBERS:
            raise SourceError(f"{_place(demo)}/{name} must have 1 to {_MOST_NUMBERS} numbers to read, got {numbers}")
        return read_rows(dataset, indices).reshape(len(indices), -1)

    def _success(self, demo: h5py.Group) -> bool | None:
        rule = self._config.success
        if rule is None:
            return None
        count = len(open_dataset(demo, self._config.image))
        return rule.judge(self._rows(demo, rule.field, count, np.arange(count)))

    def _depth(
        self, demo: h5py.Group, shape: tuple[int, int, int], indices: NDArray[np.intp]
    ) -> NDArray[np.float32] | None:
        field = self._config.depth
        if field is None:
            return None
        dataset = open_dataset(demo, field.field)
        if dataset.shape not in (shape, (*shape, 1)) or dataset.dtype.kind not in "iuf":
            raise SourceError(
                f"{_place(demo)}/{field.field} must hold numbers {shape} or {(*shape, 1)}, "
                f"got {dataset.dtype} {dataset.shape}"
            )
        return self._upright(field.metres(read_rows(dataset, indices).reshape(len(indices), *shape[1:])))

    def _upright(self, rows: Rows) -> Rows:
        """Pictures (T, H, W, ...) with their top row first."""
        return rows[:, ::-1] if self._config.first_row == "bottom" else rows

    def _calibration(self, demo: h5py.Group, height: int, width: int) -> Calibration | None:
        if self._config.calibration is not None:
            return self._config.calibration.calibration()
        model = self._config.mujoco
        if model is None:
            return None
        xml = read_text_attribute(demo, model.attribute)
        if xml is None:
            raise SourceError(f"{_place(demo)} has no attribute {model.attribute!r} with its MuJoCo model")
        return mujoco_calibration(
            xml, model.camera, model.base_body, height, width, f"{_place(demo)}, {model.attribute}"
        )


def _caption(demo: h5py.Group, source: str) -> str:
    """The text of an attribute of the demonstration or its parent, or of a member of the JSON that it holds."""
    if not source:
        return ""
    name, _, key = source.partition("/")
    text = read_text_attribute(demo, name)
    if text is None:
        text = read_text_attribute(demo.parent, name)
    if text is None:
        there = ", ".join([*demo.attrs, *demo.parent.attrs]) or "none"
        raise SourceError(f"{_place(demo)}: no attribute {name!r} for the caption; there are {there}")
    return member(parse_json(text, f"{_place(demo)}, {name}"), key, str, f"{_place(demo)}, {name}") if key else text


def _natural_order(name: str) -> tuple[str, int, str]:
    """demo_2 before demo_10."""
    match = re.search(r"\d{1,18}$", name)
    return (name[: match.start()], int(match[0]), name) if match else (name, -1, name)


def _place(demo: h5py.Group) -> str:
    return f"{demo.file.filename}: {demo.name}"
