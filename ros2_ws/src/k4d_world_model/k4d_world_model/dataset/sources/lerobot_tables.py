"""What a LeRobotDataset v3 says of itself: meta/info.json, the table of episodes, and one episode's rows."""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from k4d_world_model.dataset.sources.json_files import member, read_json
from k4d_world_model.dataset.sources.rooted_path import rooted_path
from k4d_world_model.errors import SourceError

SUPPORTED = "v3.0"
_TEMPLATE = re.compile(r"(?:[^{}]|\{(?:chunk_index|file_index|video_key)(?::0?\d)?d?\})*")


@dataclass(frozen=True)
class EpisodeEntry:
    """Where one episode lies: its rows' file, and the file and start time of the camera's video where there is one."""

    index: int
    length: int
    tasks: tuple[str, ...]
    data_file: str
    video_file: str = ""
    video_start: float = 0.0


class LeRobotTables:
    """The tables of a data set, read when first needed. Everything raises SourceError naming the file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._info_path = root / "meta" / "info.json"

    @cached_property
    def _info(self) -> dict[str, Any]:
        info = read_json(self._info_path)
        version = info.get("codebase_version")
        if version != SUPPORTED:
            raise SourceError(
                f"{self._info_path}: codebase_version {version!r} is not supported, only {SUPPORTED!r}; "
                "lerobot converts older data sets (lerobot.scripts.convert_dataset_v21_to_v30)"
            )
        return info

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        fps = member(self._info, "fps", object, str(self._info_path))
        if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps < 1e6:
            raise SourceError(f"{self._info_path}: fps must be a number above 0, got {fps!r}")
        return float(fps)

    @property
    def robot_type(self) -> str:
        """The robot's name as the data set gives it, empty where it does not."""
        return str(self._info.get("robot_type") or "")

    def feature_type(self, name: str) -> str:
        """The dtype of a feature. Raises SourceError listing the features when there is none of that name."""
        features = member(self._info, "features", dict, str(self._info_path))
        feature = features.get(name)
        if not isinstance(feature, dict):
            raise SourceError(f"{self._info_path}: no feature {name!r}; it has {', '.join(sorted(features))}")
        info = feature.get("info") or {}
        if isinstance(info, dict) and (info.get("is_depth_map") or info.get("video.is_depth_map")):
            raise SourceError(f"{self._info_path}: feature {name!r} is a depth map, colour pictures are supported")
        return member(feature, "dtype", str, f"{self._info_path}: feature {name!r}")

    def entries(self, camera: str) -> tuple[EpisodeEntry, ...]:
        """All episodes in the order of their indices; ``camera`` is the feature whose video they point to."""
        is_video = self.feature_type(camera) == "video"
        columns = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index"]
        video = [f"videos/{camera}/{key}" for key in ("chunk_index", "file_index", "from_timestamp")]
        folder = self.root / "meta" / "episodes"
        files = sorted(path.relative_to(self.root).as_posix() for path in folder.rglob("*.parquet"))
        if not files:
            raise SourceError(f"{folder}: holds no *.parquet")
        entries = []
        for file in files:
            table = read_table(self.root, file, columns + video * is_video)
            entries += [self._entry(row, camera, is_video, f"{self.root / file}") for row in table.to_pylist()]
        entries.sort(key=lambda entry: entry.index)
        indices = [entry.index for entry in entries]
        if len(set(indices)) != len(indices):
            raise SourceError(f"{folder}: an episode_index comes twice: {indices}")
        return tuple(entries)

    def _entry(self, row: dict[str, Any], camera: str, is_video: bool, where: str) -> EpisodeEntry:
        video = f"videos/{camera}/"
        start = row.get(video + "from_timestamp", 0.0)
        whole = [value for key, value in row.items() if key not in ("tasks", video + "from_timestamp")]
        is_timed = isinstance(start, int | float) and math.isfinite(start)
        if not is_timed or not all(isinstance(value, int) for value in whole) or not isinstance(row["tasks"], list):
            raise SourceError(f"{where}: an episode's row has missing values or others than whole numbers: {row}")
        return EpisodeEntry(
            row["episode_index"],
            row["length"],
            tuple(map(str, row["tasks"])),
            self._file("data_path", row["data/chunk_index"], row["data/file_index"]),
            self._file("video_path", row[video + "chunk_index"], row[video + "file_index"], camera) if is_video else "",
            float(start),
        )

    def _file(self, key: str, chunk: int, file: int, camera: str = "") -> str:
        template = member(self._info, key, str, str(self._info_path))
        if not _TEMPLATE.fullmatch(template):
            raise SourceError(
                f"{self._info_path}: {key} may have {{chunk_index:03d}}, {{file_index:03d}} and {{video_key}}, "
                f"got {template!r}"
            )
        try:
            return template.format(chunk_index=chunk, file_index=file, video_key=camera)
        except ValueError as error:
            raise SourceError(f"{self._info_path}: {key} {template!r} is no usable path: {error}") from error

    def rows(self, entry: EpisodeEntry, columns: list[str]) -> pyarrow.Table:
        """One episode's rows in order. Raises SourceError unless they are the ``length`` frames 0, 1, 2 ..."""
        needed = [*columns, "frame_index"]
        table = read_table(self.root, entry.data_file, needed, [("episode_index", "==", entry.index)])
        frames = table["frame_index"].to_pylist()
        if len(frames) != entry.length or frames != list(range(entry.length)):
            raise SourceError(
                f"{self.root / entry.data_file}: episode {entry.index} must have the frames 0 to {entry.length - 1}, "
                f"got {len(frames)}: {frames[:5]} ..."
            )
        return table


def read_table(root: Path, file: str, columns: list[str], filters: Any = None) -> pyarrow.Table:
    """The ``columns`` of a Parquet file. Raises SourceError naming it when it is missing, damaged or lacks one."""
    path = rooted_path(root, file)
    try:
        found = pyarrow.parquet.read_schema(path).names
        missing = [name for name in columns if name not in found]
        if missing:
            raise SourceError(f"{path}: no column {', '.join(missing)}; it has {', '.join(found)}")
        return pyarrow.parquet.read_table(path, columns=columns, filters=filters)
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"{path}: no readable Parquet file: {error}") from error
