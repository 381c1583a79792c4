"""What stands behind the robot in the first frame, guessed from what surrounds it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import inpaint_biharmonic

from k4d_kinematics import Camera


def robot_hole(
    robot_points: NDArray[np.float32], robot_mask: NDArray[np.bool_], first_points: NDArray[np.float32] | None
) -> NDArray[np.bool_]:
    """Where the robot is seen in the first frame (H, W), one pixel wider, since edges mix both colours.

    ``robot_points`` (H, W, 3) and ``robot_mask`` (H, W) are the robot alone; what is measured clearly before it (5 cm)
    hides it there.
    """
    seen = robot_mask
    if first_points is not None:
        with np.errstate(invalid="ignore"):
            hidden = first_points[..., 2] < robot_points[..., 2] - 0.05
        seen = robot_mask & ~hidden
    return grown(seen)


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W), one pixel wider."""
    return np.asarray(ndimage.binary_dilation(mask, structure=np.ones((3, 3), np.bool_)))


def fill_colours(rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with the pixels of ``hole`` (H, W) in-painted by the biharmonic equation (scikit-image)."""
    if not hole.any() or hole.all():
        return rgb
    filled = inpaint_biharmonic(rgb / 255.0, hole, channel_axis=-1)
    return np.asarray(np.rint(255.0 * np.clip(filled, 0.0, 1.0)), np.uint8)


def fill_points(points: NDArray[np.float32], hole: NDArray[np.bool_], camera: Camera) -> NDArray[np.float32]:
    """Points (H, W, 3) in the optical frame on every pixel's ray: measured depths, in-painted in ``hole``.

    Pixels without a measurement are filled, too; in-painted depths stay within the measured range. All NaN when
    nothing is left to start from.
    """
    depth = points[..., 2].astype(np.float64)
    unknown = hole | ~np.isfinite(depth)
    if unknown.all():
        return np.full_like(points, np.nan)
    low, high = depth[~unknown].min(), depth[~unknown].max()
    if unknown.any():
        # Values under the mask are not read, but must be finite.
        depth = np.clip(inpaint_biharmonic(np.where(unknown, low, depth), unknown), low, high)
    rays = np.concatenate([camera.rays(), np.ones((*depth.shape, 1))], axis=-1)
    return (rays * depth[..., None]).astype(np.float32)
