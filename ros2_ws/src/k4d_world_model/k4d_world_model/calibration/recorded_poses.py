"""The pictures of a recording in which the robot stood still, in postures as different as there are."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, CameraConfig, ConfiguredRobot, se3
from k4d_kinematics.errors import CalibrationError, PoseSetError
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.bag_contents import SECOND_NS, BagContents, read_contents
from k4d_world_model.dataset.sources.bag_frames import BagFrames, recorded_frames, usable_frames
from k4d_world_model.errors import RejectedEpisodeError

Array = NDArray[np.float64]

_LEAST_POSES = 5
_MASKLESS, _MOVING, _ALIKE, _ENOUGH = "without a mask", "moving", "too like a used one", "less different than used ones"
# Speeds are those over this time before and after a picture.
_SPEED_TIME_NS = SECOND_NS // 20


@dataclass(frozen=True)
class PoseChoice:
    """Which pictures are used. Raises CalibrationError on values out of range.

    poses: how many at most, at least 5.
    most_speed: rad/s or m/s of any joint within 0.05 s of the picture: its stamp must say where the robot was.
    travel: metres by which the links of two postures differ at least, as root mean square over the links.
    """

    poses: int = 20
    most_speed: float = 0.05
    travel: float = 0.03

    def __post_init__(self) -> None:
        if self.poses < _LEAST_POSES:
            raise CalibrationError(f"poses must be at least {_LEAST_POSES}, got {self.poses}")
        for name in ("most_speed", "travel"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise CalibrationError(f"{name} must be a positive number, got {getattr(self, name)}")


@dataclass(frozen=True)
class Refusal:
    """A picture that is not used: why, in the same words for all of a kind, and the figures of this one."""

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class RecordedPoses:
    """N chosen pictures of a recording, and what they were taken with.

    camera: of the raw pictures. everything: all usable pictures; frames: those chosen.
    T_parent_link: (N, L, 4, 4) poses of the links in the frame that the camera is fixed to.
    names: what reports call them, ``frame 12`` being the recording's thirteenth picture in order of time.
    refused: the other pictures. note: what became of pictures without joints or depth.
    """

    camera: Camera
    everything: BagFrames
    frames: BagFrames
    T_parent_link: Array
    names: tuple[str, ...]
    refused: tuple[Refusal, ...]
    note: str


@dataclass(frozen=True, eq=False)
class UsablePictures:
    """A recording's camera, its pictures with joints (and depth) at their stamp, and their places in order of time."""

    contents: BagContents
    camera: Camera
    frames: BagFrames
    places: NDArray[np.intp]
    note: str


def usable_pictures(bag: Path, topics: RosbagConfig, robot: ConfiguredRobot, config: CameraConfig) -> UsablePictures:
    """What a bag holds for a calibration of the camera of ``config``.

    Raises RejectedEpisodeError when a topic is missing (it lists those there are) or the bag holds not just one
    calibration of that camera, and SourceError when it is no readable recording.
    """
    contents = read_contents(bag, topics)
    if len(contents.cameras) != 1:
        raise RejectedEpisodeError(
            f"{topics.camera_info_topic} must hold one calibration of its camera, got {len(contents.cameras)}"
        )
    (camera,) = contents.cameras
    if camera.frame_id and camera.frame_id != config.frame_id:
        raise RejectedEpisodeError(
            f"{topics.camera_info_topic} is of the frame {camera.frame_id!r}, the camera YAML of {config.frame_id!r}"
        )
    everything = recorded_frames(contents)
    keep, frames, note = usable_frames(everything, contents, topics, robot.robot.joint_names, None)
    return UsablePictures(contents, camera, frames, np.flatnonzero(keep), note)


