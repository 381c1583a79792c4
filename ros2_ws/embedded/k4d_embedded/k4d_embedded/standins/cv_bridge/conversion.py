"""Images between encodings, with OpenCV's arithmetic."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .encodings import CvBridgeError, Encoding

# Weights of red, green and blue in grey, in 1/2^15 (OpenCV imgproc; ITU-R BT.601).
_GREY_SHIFT = 15
_GREY_WEIGHTS = {"R": 9798, "G": 19235, "B": 3735}


def convert(image: npt.NDArray[Any], source: Encoding, wanted: Encoding) -> npt.NDArray[Any]:
    """Return the image (H, W) or (H, W, C) in another encoding, the image itself where nothing changes.

    Colours are reordered, gain an opaque alpha, lose theirs, or turn to grey; 8 and 16 bits are scaled to each other's
    range; other types are rounded and saturated. Raises CvBridgeError where that makes no sense.
    """
    if source.name == wanted.name:
        return image
    if source.colours and wanted.colours:
        return _change_depth(_change_colours(image, source.colours, wanted.colours), wanted.dtype)
    if wanted.colours:
        raise CvBridgeError(
            f"[{source.name}] is not a color format, but [{wanted.name}] is; it converts to {source.channels}-channel "
            f"types such as {source.type_name}"
        )
    if source.channels != wanted.channels:
        raise CvBridgeError(
            f"[{source.name}] has {source.channels} channels and [{wanted.name}] {wanted.channels}; "
            f"it converts to types such as {source.type_name}"
        )
    return _change_depth(image, wanted.dtype)


def _change_colours(image: npt.NDArray[Any], colours: str, wanted: str) -> npt.NDArray[Any]:
    if colours == wanted:
        return image
    if wanted == "Y":
        return _grey(image, colours)
    converted = np.empty((*image.shape[:2], len(wanted)), image.dtype)  # (H, W, C)
    for channel, colour in enumerate(wanted):
        if colour == "A" and "A" not in colours:
            converted[..., channel] = np.iinfo(image.dtype).max
        elif colours == "Y":
            converted[..., channel] = image.reshape(image.shape[:2])
        else:
            converted[..., channel] = image[..., colours.index(colour)]
    return converted


def _grey(image: npt.NDArray[Any], colours: str) -> npt.NDArray[Any]:
    total = np.full(image.shape[:2], 1 << (_GREY_SHIFT - 1), np.uint32)  # half a step, so that the shift rounds
    for colour, weight in _GREY_WEIGHTS.items():
        total += image[..., colours.index(colour)] * np.uint32(weight)
    return (total >> np.uint32(_GREY_SHIFT)).astype(image.dtype)


def _change_depth(image: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if image.dtype == dtype:
        return image
    scale = {(1, 2): 65535.0 / 255.0, (2, 1): 255.0 / 65535.0}.get((image.dtype.itemsize, dtype.itemsize), 1.0)
    if dtype.kind == "f":
        return image.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(image.astype(np.float64) * scale), limits.min, limits.max).astype(dtype)
