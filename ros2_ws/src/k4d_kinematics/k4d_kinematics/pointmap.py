"""Robot pointmap sequences: what every pixel of a camera sees of the robot, in metres, over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import RenderingError
from k4d_kinematics.tool_path import ToolPath


@dataclass(frozen=True)
class PointmapSequence:
    """Robot pointmaps of one camera over a trajectory.

    points_cam: (T, H, W, 3) float32, metres in the camera's optical frame, NaN where there is no robot.
    mask: (T, H, W) bool, True on robot pixels.
    times: (T,) seconds, strictly increasing.
    T_cam_base: (T, 4, 4), from the robot's base frame into the camera's optical frame.
    positions: (T, J) joint positions, radians or metres, named by ``joint_names``.
    link_ids: (T, H, W) int16 index of the link seen, -1 outside; None where not asked for.
    rgb: (T, H, W, 3) uint8 rendered robot, black outside; None where not asked for.
    tool: the tool's path at ``times``; None where no link is known to be the tool.

    Raises RenderingError when shapes or types do not fit each other.
    """

    points_cam: NDArray[np.float32]
    mask: NDArray[np.bool_]
    times: NDArray[np.float64]
    T_cam_base: se3.Array
    positions: NDArray[np.float64]
    joint_names: tuple[str, ...]
    camera: Camera
    link_ids: NDArray[np.int16] | None = None
    rgb: NDArray[np.uint8] | None = None
    tool: ToolPath | None = None

    def __post_init__(self) -> None:
        count, size = len(self.times), (self.camera.image_height, self.camera.image_width)
        expected: dict[str, tuple[NDArray[np.generic] | None, tuple[int, ...], type[np.generic]]] = {
            "points_cam": (self.points_cam, (count, *size, 3), np.float32),
            "mask": (self.mask, (count, *size), np.bool_),
            "times": (self.times, (count,), np.float64),
            "T_cam_base": (self.T_cam_base, (count, 4, 4), np.float64),
            "positions": (self.positions, (count, len(self.joint_names)), np.float64),
            "link_ids": (self.link_ids, (count, *size), np.int16),
            "rgb": (self.rgb, (count, *size, 3), np.uint8),
        }
        for name, (array, shape, dtype) in expected.items():
            if array is not None and (array.shape != shape or array.dtype != dtype):
                raise RenderingError(
                    f"{name} must be {dtype.__name__} of shape {shape}, got {array.dtype} {array.shape}"
                )
        if count == 0 or (np.diff(self.times) <= 0).any():
            raise RenderingError(f"times must be at least one and strictly increasing, got {self.times}")
        if self.tool is not None and len(self.tool.opening) != count:
            raise RenderingError(f"tool must have {count} poses, one per time, got {len(self.tool.opening)}")

    @property
    def points_base(self) -> NDArray[np.float32]:
        """The points (T, H, W, 3) in the robot's base frame, NaN where there is no robot."""
        count, height, width, _ = self.points_cam.shape
        flat = se3.transform_points(se3.inverse(self.T_cam_base), self.points_cam.reshape(count, -1, 3))
        return flat.reshape(count, height, width, 3).astype(np.float32)
