"""The meta file of a native sample: everything of an episode but its pictures and points."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import dacite
import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory
from k4d_kinematics.camera import RegionOfInterest
from k4d_world_model.dataset import layout
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.storage.depth_codec import Quantisation
from k4d_world_model.errors import EpisodeError, SampleError

VERSION = 1
"""Raise it whenever what a sample's files mean changes."""

PARTS = ("rgb", "scene_points", "robot_points", "robot_mask")
"""Fields of an episode with a file of their own, in the order that keeps two readers equally busy."""

_POINT_FILES = {
    ("scene_points", "depth"): layout.SCENE_DEPTH,
    ("scene_points", "points"): layout.SCENE_POINTS,
    ("robot_points", "depth"): layout.ROBOT_DEPTH,
    ("robot_points", "points"): layout.ROBOT_POINTS,
}

Rows = list[list[float]]


@dataclass(frozen=True)
class StoredJoints:
    """A joint trajectory at the sample's times: positions and velocities (T, J)."""

    joint_names: list[str]
    positions: Rows
    velocities: Rows | None


@dataclass(frozen=True)
class StoredCamera:
    """A camera with the fields of sensor_msgs/CameraInfo."""

    height: int
    width: int
    K: Rows
    D: list[float]
    distortion_model: str
    R: Rows
    P: Rows
    binning_x: int
    binning_y: int
    roi: RegionOfInterest
    frame_id: str


@dataclass(frozen=True)
class StoredPoints:
    """How points are stored: as the z-depth on the camera's rays (one axis), or as x, y, z (three)."""

    stored_as: Literal["depth", "points"]
    axes: list[Quantisation]

    def __post_init__(self) -> None:
        if len(self.axes) != (1 if self.stored_as == "depth" else 3):
            raise SampleError(f"axes must be 1 for depth and 3 for points, got {len(self.axes)} for {self.stored_as}")


@dataclass(frozen=True)
class SampleMeta:
    """The content of a sample's meta file; T is the number of ``times``.

    Seconds, metres, pixels; ``T_world_cam`` (T, 4, 4) and ``T_world_base`` (4, 4) are rigid poses. What the episode
    does not have is null.
    """

    version: int
    episode: EpisodeInfo
    height: int
    width: int
    times: list[float]
    scale: Literal["metric", "affine"]
    camera: StoredCamera | None
    T_world_cam: list[Rows] | None
    T_world_base: Rows | None
    joints: StoredJoints | None
    scene_points: StoredPoints | None
    robot_points: StoredPoints | None
    robot_mask: bool

    def __post_init__(self) -> None:
        if not self.times or self.height < 1 or self.width < 1:
            raise SampleError(f"times, height and width must not be empty, got (T, H, W) = {self.shape}")
        for name, stored in (("scene_points", self.scene_points), ("robot_points", self.robot_points)):
            if stored is not None and stored.stored_as == "depth" and self.camera is None:
                raise SampleError(f"{name} are stored as depth, which needs a camera")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        return len(self.times), self.height, self.width

    def file_of(self, part: str) -> str | None:
        """The name of the file that holds one of ``PARTS``, None where the episode does not have it."""
        if part == "rgb":
            return layout.RGB
        if part == "robot_mask":
            return layout.ROBOT_MASK if self.robot_mask else None
        stored = self.stored(part)
        return None if stored is None else _POINT_FILES[part, stored.stored_as]

    def stored(self, part: str) -> StoredPoints | None:
        """How "scene_points" or "robot_points" are stored."""
        return {"scene_points": self.scene_points, "robot_points": self.robot_points}[part]

    def files(self) -> tuple[str, ...]:
        """The names of all files of the sample but its list of checksums."""
        return (layout.META, *(name for name in map(self.file_of, PARTS) if name is not None))

    @cached_property
    def trajectory(self) -> JointTrajectory | None:
        """The joints at the sample's times. Raises TrajectoryError on rows that do not fit them."""
        if self.joints is None:
            return None
        joints = self.joints
        return JointTrajectory(
            tuple(joints.joint_names), np.array(self.times), _array(joints.positions), _array(joints.velocities)
        )

    @cached_property
    def calibration(self) -> Camera | None:
        """The camera. Raises CameraError on unusable intrinsics."""
        if self.camera is None:
            return None
        fields = {name: getattr(self.camera, name) for name in StoredCamera.__dataclass_fields__}
        return Camera(**fields | {"D": tuple(self.camera.D)})

    def poses(self) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """T_world_cam (T, 4, 4) and T_world_base (4, 4)."""
        return _array(self.T_world_cam), _array(self.T_world_base)


