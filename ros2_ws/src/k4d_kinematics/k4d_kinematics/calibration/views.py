"""What a calibration looks at: masks of a robot in known postures, and the contours that it should have there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.calibration.silhouettes import DistanceField, contour_pixels, outward_normals
from k4d_kinematics.errors import CalibrationError
from k4d_kinematics.rendering import Renderer, RobotImage

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CalibrationView:
    """One posture of the robot, and where a picture shows it then.

    mask: (H, W) bool, True where the robot is seen.
    T_parent_link: (L, 4, 4) poses of the links in the frame that the camera is fixed to: the robot's base for a
        standing camera, a link for one that rides on it.
    name: what reports call it.
    known: (H, W) bool, False where nobody knows whether the robot is seen; None means everywhere known.

    Raises CalibrationError on a mask without outline, and TransformError on poses that are not rigid.
    """

    mask: Mask
    T_parent_link: Array
    name: str
    known: Mask | None = None

    def __post_init__(self) -> None:
        DistanceField(self.mask, self.known)
        if se3.check_transform(self.T_parent_link, "T_parent_link").ndim != 3:
            raise CalibrationError(f"T_parent_link must have shape (L, 4, 4), got {self.T_parent_link.shape}")


@dataclass(frozen=True, eq=False)
class RobotContour:
    """N points of a robot that a camera sees on the outline of its silhouette.

    points_cam: (N, 3) metres in the camera's optical frame.
    normals: (N, 2) unit vectors as (u, v) out of the silhouette, zero where it has no side.
    pixels: (N, 2) as (u, v) of the pixels that show them, whose centres lie half a pixel inside.
    mask: (H, W) bool, the silhouette.
    """

    points_cam: Array
    normals: Array
    pixels: NDArray[np.intp]
    mask: Mask


def robot_contour(image: RobotImage, most_points: int | None = None) -> RobotContour:
    """The contour of a rendered robot, evenly thinned to at most ``most_points``."""
    return silhouette_contour(image.mask, image.points_cam, most_points)


def silhouette_contour(mask: Mask, points_cam: NDArray[np.float32], most_points: int | None = None) -> RobotContour:
    """The contour of a silhouette (H, W) whose points (H, W, 3) are known; see ``robot_contour``."""
    pixels = contour_pixels(mask)
    if most_points is not None and len(pixels) > most_points:
        pixels = pixels[np.linspace(0, len(pixels) - 1, most_points).round().astype(np.intp)]
    points = points_cam[pixels[:, 1], pixels[:, 0]].astype(np.float64)
    return RobotContour(points, outward_normals(mask, pixels), pixels, mask)


def expected_contours(
    renderer: Renderer, views: Sequence[CalibrationView], T_cam_parent: Array, most_points: int
) -> list[RobotContour]:
    """The robot's contour in each of the views, with the camera at ``T_cam_parent``."""
    contours = []
    for view in views:
        image = renderer.render(T_cam_parent @ view.T_parent_link)
        contours.append(robot_contour(image, most_points))
    return contours
