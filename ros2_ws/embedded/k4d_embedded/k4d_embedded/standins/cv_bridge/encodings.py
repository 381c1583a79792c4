"""What the encodings of sensor_msgs/Image mean: numpy type, number of channels, and the order of colours."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([1-9]\d*))?")
_DTYPES: dict[str, np.dtype[Any]] = {
    "8U": np.dtype(np.uint8),
    "8S": np.dtype(np.int8),
    "16U": np.dtype(np.uint16),
    "16S": np.dtype(np.int16),
    "32S": np.dtype(np.int32),
    "32F": np.dtype(np.float32),
    "64F": np.dtype(np.float64),
}
_COLOUR_ORDERS = {"mono": "Y", "rgb": "RGB", "bgr": "BGR", "rgba": "RGBA", "bgra": "BGRA"}

COLOUR_ENCODINGS = tuple(f"{name}{bits}" for bits in (8, 16) for name in _COLOUR_ORDERS)
VALID_TEXT = f"valid are {', '.join(COLOUR_ENCODINGS)} and {'|'.join(_DTYPES)} with C1, C2, ..."


class CvBridgeError(TypeError):
    """An image and an encoding do not fit, or one cannot be converted to the other."""


@dataclass(frozen=True)
class Encoding:
    """An encoding's name, numpy type (native byte order), number of channels, and colours ("" where it has none)."""

    name: str
    dtype: np.dtype[Any]
    channels: int
    colours: str

    @property
    def type_name(self) -> str:
        """Return OpenCV's name of the type, such as 8UC3."""
        return type_name(self.dtype, self.channels)


def parse(name: str) -> Encoding:
    """Return what an encoding's name means; raises CvBridgeError with the valid ones."""
    for stem, colours in _COLOUR_ORDERS.items():
        if name in (f"{stem}8", f"{stem}16"):
            dtype = _DTYPES["8U"] if name.endswith("8") else _DTYPES["16U"]
            return Encoding(name, dtype, len(colours), colours)
    match = _GENERIC.fullmatch(name)
    if match is None:
        raise CvBridgeError(f"Unrecognized image encoding [{name}]; {VALID_TEXT}")
    return Encoding(name, _DTYPES[match[1]], int(match[2] or 1), "")


def type_name(dtype: np.dtype[Any], channels: int) -> str:
    """Return OpenCV's name of a numpy type, such as 32FC1; raises CvBridgeError for types that images cannot have."""
    for name, known in _DTYPES.items():
        if dtype.newbyteorder("=") == known:
            return f"{name}C{channels}"
    valid = ", ".join(str(known) for known in _DTYPES.values())
    raise CvBridgeError(f"an image cannot hold {dtype}; valid are {valid}")
