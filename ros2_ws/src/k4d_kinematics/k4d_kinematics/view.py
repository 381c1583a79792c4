"""A camera in the form that the compiled kernels read."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import CameraError
from k4d_kinematics.pixel_lanes import LANES


class View(NamedTuple):
    """A camera and near plane for the kernels. Rows of flat pixel buffers are ``stride`` numbers apart."""

    width: int
    height: int
    stride: int
    near: float
    near_center: NDArray[np.float64]  # (3,) of a sphere in the camera frame that holds the near plane's visible part
    near_radius: float
    plane_matrix: NDArray[np.float64]  # (3, 3) from camera coordinates to the edge plane
    pixel: np.float32  # size of a pixel in the edge plane
    column_rays: NDArray[np.float32]  # (2, W) smallest and largest x/z of each column
    row_rays: NDArray[np.float32]  # (2, H) smallest and largest y/z of each row


def buffer_size(view: View) -> int:
    """Length of a flat pixel buffer: LANES spare numbers follow each row, as updates come LANES at a time."""
    return view.height * view.stride + LANES


def prepare_view(camera: Camera, near: float) -> View:
    """The kernels' form of a camera. Raises CameraError where its lens reaches no ray at any pixel."""
    rays = camera.rays()  # (H, W, 2)
    if not np.isfinite(rays).any():
        raise CameraError(f"no pixel has a ray: D = {camera.D} of {camera.distortion_model} fits no point of the image")
    low, high = np.nanmin(rays, axis=(0, 1)), np.nanmax(rays, axis=(0, 1))
    return View(
        width=camera.image_width,
        height=camera.image_height,
        stride=camera.image_width + LANES,
        near=float(near),
        near_center=near * np.array([*(low + high) / 2.0, 1.0]),
        near_radius=float(near * np.linalg.norm(high - low) / 2.0),
        plane_matrix=np.eye(3) if camera.is_distorted else np.ascontiguousarray(camera.matrix),
        pixel=np.float32(1.0 / camera.matrix[:2, :2].max() if camera.is_distorted else 1.0),
        column_rays=_spans(rays[..., 0]),
        row_rays=_spans(rays[..., 1].T),
    )


def _spans(rays: NDArray[np.float64]) -> NDArray[np.float32]:
    """Smallest and largest of each column as (2, n), infinite and empty where a column has no ray."""
    low = np.where(np.isnan(rays), np.inf, rays).min(axis=0)
    high = np.where(np.isnan(rays), -np.inf, rays).max(axis=0)
    return np.stack([low, high]).astype(np.float32)
