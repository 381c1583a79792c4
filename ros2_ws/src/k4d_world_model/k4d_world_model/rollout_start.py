"""What a prediction starts from, read from files: a picture with a trajectory, or a recording's beginning."""

from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from k4d_kinematics import (
    CameraConfig,
    ConfiguredRobot,
    JointTrajectory,
    Renderer,
    RenderSettings,
    StaticEdge,
    StaticTransforms,
    configured_robot,
    read_configuration,
    read_trajectory,
    render_trajectory,
)
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.bag_messages import SECOND_NS
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.rectification import rectification
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.encoded_pictures import decode_picture
from k4d_world_model.dataset.sources.opening import open_source, read_source_yaml
from k4d_world_model.dataset.sources.recorded_episode import points_of_depth
from k4d_world_model.errors import ConditioningError, SourceError
from k4d_world_model.evaluation.held_out import conditioning_with_robot

_MOST_PIXELS = 64_000_000
_MILLIMETRE = np.float32(0.001)
# What reading a damaged array or picture raises.
_DAMAGE = (OSError, EOFError, ValueError, TypeError, LookupError, SyntaxError, MemoryError, OverflowError)


@dataclass(frozen=True)
class PictureFiles:
    """A picture, the robot's motion from then on, and what both were seen with.

    image: PNG or JPEG as the camera of ``camera`` delivers it. depth: aligned with it, a PNG of 16 bits in millimetres
        (0 is unknown) or an NPY of z-depths in metres (not finite or 0 is unknown).
    trajectory, topic: as ``read_trajectory`` takes them. robot, camera: YAMLs as in config.
    start: seconds after the trajectory's beginning at which the picture was taken.
    duration: seconds that are to be predicted, None for the rest of the trajectory.
    """

    image: Path
    trajectory: Path
    robot: Path
    camera: Path
    depth: Path | None = None
    topic: str | None = None
    start: float = 0.0
    duration: float | None = None


@dataclass(frozen=True, eq=False)
class RolloutStart:
    """What a prediction starts from.

    conditioning: in the camera's own size. stamp_ns: of its first frame in nanoseconds, 0 where nobody stamped it.
    base_frame: the robot's root link. recorded: what happened then, None where nobody knows.
    """

    conditioning: Conditioning
    base_frame: str
    stamp_ns: int = 0
    recorded: Episode | None = None


def start_of_picture(files: PictureFiles, frames: int, cache_dir: Path | None = None) -> RolloutStart:
    """The start of ``frames`` frames, evenly spread over the trajectory's part. Pictures of a lens are rectified.

    Raises ConditioningError when picture, depth, camera and trajectory do not fit each other, SourceError when a
    picture cannot be read, and KinematicsError on unusable robots, cameras and trajectories.
    """
    configured = configured_robot(files.robot, cache_dir)
    config = read_configuration(files.camera, CameraConfig)
    raw = config.camera()
    pinhole = rectification(raw)
    size = (raw.image_height, raw.image_width)
    picture = decode_picture(_bytes(files.image), str(files.image))
    if picture.shape[:2] != size:
        raise ConditioningError(
            f"{files.image}: must have the camera's (height, width) {size}, got {picture.shape[:2]}"
        )
    depth = None if files.depth is None else pinhole.depth(read_depth(files.depth, size))
    T_parent_rect = config.T_parent_cam() @ pinhole.T_cam_rect
    trajectory = _part(read_trajectory(files.trajectory, configured.robot, topic=files.topic), files, frames)
    pointmaps = render_trajectory(
        configured.robot,
        trajectory,
        Renderer(configured.surface, pinhole.camera, RenderSettings(rgb=True)),
        StaticTransforms([StaticEdge(config.parent_frame, pinhole.camera.frame_id, T_parent_rect)]),
        mount_link=config.parent_frame,
        tool_link=configured.tool_link,
    )
    conditioning = Conditioning.from_pointmaps(
        pinhole.picture(picture),
        pointmaps,
        first_points=None if depth is None else points_of_depth(pinhole.camera, depth[None])[0],
        robot_sha256=configured.robot.sha256,
    )
    return RolloutStart(conditioning, configured.robot.link_names[0])


