"""A recorded camera calibrated: from a bag, a robot and a wrong guess to where the camera is."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from k4d_kinematics import CameraConfig, ConfiguredRobot, Renderer, configured_robot, read_configuration, se3
from k4d_kinematics.calibration import Calibration, CalibrationSettings, CalibrationView, calibrate
from k4d_kinematics.errors import CalibrationError
from k4d_world_model.calibration.recorded_masks import (
    RecordedMasks,
    depth_masks,
    mask_files,
    read_masks,
    read_pictures,
)
from k4d_world_model.calibration.recorded_poses import (
    PoseChoice,
    RecordedPoses,
    Refusal,
    choose_poses,
    usable_pictures,
)
from k4d_world_model.calibration.segmented_masks import segmented_masks
from k4d_world_model.dataset.annotation.sam import SamAnnotator
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.bag_poses import read_poses
from k4d_world_model.errors import RejectedEpisodeError

Mask = NDArray[np.bool_]

# How far a guess may be off: within it, what never changes may be a part of the robot that stands still.
_GUESS_OFFSET, _GUESS_TURN = 0.08, float(np.radians(3.0))


@dataclass(frozen=True)
class CalibrationFiles:
    """What a calibration reads.

    bag: rosbag2 folder or MCAP file. robot, camera: YAMLs as in config; the camera's pose is the guess to start from.
    masks: folder of mask files. sam: folder of SAM 2 or SAM 3 video weights that segment the pictures on the torch
        device ``device``. Without both, masks are what is nearer than the farthest depth that a pixel ever had.
    image_topic, camera_info_topic, depth_topic, joint_topic: empty ones follow the camera's name, NAME/image_raw,
        NAME/camera_info and NAME/depth.
    image_is_rectified: whether the pictures are without the lens that the camera_info states.
    tf_guess: whether the guess is what the bag's /tf and /tf_static say instead of the YAML.

    Raises CalibrationError when both masks and sam are given.
    """

    bag: Path
    robot: Path
    camera: Path
    masks: Path | None = None
    image_topic: str = ""
    camera_info_topic: str = ""
    depth_topic: str = ""
    joint_topic: str = "/joint_states"
    sam: Path | None = None
    device: str = "cpu"
    image_is_rectified: bool = False
    tf_guess: bool = False

    def __post_init__(self) -> None:
        if self.masks is not None and self.sam is not None:
            raise CalibrationError(f"masks are either files or by SAM, got both {self.masks} and {self.sam}")

    @property
    def masks_from_depth(self) -> bool:
        """Whether depth images say where the robot is."""
        return self.masks is None and self.sam is None

    @property
    def mask_source(self) -> str:
        """Where masks come from, in a word or a path."""
        return "depth" if self.masks_from_depth else f"SAM {self.sam}" if self.sam else str(self.masks)

    def topics(self, name: str) -> RosbagConfig:
        """The topics that are read, for a camera called ``name``."""
        return RosbagConfig(
            name,
            self.image_topic or f"/{name}/image_raw",
            self.camera_info_topic or f"/{name}/camera_info",
            (self.depth_topic or f"/{name}/depth") if self.masks_from_depth else "",
            self.joint_topic,
            image_is_rectified=self.image_is_rectified,
            min_covered=np.finfo(float).tiny,
        )


@dataclass(frozen=True, eq=False)
class RecordedCalibration:
    """A calibration of a recording, and what it was made of.

    config: the camera YAML that it started from, with the pose that was the guess. pictures: (N, H, W, 3) of the views.
    paths: files that were read, masks included. refused: pictures that were not used.
    """

    found: Calibration
    config: CameraConfig
    robot: ConfiguredRobot
    poses: RecordedPoses
    views: tuple[CalibrationView, ...]
    pictures: NDArray[np.uint8]
    refused: tuple[Refusal, ...]
    mask_paths: tuple[Path, ...] = field(default=())


def calibrate_recording(
    files: CalibrationFiles,
    choice: PoseChoice | None = None,
    depth_tolerance: float = 0.02,
    settings: CalibrationSettings | None = None,
    cache_dir: Path | None = None,
) -> RecordedCalibration:
    """Where the camera of a recording is in its parent frame.

    A pixel shows the robot where it is nearer than its background by ``depth_tolerance`` metres, unless there are mask
    files or a SAM. Raises RejectedEpisodeError or SourceError when the bag lacks something, PoseSetError when it has
    too few poses, AnnotationError when the SAM cannot be used, and as ``calibrate`` does.
    """
    settings = settings or CalibrationSettings()
    robot, config = configured_robot(files.robot, cache_dir), read_configuration(files.camera, CameraConfig)
    parent = parent_link(robot, config, files)
    topics = files.topics(config.name)
    usable = usable_pictures(files.bag, topics, robot, config)
    by_index = {} if files.masks is None else mask_files(files.masks, usable.frames, usable.places)
    masked = None if files.masks is None else np.isin(np.arange(len(usable.places)), list(by_index))
    poses = choose_poses(usable, robot, parent, choice or PoseChoice(), masked)
    size = (poses.camera.image_height, poses.camera.image_width)
    pictures = read_pictures(files.bag, topics.image_topic, poses.frames.image_places, size)
    if files.tf_guess:
        config = _placed_by_tf(config, files.bag, poses)
    T_guess, renderer = se3.inverse(config.T_parent_cam()), Renderer(robot.surface, poses.camera)
    paths: tuple[Path, ...] = ()
    if files.masks is not None:
        used = np.searchsorted(usable.frames.stamps_ns, poses.frames.stamps_ns)
        paths = tuple(by_index[int(index)] for index in used)
        masks = read_masks(list(paths), size)
    elif files.sam is not None:
        annotator = SamAnnotator(files.sam, device=files.device)
        masks = segmented_masks(annotator, pictures, renderer, T_guess, poses.T_parent_link)
    else:
        masks = depth_masks(files.bag, topics.depth_topic, poses.everything, poses.frames, size, depth_tolerance)
    known = _known(masks, poses, renderer, T_guess)
    views, places, refused = _views(poses, masks.masks, known)
    found = calibrate(robot.surface, poses.camera, views, T_guess, settings)
    kept = {residual.name for residual in found.residuals}
    weak = tuple(
        Refusal(view.name, "with too little robot, or too much of it cut off")
        for view in views
        if view.name not in kept
    )
    shown = [k for k, view in enumerate(views) if view.name in kept]
    return RecordedCalibration(
        found, config, robot, poses, tuple(views[k] for k in shown), pictures[[places[k] for k in shown]],
        (*poses.refused, *refused, *weak), paths,
    )  # fmt: skip


def parent_link(robot: ConfiguredRobot, config: CameraConfig, files: CalibrationFiles) -> str:
    """The link that the camera is fixed to. Raises CalibrationError unless there is such a link, standing if needed."""
    names = robot.robot.link_names
    if config.parent_frame not in names:
        raise CalibrationError(
            f"{files.camera}: parent_frame must be a link of the robot, got {config.parent_frame!r}; links are "
            f"{', '.join(names)}"
        )
    if files.masks_from_depth and config.parent_frame != names[0]:
        raise CalibrationError(
            f"masks from depth need a standing camera, whose parent_frame is {names[0]!r}, got "
            f"{config.parent_frame!r}: a camera that moves needs --masks or --sam"
        )
    return config.parent_frame


def _placed_by_tf(config: CameraConfig, bag: Path, poses: RecordedPoses) -> CameraConfig:
    """The camera where the recording's transforms say that it is in the first of the poses."""
    found = read_poses(bag, config.parent_frame, "", config.frame_id, poses.frames.times[:1])
    if not found.known[0]:
        raise RejectedEpisodeError(f"its transforms do not say where {config.frame_id!r} is: {found.reason}")
    xyz, quaternion_xyzw = se3.to_xyzw(found.T_world_cam[0])
    return replace(config, xyz=tuple(xyz.tolist()), quaternion_xyzw=tuple(quaternion_xyzw.tolist()))


