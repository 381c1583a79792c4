"""Reads episodes of LeRobotDataset v3 with pyarrow and PyAV, without lerobot or torch."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.calibration import CalibrationConfig, check_robot_inputs
from k4d_world_model.dataset.sources.encoded_pictures import decode_pictures
from k4d_world_model.dataset.sources.lerobot_tables import SUPPORTED, EpisodeEntry, LeRobotTables
from k4d_world_model.dataset.sources.recorded_episode import check_name, check_robot_given, recorded_episode
from k4d_world_model.dataset.sources.recorded_fields import JointField, SuccessField, join_joints
from k4d_world_model.dataset.sources.rooted_path import rooted_path
from k4d_world_model.dataset.sources.video_frames import read_video_frames
from k4d_world_model.errors import SourceError


@dataclass(frozen=True)
class LeRobotConfig:
    """Which features of a LeRobotDataset make an episode, such as "observation.images.front".

    ``name`` begins the episodes' identifiers. ``camera`` is a feature of type video or image. ``robot`` names a YAML of
    config/robots, for which ``joints`` and ``calibration`` are needed. Raises SourceError when a value is not usable.
    """

    name: str
    camera: str
    joints: tuple[JointField, ...] = ()
    success: SuccessField | None = None
    calibration: CalibrationConfig | None = None
    robot: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_robot_inputs(self.robot, self.joints, is_calibrated=self.calibration is not None)


class LeRobotSource:
    """The episodes of a LeRobotDataset v3: the folder with meta/, data/ and videos/.

    An episode's identifier is <name>-<episode index>, its caption the text of its task. Times are the data set's own.
    """

    def __init__(self, config: LeRobotConfig, root: Path, robot: ConfiguredRobot | None = None) -> None:
        check_robot_given(config.robot, robot)
        self._config = config
        self._root = root
        self._robot = robot
        self._tables = LeRobotTables(root)

    def episode_ids(self) -> tuple[str, ...]:
        """All episodes in the order of their indices. Raises SourceError on another version, naming both."""
        return tuple(self._entries)

    def read(self, episode_id: str, sampling: FrameSampling) -> Episode:
        """The episode with the frames that ``sampling`` chooses; only their pictures are decoded.

        Raises RejectedEpisodeError when it does not qualify, SourceError naming the file when one is missing or
        damaged, and SourceError listing what there is when a configured feature is missing.
        """
        if episode_id not in self._entries:
            raise SourceError(f"{self._root}: no episode {episode_id!r}; see episode_ids()")
        entry = self._entries[episode_id]
        indices = sampling.indices(entry.length)
        rows = self._rows(entry)
        recorded_times = self._numbers(rows["timestamp"], "timestamp", entry)[:, 0].astype(np.float64)
        if not (np.isfinite(recorded_times).all() and (np.diff(recorded_times) > 0).all()):
            raise SourceError(
                f"{self._root / entry.data_file}: timestamps of episode {entry.index} must be finite and increase"
            )
        times = sampling.times(recorded_times)
        values = [self._numbers(rows[field.field], field.field, entry)[indices] for field in self._config.joints]
        info = EpisodeInfo(
            episode_id,
            self._config.name,
            robot=Path(self._config.robot).stem if self._config.robot else self._tables.robot_type,
            caption="; ".join(entry.tasks),
            success=self._success(rows, entry),
            provenance=f"LeRobotDataset {SUPPORTED}, {entry.data_file}, episode {entry.index}",
        )
        return recorded_episode(
            info,
            self._pictures(rows, entry, indices, recorded_times),
            times,
            join_joints(self._config.joints, values, times) if values else None,
            None if self._config.calibration is None else self._config.calibration.calibration(),
            self._robot,
        )

    @cached_property
    def _entries(self) -> dict[str, EpisodeEntry]:
        entries = self._tables.entries(self._config.camera)
        return {f"{self._config.name}-{entry.index:06d}": entry for entry in entries}

    @property
    def _is_video(self) -> bool:
        kind = self._tables.feature_type(self._config.camera)
        if kind not in ("video", "image"):
            raise SourceError(
                f"{self._root}: camera {self._config.camera!r} must be of type video or image, got {kind}"
            )
        return kind == "video"

    def _rows(self, entry: EpisodeEntry) -> Any:
        names = [field.field for field in self._config.joints]
        names += [self._config.success.field] if self._config.success else []
        names += [] if self._is_video else [self._config.camera]
        for name in names:
            self._tables.feature_type(name)
        return self._tables.rows(entry, [*dict.fromkeys(names), "timestamp"])

    def _numbers(self, column: Any, name: str, entry: EpisodeEntry) -> NDArray[np.float64]:
        """The values of a feature (T, C), one column for a scalar."""
        try:
            return np.array(column.to_pylist(), np.float64).reshape(entry.length, -1)
        except (TypeError, ValueError) as error:
            raise SourceError(
                f"{self._root / entry.data_file}: {name!r} of episode {entry.index} must hold numbers: {error}"
            ) from error

    def _success(self, rows: Any, entry: EpisodeEntry) -> bool | None:
        rule = self._config.success
        if rule is None:
            return None
        values = rows[rule.field].to_pylist()
        return rule.judge(
            values[-1] if isinstance(values[-1], str) else self._numbers(rows[rule.field], rule.field, entry)
        )

    def _pictures(
        self, rows: Any, entry: EpisodeEntry, indices: NDArray[np.intp], recorded_times: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        if self._is_video:
            path = rooted_path(self._root, entry.video_file)
            return read_video_frames(path, entry.video_start + recorded_times[indices], 0.25 / self._tables.rate_hz)
        where = f"{self._root / entry.data_file}, episode {entry.index}"
        encoded = []
        for frame, cell in enumerate(rows[self._config.camera].to_pylist()):
            if not isinstance(cell, dict) or not isinstance(cell.get("bytes"), bytes):
                raise SourceError(f"{where}, frame {frame}: {self._config.camera!r} holds no picture")
            encoded.append(cell["bytes"])
        return decode_pictures(encoded, indices, where)