def start_of_recording(bag: Path, source: Path, frames: int, cache_dir: Path | None = None) -> RolloutStart:
    """The start of the one recording in ``bag``, as the YAML ``source`` (see config/sources/bag.yaml) reads it.

    Raises SourceError when there is none or several, RejectedEpisodeError when it does not qualify, and EpisodeError
    when it lacks camera, joints or poses.
    """
    robot = _robot_of(source, cache_dir)
    recordings = open_source(source, root=bag, cache_dir=cache_dir)
    names = recordings.episode_ids()
    if len(names) != 1:
        raise SourceError(f"{bag}: must be one recording, got {len(names)}: {', '.join(names)}")
    episode = recordings.read(names[0], FrameSampling(frames))
    conditioning = replace(
        conditioning_with_robot(episode, robot),
        robot_sha256=robot.robot.sha256,
        joints=_joints_after_start(episode),
    )
    stamp_ns = round(Fraction(float(episode.times[0])) * SECOND_NS)  # a product of floats would lose some 100 ns
    return RolloutStart(conditioning, robot.robot.link_names[0], stamp_ns, episode)


def read_depth(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Z-depths (H, W) in metres, NaN where unknown, of a 16-bit PNG in millimetres or an NPY in metres.

    Raises ConditioningError naming the file when it is damaged, of another type, or not of ``size`` (height, width).
    """
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _png_values(path)
    except ConditioningError:
        raise
    except _DAMAGE as error:
        raise ConditioningError(f"{path}: depth cannot be read: {error}") from error
    is_png = path.suffix != ".npy"
    if not isinstance(values, np.ndarray) or values.shape != size or values.dtype.kind != ("u" if is_png else "f"):
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else "an archive"
        raise ConditioningError(
            f"{path}: depth must be a PNG of 16 bits in millimetres or an NPY of floats in metres, of (height, width) "
            f"{size}, got {found}"
        )
    depth = values.astype(np.float32) * (_MILLIMETRE if is_png else np.float32(1.0))
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def _png_values(path: Path) -> NDArray[np.uint16]:
    with Image.open(BytesIO(path.read_bytes()), formats=("PNG",)) as image:
        if image.mode != "I;16" or image.width * image.height > _MOST_PIXELS:
            raise ConditioningError(
                f"{path}: a depth PNG must have one channel of 16 bits and at most {_MOST_PIXELS} pixels, got mode "
                f"{image.mode} of {image.height} x {image.width}"
            )
        return np.asarray(image, np.uint16)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error


def _part(trajectory: JointTrajectory, files: PictureFiles, frames: int) -> JointTrajectory:
    """``frames`` even samples of the part that is to be predicted, timed from the picture on."""
    rest = trajectory.duration - files.start
    duration = rest if files.duration is None else files.duration
    if not (files.start >= 0 and 0 < duration <= rest):
        raise ConditioningError(
            f"{files.trajectory}: lasts {trajectory.duration:g} s; start must be >= 0 s and duration above 0 s within "
            f"it, got start {files.start:g} s and duration {duration:g} s"
        )
    first = trajectory.times[0] + files.start
    last = trajectory.times[-1] if files.duration is None else first + duration
    part = trajectory.resample(np.linspace(first, min(last, trajectory.times[-1]), frames))
    return replace(part, times=part.times - part.times[0])


def _robot_of(source: Path, cache_dir: Path | None) -> ConfiguredRobot:
    name = read_source_yaml(source).get("robot")
    if not isinstance(name, str) or not name:
        raise SourceError(f"{source}: robot must name a robot YAML, got {name!r}")
    return configured_robot(source.parent / name, cache_dir)


def _joints_after_start(episode: Episode) -> JointTrajectory | None:
    joints = episode.joints
    return None if joints is None else replace(joints, times=episode.times - episode.times[0])
