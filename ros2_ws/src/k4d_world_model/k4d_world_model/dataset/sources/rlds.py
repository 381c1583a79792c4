"""Reads episodes of RLDS data sets (DROID, BridgeData V2, RT-1 and others) from TFRecord files, without TensorFlow."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.calibration import CalibrationConfig, check_robot_inputs
from k4d_world_model.dataset.sources.encoded_pictures import decode_pictures
from k4d_world_model.dataset.sources.example_wire import Example, decode_text, parse_example
from k4d_world_model.dataset.sources.recorded_episode import (
    check_name,
    check_rate,
    check_robot_given,
    recorded_episode,
)
from k4d_world_model.dataset.sources.recorded_fields import JointField, SuccessField, join_joints
from k4d_world_model.dataset.sources.rlds_schema import Feature, Split, read_features, read_splits
from k4d_world_model.dataset.sources.rooted_path import rooted_path
from k4d_world_model.dataset.sources.tfrecord import read_record
from k4d_world_model.errors import SourceError


@dataclass(frozen=True)
class RldsConfig:
    """Which fields of an RLDS data set make an episode; fields are paths such as "steps/observation/image".

    ``name`` begins the episodes' identifiers. ``image`` is the camera's field, ``rate_hz`` the steps per second, since
    RLDS keeps no times. ``caption`` is a field of text, whose first step counts. ``splits`` and ``shards`` choose parts
    of the data set, as when only some files were fetched; empty means all. ``robot`` names a YAML of config/robots, for
    which ``joints`` and ``calibration`` are needed. Raises SourceError when a value is not usable.
    """

    name: str
    image: str
    rate_hz: float
    caption: str = ""
    joints: tuple[JointField, ...] = ()
    success: SuccessField | None = None
    splits: tuple[str, ...] = ()
    shards: tuple[int, ...] = ()
    calibration: CalibrationConfig | None = None
    robot: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_rate(self.rate_hz)
        check_robot_inputs(self.robot, self.joints, is_calibrated=self.calibration is not None)


class RldsSource:
    """The episodes of a prepared TFDS data set: the folder with features.json, dataset_info.json and the shards.

    An episode's identifier is <name>-<split>-<shard>-<record>. Only the pictures of chosen frames are decoded.
    """

    def __init__(self, config: RldsConfig, root: Path, robot: ConfiguredRobot | None = None) -> None:
        check_robot_given(config.robot, robot)
        self._config = config
        self._root = root
        self._robot = robot

    def episode_ids(self) -> tuple[str, ...]:
        """All episodes of the chosen splits and shards, in the order of the files; only the JSON files are read."""
        return tuple(
            f"{self._config.name}-{split.name}-{shard:05d}-{record:05d}"
            for split in self._splits
            for shard in self._chosen_shards(split)
            for record in range(split.lengths[shard])
        )

    def read(self, episode_id: str, sampling: FrameSampling) -> Episode:
        """The episode with the frames that ``sampling`` chooses, at times step / rate_hz.

        Raises RejectedEpisodeError when it does not qualify, SourceError naming the file, and the byte or frame in it,
        when it is damaged or a configured field is missing.
        """
        split, shard, record = self._locate(episode_id)
        path = rooted_path(self._root, split.shards[shard])
        example = parse_example(read_record(path, record), f"{path}, record {record}")
        self._feature(self._config.image, "image", per_step=True)
        encoded = example.texts(self._config.image)
        indices = sampling.indices(len(encoded))
        times = sampling.times(np.arange(len(encoded)) / self._config.rate_hz)
        values = [self._numbers(example, field.field, len(encoded))[indices] for field in self._config.joints]
        info = EpisodeInfo(
            episode_id,
            self._config.name,
            robot=self._config.robot and Path(self._config.robot).stem,
            caption=self._text(example, self._config.caption) if self._config.caption else "",
            success=self._success(example, len(encoded)),
            provenance=f"{self._version}, {split.shards[shard]}, record {record}",
        )
        return recorded_episode(
            info,
            decode_pictures(encoded, indices, f"{path}, record {record}"),
            times,
            join_joints(self._config.joints, values, times) if values else None,
            None if self._config.calibration is None else self._config.calibration.calibration(),
            self._robot,
        )

    @cached_property
    def _features(self) -> dict[str, Feature]:
        return read_features(self._root)

    @cached_property
    def _info(self) -> tuple[tuple[Split, ...], str]:
        return read_splits(self._root)

    @property
    def _version(self) -> str:
        return self._info[1]

    @property
    def _splits(self) -> tuple[Split, ...]:
        by_name = {split.name: split for split in self._info[0]}
        unknown = [name for name in self._config.splits if name not in by_name]
        if unknown:
            raise SourceError(f"{self._root}: no split {', '.join(unknown)}; it has {', '.join(by_name)}")
        return tuple(by_name[name] for name in self._config.splits or by_name)

    def _chosen_shards(self, split: Split) -> tuple[int, ...]:
        unknown = [shard for shard in self._config.shards if not 0 <= shard < len(split.lengths)]
        if unknown:
            raise SourceError(
                f"{self._root}: split {split.name} has no shard {unknown[0]}, only 0 to {len(split.lengths) - 1}"
            )
        return self._config.shards or tuple(range(len(split.lengths)))

    def _locate(self, episode_id: str) -> tuple[Split, int, int]:
        """Split, shard and record of an episode."""
        for split in self._splits:
            match = re.fullmatch(re.escape(f"{self._config.name}-{split.name}-") + r"(\d{5})-(\d{5,})", episode_id)
            if match is None:
                continue
            shard, record = int(match[1]), int(match[2])
            if shard in self._chosen_shards(split) and record < split.lengths[shard]:
                return split, shard, record
        raise SourceError(f"{self._root}: no episode {episode_id!r}; see episode_ids()")

    def _feature(self, name: str, *kinds: str, per_step: bool) -> Feature:
        """The description of a field that must be of one of ``kinds``."""
        feature = self._features.get(name)
        fitting = sorted(n for n, f in self._features.items() if f.kind in kinds and f.per_step >= per_step)
        if feature is None or name not in fitting:
            got = "there is none" if feature is None else feature.problem or f"it is of kind {feature.kind}"
            raise SourceError(
                f"{self._root}/features.json: {name!r} must be a field of kind {' or '.join(kinds)}"
                f"{' in the steps' * per_step}, {got}; it has {', '.join(fitting) or 'none'}"
            )
        return feature

    def _numbers(self, example: Example, name: str, count: int) -> NDArray[np.generic]:
        """The values of a step's field (T, C), one column for a scalar."""
        feature = self._feature(name, "float", "integer", per_step=True)
        flat: NDArray[np.generic] = example.floats(name) if feature.kind == "float" else example.integers(name)
        if count == 0 or flat.size % count or (-1 not in feature.shape and flat.size != count * np.prod(feature.shape)):
            raise SourceError(
                f"{example.where}: field {name!r} holds {flat.size} numbers, {count} steps of shape {feature.shape} "
                "are expected"
            )
        return flat.reshape(count, -1)

    def _text(self, example: Example, name: str) -> str:
        """A text, of the first step where each has one."""
        self._feature(name, "text", per_step=False)
        texts = example.texts(name)
        if not texts:
            raise SourceError(f"{example.where}: field {name!r} holds no text")
        return decode_text(texts[0], f"{example.where}, field {name!r}")

    def _success(self, example: Example, count: int) -> bool | None:
        rule = self._config.success
        if rule is None:
            return None
        feature = self._feature(rule.field, "text", "float", "integer", per_step=False)
        if feature.kind == "text":
            return rule.judge(self._text(example, rule.field))
        if feature.per_step:
            return rule.judge(self._numbers(example, rule.field, count))
        return rule.judge(example.floats(rule.field) if feature.kind == "float" else example.integers(rule.field))
