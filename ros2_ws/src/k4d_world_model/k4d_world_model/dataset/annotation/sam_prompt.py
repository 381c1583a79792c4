"""What tells SAM which object in the first picture is the robot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from k4d_world_model.errors import AnnotationError

_PAD_LABELS = (2, 3)  # SAM's labels of a box's two corners


@dataclass(frozen=True)
class SamPrompt:
    """Pixels (u, v) of the first picture, pixel centres at whole numbers.

    ``points`` lie on the robot, ``background`` do not; ``box`` is (u, v, u, v), upper left and lower right. Raises
    AnnotationError when there is neither a point on the robot nor a box, or the box is empty.
    """

    points: tuple[tuple[float, float], ...] = ()
    background: tuple[tuple[float, float], ...] = ()
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if not self.points and self.box is None:
            raise AnnotationError("SAM needs a point on the robot or a box around it, got neither")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise AnnotationError(f"a box is (u, v, u, v), upper left and lower right, got {self.box}")

    def coordinates(self, height: int, width: int, side: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Points (P, 2) in the model's picture of ``side`` x ``side`` pixels, and SAM's labels (P,) of them.

        The corners of a box come first. Raises AnnotationError when a point lies outside the picture.
        """
        corners = () if self.box is None else (self.box[:2], self.box[2:])
        pixels = np.array([*corners, *self.points, *self.background], np.float64)  # (P, 2)
        outside = (pixels < -0.5) | (pixels > np.array([width, height]) - 0.5)
        if outside.any() or not np.isfinite(pixels).all():
            raise AnnotationError(
                f"prompts must lie in the picture of {height} rows x {width} columns, got {pixels.tolist()}"
            )
        labels = (*_PAD_LABELS[: len(corners)], *[1] * len(self.points), *[0] * len(self.background))
        scaled = (pixels + 0.5) * (side / np.array([width, height])) - 0.5
        return scaled.astype(np.float32), np.array(labels, np.int32)


def prompt_of_mask(mask: NDArray[np.bool_], count: int = 5) -> SamPrompt:
    """Up to ``count`` points well inside a mask (H, W).

    Each is the farthest from the edge outside the discs that the earlier ones have within the mask. Raises
    AnnotationError when the mask is empty.
    """
    if not mask.any():
        raise AnnotationError("the robot mask is empty in the first picture, so it cannot show SAM the robot")
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]  # pixels to the edge
    rows, columns = np.indices(mask.shape)
    points: list[tuple[float, float]] = []
    while len(points) < count and depth.max() > 0:
        v, u = np.unravel_index(depth.argmax(), depth.shape)
        points.append((float(u), float(v)))
        depth = np.where(np.hypot(rows - v, columns - u) < depth[v, u], 0.0, depth)
    return SamPrompt(tuple(points))
