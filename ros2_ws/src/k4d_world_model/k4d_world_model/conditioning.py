"""What a prediction starts from: the picture now, and where the robot will be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory, PointmapSequence, ToolPath, se3
from k4d_world_model.errors import ConditioningError


@dataclass(frozen=True, eq=False)
class Conditioning:
    """The first frame and T robot pointmaps of one undistorted camera.

    first_frame: (H, W, 3) uint8 RGB, as seen at times[0].
    robot_points: (T, H, W, 3) float32 metres in the camera's optical frame of the robot alone, also where something
        hides it; NaN where there is no robot.
    robot_mask: (T, H, W) bool, True on the pixels of ``robot_points``.
    times: (T,) float64 seconds after the observation, strictly increasing.
    camera: of H x W pixels; its ``frame_id`` names the frame of all points.
    T_cam_base: (T, 4, 4), from the robot's base frame into the camera's optical frame.
    robot_rgb: (T, H, W, 3) uint8 picture of the robot, black elsewhere; None where nobody rendered it.
    first_points: (H, W, 3) float32 metres in the optical frame of all that is seen at times[0], as a depth camera
        gives it; NaN where it measured nothing, None without one.
    joints: the planned positions at exactly ``times``, None where unknown.
    robot_sha256: hash of the robot's description, empty where unknown.
    instruction: what is to be done, in words; empty where nobody says.
    pictures: (T, H, W, 3) uint8 of the whole future, for models that reconstruct points from pictures.
    tool: where the tool is at ``times`` and how far its gripper is open; None where no link is known to be the tool.

    Raises ConditioningError when shapes, types or times do not fit each other.
    """

    first_frame: NDArray[np.uint8]
    robot_points: NDArray[np.float32]
    robot_mask: NDArray[np.bool_]
    times: NDArray[np.float64]
    camera: Camera
    T_cam_base: se3.Array
    robot_rgb: NDArray[np.uint8] | None = None
    first_points: NDArray[np.float32] | None = None
    joints: JointTrajectory | None = None
    robot_sha256: str = ""
    tool: ToolPath | None = None
    instruction: str = ""
    pictures: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        size, count = (self.camera.image_height, self.camera.image_width), len(self.times)
        self._check("first_frame", self.first_frame, (*size, 3), np.uint8)
        self._check("robot_points", self.robot_points, (count, *size, 3), np.float32)
        self._check("robot_mask", self.robot_mask, (count, *size), np.bool_)
        self._check("times", self.times, (count,), np.float64)
        self._check("T_cam_base", self.T_cam_base, (count, 4, 4), np.float64)
        self._check("robot_rgb", self.robot_rgb, (count, *size, 3), np.uint8)
        self._check("pictures", self.pictures, (count, *size, 3), np.uint8)
        self._check("first_points", self.first_points, (*size, 3), np.float32)
        if self.camera.is_distorted:
            raise ConditioningError("camera must be undistorted: rectify picture and pointmaps first")
        if count == 0 or not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            raise ConditioningError(f"times must be at least one, finite and strictly increasing, got {self.times}")
        if not np.array_equal(np.isfinite(self.robot_points).all(axis=-1), self.robot_mask):
            raise ConditioningError("robot_points must be finite exactly where robot_mask is True")
        if self.joints is not None and not np.array_equal(self.joints.times, self.times):
            raise ConditioningError("joints must be given at exactly the conditioning's times; resample them first")
        if self.tool is not None and len(self.tool.opening) != count:
            raise ConditioningError(f"tool must have one pose for each of {count} times, got {len(self.tool.opening)}")

    def _check(
        self, name: str, array: NDArray[np.generic] | None, shape: tuple[int, ...], dtype: type[np.generic]
    ) -> None:
        if array is not None and (array.shape != shape or array.dtype != dtype):
            raise ConditioningError(
                f"{name} must be {dtype.__name__} of shape {shape}, got {array.dtype} {array.shape}"
            )

    @classmethod
    def from_pointmaps(
        cls,
        first_frame: NDArray[np.uint8],
        pointmaps: PointmapSequence,
        *,
        first_points: NDArray[np.float32] | None = None,
        robot_sha256: str = "",
    ) -> "Conditioning":
        """The conditioning of a robot pointmap sequence whose first frame is the picture's moment.

        Raises ConditioningError as the constructor does.
        """
        joints = JointTrajectory(pointmaps.joint_names, pointmaps.times, pointmaps.positions)
        return cls(
            first_frame, pointmaps.points_cam, pointmaps.mask, pointmaps.times, pointmaps.camera, pointmaps.T_cam_base,
            pointmaps.rgb, first_points, joints, robot_sha256, pointmaps.tool,
        )  # fmt: skip

    @property
    def frame_count(self) -> int:
        """T."""
        return len(self.times)
