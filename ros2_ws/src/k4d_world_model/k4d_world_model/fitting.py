"""Conditionings at the size that a model was made for."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import ConditioningError

Scalar = TypeVar("Scalar", bound=np.generic)


def fitted(conditioning: Conditioning, height: int, width: int) -> Conditioning:
    """The conditioning at height x width pixels: scaled to cover that size, its middle cut out, the camera adapted.

    With ``s`` source pixels a new pixel and ``o`` pixels cut off on the left, new column u shows source column
    ``s * (u + 0.5) - 0.5 + o``, rows alike; the new intrinsics follow from that exactly. The first frame is averaged
    over the area that each new pixel covers. Robot pictures, masks and points come from the source pixel that holds
    the new pixel's centre: nothing is mixed across a silhouette. A point keeps that pixel's depth and lies on the new
    pixel's ray; its depth was therefore taken at most half a source pixel aside, along each axis. Frames and times
    stay. A larger size is allowed and shows no more detail than the source had.

    A conditioning that has the size already comes back as it is. Raises ConditioningError for sizes below 1.
    """
    if min(height, width) < 1:
        raise ConditioningError(f"height and width must be at least 1 px, got {height} x {width}")
    source = conditioning.camera
    if (source.image_height, source.image_width) == (height, width):
        return conditioning
    scale = min(source.image_height / height, source.image_width / width)
    top, left = (source.image_height - scale * height) / 2, (source.image_width - scale * width) / 2
    camera = _fitted_camera(source, height, width, scale, top, left)
    rows = _holding_pixels(height, source.image_height, scale, top)
    columns = _holding_pixels(width, source.image_width, scale, left)
    weights = (_shares(height, source.image_height, scale, top), _shares(width, source.image_width, scale, left))
    robot_rgb, first_points = conditioning.robot_rgb, conditioning.first_points
    return replace(
        conditioning,
        camera=camera,
        first_frame=_averaged(conditioning.first_frame, *weights),
        robot_mask=_picked(conditioning.robot_mask[..., None], rows, columns)[..., 0],
        robot_points=_on_rays(_picked(conditioning.robot_points, rows, columns), camera),
        robot_rgb=None if robot_rgb is None else _picked(robot_rgb, rows, columns),
        first_points=None if first_points is None else _on_rays(_picked(first_points, rows, columns), camera),
    )


def _fitted_camera(source: Camera, height: int, width: int, scale: float, top: float, left: float) -> Camera:
    M = source.matrix
    cx, cy = (M[0, 2] + 0.5 - left) / scale - 0.5, (M[1, 2] + 0.5 - top) / scale - 0.5
    return Camera.pinhole(height, width, M[0, 0] / scale, M[1, 1] / scale, cx, cy, frame_id=source.frame_id)


def _holding_pixels(count: int, source_count: int, scale: float, offset: float) -> NDArray[np.intp]:
    """Index (count,) of the source pixel that holds each new pixel's centre; one on an edge goes to the higher."""
    held = np.floor(offset + scale * (np.arange(count) + 0.5))
    return np.asarray(np.minimum(held, source_count - 1), np.intp)


def _shares(count: int, source_count: int, scale: float, offset: float) -> NDArray[np.float32]:
    """How much of each new pixel every source pixel covers, (count, source_count); rows sum to 1."""
    low = offset + scale * np.arange(count)[:, None]
    edges = np.arange(source_count)[None, :]
    overlap = np.minimum(low + scale, edges + 1) - np.maximum(low, edges)
    return np.asarray(np.clip(overlap, 0.0, None) / scale, np.float32)


def _averaged(picture: NDArray[np.uint8], rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) with its rows and columns weighed by (h, H) and (w, W)."""
    planes = columns @ (rows @ picture.transpose(2, 0, 1).astype(np.float32)).transpose(0, 2, 1)  # (3, w, h)
    return np.ascontiguousarray(np.round(planes).astype(np.uint8).transpose(2, 1, 0))


def _picked(values: NDArray[Scalar], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[Scalar]:
    """Pixels (..., h, w, c) of (..., H, W, c)."""
    return np.ascontiguousarray(values[..., rows[:, None], columns[None, :], :])


def _on_rays(points: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Points (..., H, W, 3) of the same depth on the rays of the camera's pixels."""
    depth = points[..., 2:]
    return np.ascontiguousarray(np.concatenate([camera.rays().astype(np.float32) * depth, depth], axis=-1))
