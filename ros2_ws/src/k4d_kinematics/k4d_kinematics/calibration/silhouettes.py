"""Silhouettes in masks: their contour pixels, which way is out, and how far each pixel is from them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from k4d_kinematics.errors import CalibrationError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# A contour pixel's centre lies inside, half a pixel from the edge of the shape.
INSET_PX = 0.5
# Where the picture ends, so does a mask; a contour this near to it may be the picture's edge.
BORDER_PX = 2
_SMOOTHING_PX = 1.5


def contour_pixels(mask: Mask) -> NDArray[np.intp]:
    """Pixels (N, 2) as (u, v) of a mask (H, W) that have a neighbour outside; none near the picture's border."""
    inside = np.zeros_like(mask)
    inside[1:-1, 1:-1] = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    edge = mask & ~inside
    edge[:BORDER_PX] = edge[-BORDER_PX:] = edge[:, :BORDER_PX] = edge[:, -BORDER_PX:] = False
    return np.argwhere(edge)[:, ::-1]


def border_share(mask: Mask) -> float:
    """Which part of a mask's whole outline is only the border of the picture, 0 for a mask that is empty."""
    at_border = int(np.count_nonzero(mask[[0, -1]])) + int(np.count_nonzero(mask[:, [0, -1]]))
    return at_border / max(1, at_border + len(contour_pixels(mask)))


def outward_normals(mask: Mask, pixels: NDArray[np.intp]) -> Array:
    """Unit vectors (N, 2) as (u, v) out of a mask (H, W) at contour ``pixels`` (N, 2); zero where it has no side."""
    if not len(pixels):
        return np.zeros((0, 2))
    margin = int(4 * _SMOOTHING_PX) + 2
    low = np.maximum(pixels.min(axis=0) - margin, 0)
    box = mask[low[1] : pixels[:, 1].max() + margin, low[0] : pixels[:, 0].max() + margin].astype(np.float32)
    at = (pixels[:, 1] - low[1], pixels[:, 0] - low[0])
    orders = ((0, 1), (1, 0))  # derivatives along u, and along v
    downhill = [-ndimage.gaussian_filter(box, _SMOOTHING_PX, order=order)[at] for order in orders]
    normals = np.stack(downhill, axis=-1).astype(np.float64)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.asarray(np.divide(normals, length, out=np.zeros_like(normals), where=length > 1e-6))


@dataclass(frozen=True, eq=False)
class DistanceField:
    """Signed distances in pixels of all pixels' centres to the outline of a mask (H, W): negative inside.

    ``known`` (H, W) is False where nobody knows whether the robot is there. Raises CalibrationError when the mask is
    empty or full, so that it has no outline.
    """

    mask: Mask
    known: Mask | None = None

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_ or self.mask.all() or not self.mask.any():
            seen = np.count_nonzero(self.mask)
            raise CalibrationError(
                f"a mask must be bool (H, W) with robot and background, got {self.mask.dtype} {self.mask.shape} "
                f"with {seen} of {self.mask.size} pixels set"
            )
        if self.known is not None and (self.known.shape != self.mask.shape or self.known.dtype != np.bool_):
            raise CalibrationError(f"known must be bool {self.mask.shape}, got {self.known.dtype} {self.known.shape}")

    @cached_property
    def values(self) -> Array:
        """The distances (H, W)."""
        outside, inside = ndimage.distance_transform_edt(~self.mask), ndimage.distance_transform_edt(self.mask)
        return np.asarray(np.where(self.mask, INSET_PX - inside, outside - INSET_PX))

    def sample(self, pixels: Array) -> tuple[Array, Array]:
        """Distances (N,) and their gradients (N, 2) at pixels (N, 2), bilinear; beyond the border constant."""
        height, width = self.values.shape
        limit = np.array([width - 1.0, height - 1.0])
        inside = (pixels >= 0.0) & (pixels <= limit)
        at = np.clip(pixels, 0.0, limit - 1e-9)
        first = at.astype(np.intp)
        a, b = (at - first).T
        u, v = first.T
        s00, s10, s01, s11 = (self.values[v + j, u + i] for j in (0, 1) for i in (0, 1))
        top, bottom = s00 + a * (s10 - s00), s01 + a * (s11 - s01)
        along_u = (1.0 - b) * (s10 - s00) + b * (s11 - s01)
        return top + b * (bottom - top), np.stack([along_u, bottom - top], axis=-1) * inside

    def is_known(self, pixels: Array) -> Mask:
        """Whether (N,) the pixels nearest to ``pixels`` (N, 2) are in the picture and known."""
        height, width = self.mask.shape
        u, v = np.rint(pixels).astype(np.intp).T
        inside = (u >= BORDER_PX) & (v >= BORDER_PX) & (u < width - BORDER_PX) & (v < height - BORDER_PX)
        if self.known is None:
            return np.asarray(inside)
        return np.asarray(inside & self.known[np.where(inside, v, 0), np.where(inside, u, 0)])
