"""rosbag2 recordings (MCAP or SQLite) as episodes, read without ROS."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, ConfiguredRobot, JointTrajectory
from k4d_world_model.dataset.episode import Episode, EpisodeInfo, check_episode_id
from k4d_world_model.dataset.rectification import Rectification, rectification
from k4d_world_model.dataset.robot_pointmaps import with_robot_pointmaps
from k4d_world_model.dataset.sampling import FrameSampling, nearest_indices
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.bag_contents import BagContents, read_chosen, read_contents
from k4d_world_model.dataset.sources.bag_frames import BagFrames, recorded_frames, usable_frames
from k4d_world_model.dataset.sources.bag_poses import BagPoses, fixed_pose, read_poses
from k4d_world_model.dataset.sources.image_messages import depth_image, picture
from k4d_world_model.errors import DatasetError, EpisodeError, RejectedEpisodeError, SourceError

__all__ = ["RosbagConfig", "RosbagSource"]

_SUFFIXES = (".mcap", ".db3")

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class RosbagSource:
    """The bags below a folder, each one episode.

    A bag is a rosbag2 folder or a single .mcap or .db3 file; the root may itself be one. Its path below the root, with
    "-" between folders and "_" for other signs than letters, digits, "." and "-", is the episode's identifier. Folders
    whose name starts with a dot and linked folders are not looked into.

    Times are the images' header stamps in seconds. Pictures and depth are rectified, so that the camera is a pinhole.
    Nothing but the small messages and the chosen pictures is held in memory; the bag is read twice.
    """

    def __init__(self, config: RosbagConfig, root: Path, robot: ConfiguredRobot | None = None) -> None:
        """Raises DatasetError when ``config`` names a robot and none is given, or the other way round."""
        if bool(config.robot) != (robot is not None):
            raise DatasetError(
                f"the source names the robot {config.robot!r}, and {'one' if robot else 'none'} was given"
            )
        self._config, self._root, self._robot = config, root, robot

    @property
    def robot(self) -> ConfiguredRobot | None:
        """The robot in the recordings, None where the configuration names none."""
        return self._robot

    def episode_ids(self) -> tuple[str, ...]:
        """Identifiers of all bags, sorted. Raises SourceError when there is none, or two would get the same."""
        return tuple(sorted(self._bags))

    def read(self, episode_id: str, sampling: FrameSampling) -> Episode:
        """One bag's frames that ``sampling`` chooses among those whose joints, poses and depth are known.

        Raises RejectedEpisodeError with the reason when it does not qualify, and SourceError when it is damaged or
        there is none of that name.
        """
        return self._read(episode_id, lambda times: (sampling.indices(len(times)), sampling.times(times)))

    def read_nearest(self, episode_id: str, moments: Array) -> Episode:
        """One bag's frames nearest to these moments (T,), each frame once: at most T, with their own times.

        ``moments`` are increasing seconds on the bag's clock. How near they are is for the caller to judge. Raises as
        ``read`` does.
        """

        def choose(times: Array) -> tuple[Indices, Array]:
            nearest = np.unique(nearest_indices(times, moments))
            return nearest, times[nearest]

        return self._read(episode_id, choose)

    def joints(self, episode_id: str, step: float) -> JointTrajectory:
        """One bag's joints every ``step`` seconds from when all are known, and when one is known for the last time.

        Raises RejectedEpisodeError when it has none, and as ``read`` does.
        """
        contents = read_contents(self._path(episode_id), self._config)
        names = self._joint_names(contents)
        if not names:
            raise RejectedEpisodeError("its joints are not known: the source names no joint_topic")
        return contents.joints.sampled(names, step, continuous=self._continuous(names))

    def _path(self, episode_id: str) -> Path:
        if episode_id not in self._bags:
            raise SourceError(f"{self._root} has no bag {episode_id!r}; there are {', '.join(sorted(self._bags))}")
        return self._bags[episode_id]

    def _read(self, episode_id: str, choose: Callable[[Array], tuple[Indices, Array]]) -> Episode:
        """The frames that ``choose`` picks of those at the times (N,) given to it, and their times in the episode."""
        path = self._path(episode_id)
        contents = read_contents(path, self._config)
        pinhole = self._rectification(contents)
        names = self._joint_names(contents)
        everything = recorded_frames(contents)
        poses = self._poses(path, pinhole, everything)
        keep, usable, note = usable_frames(everything, contents, self._config, names, poses)
        try:
            chosen, times = choose(usable.times)
        except RejectedEpisodeError as error:
            raise RejectedEpisodeError(f"{error}; {note}") from error
        frames = usable[chosen]
        rgb, depth = _read_pictures(path, self._config, frames, pinhole)
        info = EpisodeInfo(
            episode_id, self._config.name, robot=self._robot.robot.name if self._robot else "", task=contents.task,
            caption=contents.caption, success=contents.success, seed=contents.seed,
            provenance=f"rosbag2 {path.relative_to(self._root.parent)}; {note}{_without(contents)}",
        )  # fmt: skip
        episode = Episode(
            info, rgb, times,
            camera=pinhole.camera if pinhole else None,
            joints=self._joints(contents, names, frames, times),
            scene_points=_points(pinhole.camera, depth) if pinhole and depth is not None else None,
        )  # fmt: skip
        if poses is not None and pinhole is not None:
            episode = _with_poses(episode, poses, np.flatnonzero(keep)[chosen], pinhole)
        return with_robot_pointmaps(episode, self._robot) if self._robot else episode

    @cached_property
    def _bags(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in _find_bags(self._root):
            place = path.relative_to(self._root) if path != self._root else Path(path.resolve().name)
            name = re.sub(r"[^A-Za-z0-9.-]", "_", "-".join(place.parts).removesuffix(path.suffix * path.is_file()))
            try:
                check_episode_id(name)
            except EpisodeError as error:
                raise SourceError(f"{path}: {error}") from error
            if name in found:
                raise SourceError(f"two bags would be called {name!r}: {found[name]} and {path}; rename one")
            found[name] = path
        if not found:
            raise SourceError(f"{self._root} has no rosbag2 folder (with metadata.yaml) and no .mcap or .db3 file")
        return found

    def _rectification(self, contents: BagContents) -> Rectification | None:
        if not self._config.camera_info_topic:
            return None
        if len(contents.cameras) != 1:
            raise RejectedEpisodeError(f"it must hold one calibration of its camera, got {len(contents.cameras)}")
        return rectification(contents.cameras[0], is_done=self._config.image_is_rectified)

    def _joint_names(self, contents: BagContents) -> tuple[str, ...]:
        if not self._config.joint_topic:
            return ()
        names = self._robot.robot.joint_names if self._robot else contents.joints.joint_names
        if not names:
            raise RejectedEpisodeError("its joint topic holds no position")
        return names

    def _joints(
        self, contents: BagContents, names: tuple[str, ...], frames: BagFrames, times: Array
    ) -> JointTrajectory | None:
        if not names:
            return None
        positions = contents.joints.positions(names, frames.stamps_ns, continuous=self._continuous(names))
        return JointTrajectory(names, times, positions)

    def _continuous(self, names: tuple[str, ...]) -> tuple[str, ...]:
        if self._robot is None:
            return ()
        turns = self._robot.robot.is_continuous
        return tuple(name for name, turning in zip(names, turns, strict=True) if turning)

    def _poses(self, path: Path, pinhole: Rectification | None, frames: BagFrames) -> BagPoses | None:
        config = self._config
        if not config.world_frame or pinhole is None:
            return None
        camera_frame = config.camera_frame or pinhole.camera.frame_id
        if not camera_frame:
            raise RejectedEpisodeError("its camera_info names no frame, and camera_frame is empty")
        return read_poses(path, config.world_frame, config.base_frame, camera_frame, frames.times)


def _without(contents: BagContents) -> str:
    return f"; without {', '.join(contents.absent)}" if contents.absent else ""


def _find_bags(root: Path) -> list[Path]:
    if root.is_file() and root.suffix in _SUFFIXES:
        return [root]
    bags = []
    for folder, below, files in os.walk(root):
        if "metadata.yaml" in files:
            bags.append(Path(folder))
            below.clear()
            continue
        below[:] = [name for name in below if not name.startswith(".")]
        bags += [Path(folder, name) for name in files if Path(name).suffix in _SUFFIXES and not name.startswith(".")]
    return sorted(bags)


def _read_pictures(
    path: Path, config: RosbagConfig, frames: BagFrames, pinhole: Rectification | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Pictures (T, H, W, 3) and depth (T, H, W), rectified; a picture that is chosen twice is decoded once."""
    places = {config.image_topic: frames.image_places}
    if frames.depth_places is not None:
        places[config.depth_topic] = frames.depth_places
    rgb: dict[int, NDArray[np.uint8]] = {}
    depth: dict[int, NDArray[np.float32]] = {}
    for topic, place, message in read_chosen(path, places):
        try:
            if topic == config.image_topic:
                raw = picture(message)
                _check_size(topic, raw.shape[:2], pinhole)
                rgb[place] = pinhole.picture(raw) if pinhole else raw
            elif pinhole is not None:
                raw_depth = depth_image(message)
                _check_size(topic, raw_depth.shape, pinhole)
                depth[place] = pinhole.depth(raw_depth)
        except SourceError as error:
            raise SourceError(f"{path}: message {place} of {topic}: {error}") from error
    sizes = {image.shape for image in rgb.values()}
    if len(sizes) != 1:
        raise RejectedEpisodeError(f"its pictures must have one size, got {sorted(sizes)}")
    pictures = np.stack([rgb[place] for place in frames.image_places.tolist()])
    if frames.depth_places is None:
        return pictures, None
    return pictures, np.stack([depth[place] for place in frames.depth_places.tolist()])


def _check_size(topic: str, size: tuple[int, ...], pinhole: Rectification | None) -> None:
    if pinhole is not None and size != (pinhole.camera.image_height, pinhole.camera.image_width):
        valid = (pinhole.camera.image_height, pinhole.camera.image_width)
        raise RejectedEpisodeError(f"images of {topic} must have its camera's (height, width) {valid}, got {size}")


def _points(camera: Camera, depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points (T, H, W, 3) of z-depths (T, H, W), all NaN where there is none."""
    rays = np.concatenate([camera.rays(), np.ones((*depth.shape[1:], 1))], axis=-1).astype(np.float32)
    return rays * depth[..., None]


def _with_poses(episode: Episode, poses: BagPoses, chosen: NDArray[np.intp], pinhole: Rectification) -> Episode:
    T_world_base = None if poses.T_world_base is None else fixed_pose(poses.T_world_base[chosen])
    return replace(episode, T_world_cam=poses.T_world_cam[chosen] @ pinhole.T_cam_rect, T_world_base=T_world_base)