def describe(episode: Episode, scene_points: StoredPoints | None, robot_points: StoredPoints | None) -> SampleMeta:
    """The meta file's content for an episode whose points are stored as told."""
    joints = episode.joints
    return SampleMeta(
        version=VERSION,
        episode=episode.info,
        height=episode.rgb.shape[1],
        width=episode.rgb.shape[2],
        times=_rows(episode.times),
        scale=episode.scale,
        camera=None if episode.camera is None else _stored_camera(episode.camera),
        T_world_cam=_rows(episode.T_world_cam),
        T_world_base=_rows(episode.T_world_base),
        joints=None
        if joints is None
        else StoredJoints(list(joints.joint_names), _rows(joints.positions), _rows(joints.velocities)),
        scene_points=scene_points,
        robot_points=robot_points,
        robot_mask=episode.robot_mask is not None,
    )


def to_bytes(meta: SampleMeta) -> bytes:
    """The meta file, every number exact. Raises EpisodeError when one is not finite."""
    try:
        return (json.dumps(asdict(meta), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise EpisodeError(f"{meta.episode.episode_id}: poses and captions must be finite, valid: {error}") from error


def from_bytes(data: bytes, name: str) -> SampleMeta:
    """The content of a meta file. Raises SampleError naming ``name`` and the field that is missing, unknown, wrong."""
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{name}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise SampleError(f"{name}: expected an object with the fields of a sample, got {type(content).__name__}")
    if content.get("version") != VERSION:
        raise SampleError(f"{name}: version {content.get('version')!r} cannot be read, valid is {VERSION}")
    try:
        meta = dacite.from_dict(SampleMeta, content, dacite.Config(strict=True))
        _ = meta.calibration, meta.trajectory, meta.poses()
    except dacite.WrongTypeError as error:
        raise SampleError(f"{name}: {error.field_path} must be of type {error.field_type}") from error
    except (dacite.DaciteError, TypeError, ValueError, OverflowError) as error:
        raise SampleError(f"{name}: {error}") from error
    missing = list(_missing_fields(asdict(meta), content))
    if missing:
        raise SampleError(f"{name}: missing fields: {', '.join(missing)}; what an episode does not have is null")
    return meta


def _missing_fields(expected: object, content: object) -> Iterator[str]:
    """Fields that dacite fills in where a value may be absent; a file that lacks them is not what was written."""
    if isinstance(expected, dict) and isinstance(content, dict):
        yield from (key for key in expected if key not in content)
        for key in expected.keys() & content.keys():
            yield from (f"{key}.{inner}" for inner in _missing_fields(expected[key], content[key]))


def _stored_camera(camera: Camera) -> StoredCamera:
    plain = {name: getattr(camera, name) for name in StoredCamera.__dataclass_fields__}
    return StoredCamera(**plain | {name: _rows(plain[name]) for name in ("K", "R", "P")} | {"D": list(camera.D)})


def _rows(array: NDArray[np.float64] | None) -> Any:
    return None if array is None else array.tolist()


def _array(rows: list[Any] | None) -> Any:
    return None if rows is None else np.array(rows, np.float64)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no finite number")
