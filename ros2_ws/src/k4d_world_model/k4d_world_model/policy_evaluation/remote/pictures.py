"""Pictures in the size that a policy server reads."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Fit = Literal["letterbox", "stretch"]


def fitted(picture: NDArray[np.uint8], height: int, width: int, fit: Fit) -> NDArray[np.uint8]:
    """A picture (H, W, 3) as (height, width, 3): ``letterbox`` or ``stretch``."""
    return letterbox(picture, height, width) if fit == "letterbox" else stretch(picture, height, width)


def letterbox(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) as large as fits into (height, width, 3) in its proportions, centred, black beside it.

    Bilinear, as openpi's clients do it.
    """
    rows, columns = picture.shape[:2]
    share = min(height / rows, width / columns)
    inner = (max(1, round(share * rows)), max(1, round(share * columns)))
    resized = np.asarray(Image.fromarray(picture).resize(inner[::-1], Image.Resampling.BILINEAR))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    boxed = np.zeros((height, width, 3), np.uint8)
    boxed[top : top + inner[0], left : left + inner[1]] = resized
    return boxed


def stretch(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) over the whole of (height, width, 3), whatever its proportions.

    By Lanczos' filter, as RoboArena's evaluator does it.
    """
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
