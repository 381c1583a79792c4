"""One robot interaction as one camera saw it: pictures, pointmaps, calibration, joints and what is known of it."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_kinematics.errors import TransformError
from k4d_world_model.errors import EpisodeError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class EpisodeInfo:
    """What is known of an episode besides its arrays.

    ``episode_id`` is unique in a data set and a safe file name. ``source`` names where it comes from ("simulation",
    "droid" ...), ``robot`` and ``task`` what acts and what is done. ``variant`` tells how it was made ("expert",
    "noise_segment2_sigma0.8"; empty where unknown). ``caption`` describes the whole interaction, ``scene_caption`` only
    the still scene of its first frame. ``success`` is what a checker or the recording says, None where nobody does.
    ``seed`` repeats it, where it was simulated. ``provenance`` is one line on file, version and settings.

    Raises EpisodeError on an ``episode_id`` that is no safe file name or an empty ``source``.
    """

    episode_id: str
    source: str
    robot: str = ""
    task: str = ""
    variant: str = ""
    caption: str = ""
    scene_caption: str = ""
    success: bool | None = None
    seed: int | None = None
    provenance: str = ""

    def __post_init__(self) -> None:
        check_episode_id(self.episode_id)
        if not self.source:
            raise EpisodeError("source must name where the episode comes from, got an empty string")

    @property
    def stratum(self) -> str:
        """The group that a stratified split keeps in proportion: source, task, variant and outcome."""
        outcome = {True: "success", False: "failure", None: "unlabelled"}[self.success]
        return "/".join((self.source, self.task or "-", self.variant or "-", outcome))


@dataclass(frozen=True, eq=False)
class Episode:
    """T frames of one interaction.

    rgb: (T, H, W, 3) uint8.
    times: (T,) float64 seconds on the source's clock, strictly increasing.
    scale: "metric" when points are metres; "affine" when each axis has an unknown scale and offset.
    camera: the undistorted pinhole camera of all frames, None where nobody calibrated it.
    T_world_cam: (T, 4, 4) pose of the camera's optical frame, T_world_base: (4, 4) pose of the robot's root link.
    joints: positions at exactly ``times``.
    scene_points: (T, H, W, 3) float32 in the camera's optical frame, of everything that is seen.
    robot_points: (T, H, W, 3) float32 in the camera's optical frame, of the robot alone, also where it is hidden.
    robot_mask: (T, H, W) bool, True on the pixels of ``robot_points``.

    Points that are missing are NaN. Everything but rgb and times may be None where the source does not have it. Raises
    EpisodeError when shapes, types or times do not fit each other, a pose is not rigid, or robot_points and robot_mask
    disagree.
    """

    info: EpisodeInfo
    rgb: NDArray[np.uint8]
    times: NDArray[np.float64]
    scale: Literal["metric", "affine"] = "metric"
    camera: Camera | None = None
    T_world_cam: NDArray[np.float64] | None = None
    T_world_base: NDArray[np.float64] | None = None
    joints: JointTrajectory | None = None
    scene_points: NDArray[np.float32] | None = None
    robot_points: NDArray[np.float32] | None = None
    robot_mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.rgb.ndim != 4 or self.rgb.shape[-1] != 3 or self.rgb.size == 0:
            raise EpisodeError(f"rgb must be (T, H, W, 3) with at least one pixel, got {self.rgb.shape}")
        pixels = self.rgb.shape[:3]  # (T, H, W)
        count = pixels[0]
        self._check("rgb", self.rgb, (*pixels, 3), np.uint8)
        self._check("times", self.times, (count,), np.float64)
        self._check("T_world_cam", self.T_world_cam, (count, 4, 4), np.float64)
        self._check("T_world_base", self.T_world_base, (4, 4), np.float64)
        self._check("scene_points", self.scene_points, (*pixels, 3), np.float32)
        self._check("robot_points", self.robot_points, (*pixels, 3), np.float32)
        self._check("robot_mask", self.robot_mask, pixels, np.bool_)
        if not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            raise EpisodeError(f"times must be finite and strictly increasing, got {self.times}")
        if self.scale not in ("metric", "affine"):
            raise EpisodeError(f"scale must be 'metric' or 'affine', got {self.scale!r}")
        self._check_poses()
        self._check_camera()
        if self.joints is not None and not np.array_equal(self.joints.times, self.times):
            raise EpisodeError("joints must be given at exactly the episode's times; resample them first")
        self._check_robot()

    def _check(
        self, name: str, array: NDArray[np.generic] | None, shape: tuple[int, ...], dtype: type[np.generic]
    ) -> None:
        if array is not None and (array.shape != shape or array.dtype != dtype):
            raise EpisodeError(f"{name} must be {dtype.__name__} of shape {shape}, got {array.dtype} {array.shape}")

    def _check_poses(self) -> None:
        for name, poses in (("T_world_cam", self.T_world_cam), ("T_world_base", self.T_world_base)):
            if poses is not None:
                try:
                    se3.check_transform(poses, name)
                except TransformError as error:
                    raise EpisodeError(str(error)) from error

    def _check_camera(self) -> None:
        if self.camera is None:
            return
        size = (self.camera.image_height, self.camera.image_width)
        if size != self.rgb.shape[1:3] or self.camera.is_distorted:
            raise EpisodeError(
                f"camera must be an undistorted one of {self.rgb.shape[1:3]} pixels (height, width), got "
                f"{size}{' with lens distortion: rectify pictures and camera first' * self.camera.is_distorted}"
            )

    def _check_robot(self) -> None:
        if self.robot_points is None:
            return
        if self.robot_mask is None:
            raise EpisodeError("robot_points need a robot_mask")
        if not np.array_equal(np.isfinite(self.robot_points[..., 2]), self.robot_mask):
            raise EpisodeError("robot_points must be finite exactly where robot_mask is True")

    @property
    def frame_count(self) -> int:
        """T."""
        return len(self.times)


def check_episode_id(episode_id: str) -> str:
    """The identifier itself. Raises EpisodeError unless it is a safe file name."""
    if not _NAME.fullmatch(episode_id):
        raise EpisodeError(
            f"an episode_id must be 1 to 128 of A-Z a-z 0-9 . _ - and start with a letter or digit, got {episode_id!r}"
        )
    return episode_id