def _known(masks: RecordedMasks, poses: RecordedPoses, renderer: Renderer, T_guess: se3.Array) -> Mask:
    """Where (N, H, W) masks are to be trusted: not where a part of the robot may be that stands still in all poses."""
    if masks.changed is None:
        return masks.known
    images = [renderer.render(T_guess @ T_parent_link) for T_parent_link in poses.T_parent_link]
    stands = np.all([image.mask for image in images], axis=0)
    if not stands.any():
        return masks.known
    depth = float(np.median(np.concatenate([image.points_cam[image.mask, 2] for image in images])))
    reach_px = float(poses.camera.matrix[0, 0]) * (_GUESS_OFFSET / depth + _GUESS_TURN)
    near = ndimage.distance_transform_edt(~stands) <= reach_px
    return np.asarray(masks.known & (masks.changed | ~near))


def _views(
    poses: RecordedPoses, masks: Mask, known: Mask
) -> tuple[tuple[CalibrationView, ...], list[int], tuple[Refusal, ...]]:
    """The views, the poses that they are of, and those poses that are none since their mask has no outline."""
    views, places, refused = [], [], []
    for index, name in enumerate(poses.names):
        try:
            views.append(CalibrationView(masks[index] & known[index], poses.T_parent_link[index], name, known[index]))
            places.append(index)
        except CalibrationError as error:
            refused.append(Refusal(name, "with a mask of no use", str(error)))
    return tuple(views), places, tuple(refused)
