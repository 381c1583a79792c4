"""Pictures and depth images without lens distortion, and the pinhole camera that sees them so."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from k4d_kinematics import Camera, se3
from k4d_kinematics.errors import CameraError
from k4d_world_model.errors import RejectedEpisodeError

_OUTSIDE = -10.0  # a coordinate that lies in no picture


@dataclass(frozen=True, eq=False)
class Rectification:
    """How raw images become those of the undistorted ``camera``.

    ``T_cam_rect`` (4, 4) is the turn of its optical frame against the raw camera's. ``source_px`` (H, W, 2) are the raw
    pixels (u, v) that its pixels show, far outside where the lens shows nothing, and None where nothing is moved;
    ``depth_factor`` (H, W) is its z-depth per z-depth of the raw camera.
    """

    camera: Camera
    T_cam_rect: NDArray[np.float64]
    source_px: NDArray[np.float64] | None
    depth_factor: NDArray[np.float64] | None

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The rectified picture (H, W, 3) of a raw one, bilinear, black where the raw one shows nothing."""
        if self.source_px is None:
            return rgb
        rows_columns = (self.source_px[..., 1], self.source_px[..., 0])
        channels = [ndimage.map_coordinates(rgb[..., k], rows_columns, order=1) for k in range(3)]
        return np.stack(channels, axis=-1)

    def depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rectified z-depths (H, W) of raw ones: of the nearest raw pixel, NaN where that shows nothing."""
        if self.source_px is None or self.depth_factor is None:
            return depth
        u, v = np.floor(self.source_px + 0.5).astype(np.intp).transpose(2, 0, 1)
        inside = (u >= 0) & (v >= 0) & (u < depth.shape[1]) & (v < depth.shape[0])
        nearest = depth[np.where(inside, v, 0), np.where(inside, u, 0)] * self.depth_factor
        return np.where(inside, nearest, np.nan).astype(np.float32)


def rectification(camera: Camera, *, is_done: bool = False) -> Rectification:
    """What rectifies a camera's images: nothing for a pinhole, else the mapping onto its R and P.

    An uncalibrated P (all zero) means the raw K. ``is_done`` says that the images are rectified already, so that only
    their camera is asked for. Raises RejectedEpisodeError when the calibration does not allow it.
    """
    if not camera.is_distorted and not is_done:
        return Rectification(_pinhole(camera), np.eye(4), None, None)
    R = camera.R if camera.R.any() else np.eye(3)
    P = camera.P if camera.P.any() else np.hstack([camera.K, np.zeros((3, 1))])
    try:
        calibrated = Camera(
            camera.height, camera.width, camera.K, camera.D, camera.distortion_model, R, P,
            camera.binning_x, camera.binning_y, camera.roi, camera.frame_id,
        )  # fmt: skip
        rectified = _pinhole(calibrated.rectified())
    except CameraError as error:
        raise RejectedEpisodeError(f"its camera cannot be rectified: {error}") from error
    T_cam_rect = se3.from_rotation_translation(R.T, np.zeros(3))
    if is_done:
        return Rectification(rectified, T_cam_rect, None, None)
    rays = rectified.rays()  # (H, W, 2)
    rays_rect = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1)
    rays_cam = rays_rect @ R  # R is R_rect_cam, so this is its inverse on row vectors
    source_px = np.nan_to_num(camera.project(rays_cam), nan=_OUTSIDE)
    return Rectification(rectified, T_cam_rect, source_px, 1.0 / rays_cam[..., 2])


def _pinhole(camera: Camera) -> Camera:
    """The delivered image's pinhole, its region and binning worked into the intrinsics."""
    M = camera.matrix
    return Camera.pinhole(
        camera.image_height, camera.image_width, M[0, 0], M[1, 1], M[0, 2], M[1, 2], frame_id=camera.frame_id
    )
