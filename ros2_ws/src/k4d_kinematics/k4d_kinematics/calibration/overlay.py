"""The robot as it is predicted, drawn over the picture in which it is seen."""

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.calibration.silhouettes import contour_pixels
from k4d_kinematics.errors import CalibrationError

Picture = NDArray[np.uint8]

_LINE = (255, 40, 40)
_FILL = np.array([60.0, 200.0, 255.0])
_AMBIENT = 0.35


def overlay(rgb: Picture, points_cam: NDArray[np.float32], opacity: float = 0.4) -> Picture:
    """The picture (H, W, 3) with the pointmap (H, W, 3) shaded over it, and its silhouette as a red line.

    Raises CalibrationError when the two are not of one size.
    """
    if rgb.shape != points_cam.shape:
        raise CalibrationError(f"picture and pointmap must have one shape, got {rgb.shape} and {points_cam.shape}")
    mask = np.isfinite(points_cam[..., 2])
    drawn = rgb.astype(np.float32)
    shade = _headlight(points_cam)[mask, None] * _FILL
    drawn[mask] = (1.0 - opacity) * drawn[mask] + opacity * shade
    pixels = contour_pixels(mask)
    drawn[pixels[:, 1], pixels[:, 0]] = _LINE
    return np.rint(drawn).astype(np.uint8)


def _headlight(points_cam: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brightness (H, W) of a surface lit from the camera, by the slope between neighbouring points."""
    along_v, along_u = np.gradient(points_cam, axis=(0, 1))
    normals = np.cross(along_u, along_v)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.abs((normals * points_cam).sum(axis=-1))
        cosine /= np.linalg.norm(normals, axis=-1) * np.linalg.norm(points_cam, axis=-1)
    return np.asarray(_AMBIENT + (1.0 - _AMBIENT) * np.nan_to_num(cosine), np.float32)
