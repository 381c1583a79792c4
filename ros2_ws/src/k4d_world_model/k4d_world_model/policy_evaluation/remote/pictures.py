"""Pictures in the size that a policy server reads."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def letterbox(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) as large as fits into (height, width, 3) in its proportions, centred, black beside it."""
    rows, columns = picture.shape[:2]
    share = min(height / rows, width / columns)
    inner = (max(1, round(share * rows)), max(1, round(share * columns)))
    resized = np.asarray(Image.fromarray(picture).resize(inner[::-1], Image.Resampling.BILINEAR))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    boxed = np.zeros((height, width, 3), np.uint8)
    boxed[top : top + inner[0], left : left + inner[1]] = resized
    return boxed
