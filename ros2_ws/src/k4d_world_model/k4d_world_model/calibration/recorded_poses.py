"""The pictures of a recording in which the robot stood still, in postures as different as there are."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, CameraConfig, ConfiguredRobot
from k4d_kinematics.calibration.pose_sets import posture_distance
from k4d_kinematics.errors import CalibrationError, PoseSetError
from k4d_world_model.calibration.postures import joint_speeds, postures
from k4d_world_model.dataset.rectification import rectification
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.bag_contents import BagContents, read_contents
from k4d_world_model.dataset.sources.bag_frames import BagFrames, recorded_frames, usable_frames
from k4d_world_model.errors import RejectedEpisodeError

Array = NDArray[np.float64]

LEAST_POSES = 5
MOVING, ALIKE = "moving", "too like a used one"
_MASKLESS, _ENOUGH = "without a mask", "less different than used ones"
_TURNED = 1e-6


@dataclass(frozen=True)
class Refusal:
    """A picture that is not used: why, in the same words for all of a kind, and the figures of this one."""

    name: str
    reason: str
    detail: str = ""


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
        if self.poses < LEAST_POSES:
            raise CalibrationError(f"poses must be at least {LEAST_POSES}, got {self.poses}")
        for name in ("most_speed", "travel"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise CalibrationError(f"{name} must be a positive number, got {getattr(self, name)}")

    def moving(self, name: str, speed: float) -> Refusal:
        """Why a picture is refused whose fastest joint moves at ``speed``."""
        return Refusal(name, MOVING, f"{speed:.3f} rad/s or m/s, at most {self.most_speed:g} are allowed")


@dataclass(frozen=True, eq=False)
class RecordedPoses:
    """N chosen pictures of a recording, and what they were taken with.

    camera: of the pictures. everything: all usable pictures; frames: those chosen.
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

    Raises RejectedEpisodeError when a topic is missing (it lists those there are), or the bag holds not just one
    calibration of that camera or one that does not fit its pictures, and SourceError when it is no readable recording.
    """
    contents = read_contents(bag, topics)
    if len(contents.cameras) != 1:
        raise RejectedEpisodeError(
            f"{topics.camera_info_topic} must hold one calibration of its camera, got {len(contents.cameras)}"
        )
    camera = delivered_camera(contents.cameras[0], topics)
    if camera.frame_id and camera.frame_id != config.frame_id:
        raise RejectedEpisodeError(
            f"{topics.camera_info_topic} is of the frame {camera.frame_id!r}, the camera YAML of {config.frame_id!r}"
        )
    everything = recorded_frames(contents)
    keep, frames, note = usable_frames(everything, contents, topics, robot.robot.joint_names, None)
    return UsablePictures(contents, camera, frames, np.flatnonzero(keep), note)


def delivered_camera(camera: Camera, topics: RosbagConfig) -> Camera:
    """The camera of the pictures that are read: that of the camera_info, or its pinhole where they are rectified.

    Raises RejectedEpisodeError when the pictures seem to be rectified and nobody said so, or are turned as well.
    """
    if not topics.image_is_rectified:
        if camera.is_distorted and topics.image_topic.rsplit("/", 1)[-1].startswith("image_rect"):
            raise RejectedEpisodeError(
                f"{topics.camera_info_topic} states the lens {camera.distortion_model} {list(camera.D)}, and pictures "
                f"on {topics.image_topic} seem to be without it: say so with --image-is-rectified, or use raw ones"
            )
        return camera
    done = rectification(camera, is_done=True)
    if np.abs(done.T_cam_rect - np.eye(4)).max() > _TURNED:
        raise RejectedEpisodeError(
            f"{topics.camera_info_topic} has rectified pictures turned by R {camera.R.tolist()}, which is no place of "
            f"{camera.frame_id!r}: use raw pictures"
        )
    return done.camera


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
    for index, speed in enumerate(joint_speeds(pictures.contents.joints, robot, stamps).tolist()):
        if speed > choice.most_speed and index not in refused:
            refused[index] = choice.moving(names[index], speed)
    T_parent_link = postures(pictures.contents.joints, robot, parent_link, stamps)
    still = np.array([index for index in range(len(stamps)) if index not in refused], np.intp)
    chosen, distances = _farthest(T_parent_link[still], choice)
    for place, index in enumerate(still.tolist()):
        if place not in chosen:
            reason = ALIKE if distances[place] < choice.travel else _ENOUGH
            refused[index] = Refusal(names[index], reason, f"{distances[place]:.3f} m from the nearest used one")
    if len(chosen) < LEAST_POSES:
        counts = Counter(refusal.reason for refusal in refused.values())
        raise PoseSetError(
            f"{LEAST_POSES} still and different poses are needed, got {len(chosen)} of {len(stamps)} pictures; not "
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
    nearest = np.full(len(T), np.inf)
    chosen: list[int] = []
    while len(chosen) < min(choice.poses, len(T)) and nearest.max() >= choice.travel:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, posture_distance(T, T[chosen[-1]]))
    return chosen, nearest