def choose_poses(
    pictures: UsablePictures,
    robot: ConfiguredRobot,
    parent_link: str,
    choice: PoseChoice,
    masked: NDArray[np.bool_] | None = None,
) -> RecordedPoses:
    """The pictures to calibrate with: still ones, each the farthest from those before it.

    ``masked`` (N,) tells which of the pictures have a mask, where not all have. Raises PoseSetError when fewer than 5
    are left, telling why the others are not.
    """
    stamps = pictures.frames.stamps_ns
    names = [f"frame {place}" for place in pictures.places]
    refused: dict[int, Refusal] = {}
    if masked is not None:
        refused |= {index: Refusal(names[index], _MASKLESS) for index in np.flatnonzero(~masked).tolist()}
    for index, speed in enumerate(_speeds(pictures.contents, robot, stamps).tolist()):
        if speed > choice.most_speed and index not in refused:
            detail = f"{speed:.3f} rad/s or m/s, at most {choice.most_speed:g} are allowed"
            refused[index] = Refusal(names[index], _MOVING, detail)
    T_base_link = robot.robot.forward_kinematics(
        pictures.contents.joints.positions(robot.robot.joint_names, stamps, continuous=_turning(robot))
    )
    T_link_base = se3.inverse(T_base_link[:, robot.robot.link_index(parent_link)])
    T_parent_link = T_link_base[:, None] @ T_base_link
    still = np.array([index for index in range(len(stamps)) if index not in refused], np.intp)
    chosen, distances = _farthest(T_parent_link[still], choice)
    for place, index in enumerate(still.tolist()):
        if place not in chosen:
            reason = _ALIKE if distances[place] < choice.travel else _ENOUGH
            refused[index] = Refusal(names[index], reason, f"{distances[place]:.3f} m from the nearest used one")
    if len(chosen) < _LEAST_POSES:
        counts = Counter(refusal.reason for refusal in refused.values())
        raise PoseSetError(
            f"{_LEAST_POSES} still and different poses are needed, got {len(chosen)} of {len(stamps)} pictures; not "
            f"used: {', '.join(f'{count} {reason}' for reason, count in counts.items()) or 'none'}; limits are "
            f"{choice.most_speed:g} rad/s or m/s and {choice.travel:g} m; {pictures.note}"
        )
    used = np.sort(still[chosen])
    return RecordedPoses(
        pictures.camera, pictures.frames, pictures.frames[used], T_parent_link[used],
        tuple(names[index] for index in used), tuple(refused[index] for index in sorted(refused)), pictures.note,
    )  # fmt: skip


def _farthest(T: Array, choice: PoseChoice) -> tuple[list[int], Array]:
    """Places of postures (N, L, 4, 4), each the farthest from those before, and each one's distance (N,) to them."""
    points = T[..., :3, 3]  # (N, L, 3)
    nearest = np.full(len(points), np.inf)
    chosen: list[int] = []
    while len(chosen) < min(choice.poses, len(points)) and nearest.max() >= choice.travel:
        chosen.append(int(nearest.argmax()))
        distances = np.sqrt(((points - points[chosen[-1]]) ** 2).sum(axis=-1).mean(axis=-1))
        nearest = np.minimum(nearest, distances)
    return chosen, nearest


def _speeds(contents: BagContents, robot: ConfiguredRobot, stamps: NDArray[np.int64]) -> Array:
    """The largest speed (N,) of any joint just before or after each stamp, rad/s or m/s."""
    names = robot.robot.joint_names
    first, last = contents.joints.range_ns(names)
    at = [np.clip(stamps + offset, first, last) for offset in (-_SPEED_TIME_NS, 0, _SPEED_TIME_NS)]
    positions = [contents.joints.positions(names, moment, continuous=_turning(robot)) for moment in at]
    speeds = np.zeros(len(stamps))
    for k in (0, 1):
        passed = (at[k + 1] - at[k]) / SECOND_NS
        moved = np.abs(positions[k + 1] - positions[k]).max(axis=-1)
        speeds = np.maximum(speeds, np.divide(moved, passed, out=np.zeros_like(moved), where=passed > 0))
    return speeds


def _turning(robot: ConfiguredRobot) -> tuple[str, ...]:
    model = robot.robot
    turns = model.is_revolute & np.isneginf(model.lower) & np.isposinf(model.upper)
    return tuple(name for name, turning in zip(model.joint_names, turns, strict=True) if turning)
