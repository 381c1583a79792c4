"""Decodes the PNG and JPEG pictures that recordings hold."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from k4d_world_model.errors import SourceError

_FORMATS = ("PNG", "JPEG")
_MOST_PIXELS = 64_000_000


def decode_pictures(encoded: Sequence[bytes | memoryview], indices: NDArray[np.intp], where: str) -> NDArray[np.uint8]:
    """RGB (T, H, W, 3) of the pictures at ``indices`` (T,), each decoded once; grey ones get three equal channels.

    Raises SourceError beginning with ``where`` and the frame when one is damaged or of another size than the first.
    """
    decoded: dict[int, NDArray[np.uint8]] = {}
    for index in indices.tolist():
        if index not in decoded:
            decoded[index] = decode_picture(encoded[index], f"{where}, frame {index}")
    first = decoded[int(indices[0])]
    for index, picture in decoded.items():
        if picture.shape != first.shape:
            raise SourceError(
                f"{where}, frame {index}: the picture is {picture.shape}, frame {indices[0]} {first.shape}"
            )
    return np.stack([decoded[index] for index in indices.tolist()])


def decode_picture(encoded: bytes | memoryview, where: str) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of one PNG or JPEG. Raises SourceError when it is damaged, too large or of another format."""
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise SourceError(f"{where}: a picture may have {_MOST_PIXELS} pixels, got {image.size}")
            if image.mode not in ("RGB", "L"):
                raise SourceError(f"{where}: a picture must be RGB or grey (L), got mode {image.mode}")
            return np.asarray(image.convert("RGB"))
    except SourceError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SourceError(f"{where}: no readable PNG or JPEG picture ({len(encoded)} bytes): {error}") from error
