"""Pictures and depth images of sensor_msgs/Image and CompressedImage messages, as rosbags reads them."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from k4d_world_model.errors import RejectedEpisodeError, SourceError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"

_CHANNELS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0), "mono8": (0, 0, 0)}
_CHANNEL_COUNTS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
_PICTURE_MODES = ("RGB", "RGBA", "L")
_DEPTH_TYPES: dict[str, type[np.generic]] = {"32FC1": np.float32, "16UC1": np.uint16}
# compressed_depth_image_transport puts a format and two parameters before the PNG.
_DEPTH_HEADER = struct.Struct("<iff")
_MILLIMETRE = np.float32(0.001)
_MOST_PIXELS = 64_000_000
_DAMAGE = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, struct.error)


def picture(message: Any) -> NDArray[np.uint8]:
    """The colours (H, W, 3) of an image message; grey ones become equal in all three channels.

    Raises RejectedEpisodeError on another encoding, and SourceError when the data does not fit what the message says.
    """
    if message.__msgtype__ == COMPRESSED_IMAGE:
        decoded = _decoded(bytes(message.data), message.format)
        if decoded.mode not in _PICTURE_MODES:
            valid = ", ".join(_PICTURE_MODES)
            raise RejectedEpisodeError(f"compressed pictures must be of mode {valid}, 8 bits each, got {decoded.mode}")
        return np.asarray(decoded.convert("RGB"))
    if message.encoding not in _CHANNELS:
        valid = ", ".join(_CHANNELS)
        raise RejectedEpisodeError(f"pictures must be encoded as one of {valid}, got {message.encoding!r}")
    pixels = _pixels(message, np.dtype(np.uint8), _CHANNEL_COUNTS[message.encoding])
    return np.ascontiguousarray(pixels[..., _CHANNELS[message.encoding]])


def depth_image(message: Any) -> NDArray[np.float32]:
    """The z-depths (H, W) in metres of a depth image message, NaN where there is none (zero, negative, not finite).

    Sources: REP 118 (16UC1 is millimetres, 32FC1 metres); compressed_depth_image_transport. Raises as ``picture`` does.
    """
    if message.__msgtype__ == COMPRESSED_IMAGE:
        return _with_gaps(_compressed_depth(bytes(message.data), message.format))
    if message.encoding not in _DEPTH_TYPES:
        valid = ", ".join(_DEPTH_TYPES)
        raise RejectedEpisodeError(f"depth must be encoded as one of {valid}, got {message.encoding!r}")
    pixels = _pixels(message, np.dtype(_DEPTH_TYPES[message.encoding]), 1)[..., 0]
    return _with_gaps(pixels * _MILLIMETRE if message.encoding == "16UC1" else pixels.astype(np.float32))


def _pixels(message: Any, dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    """The raw values (H, W, channels) without the padding of rows, in this machine's byte order."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    row_bytes = width * channels * dtype.itemsize
    if min(height, width) < 1 or step < row_bytes or len(message.data) != height * step:
        raise SourceError(
            f"a {message.encoding} image of {height} rows x {width} columns must have a step of at least {row_bytes} "
            f"and height x step bytes, got a step of {step} and {len(message.data)} bytes"
        )
    rows = np.ascontiguousarray(np.asarray(message.data, np.uint8).reshape(height, step)[:, :row_bytes])
    ordered = dtype.newbyteorder(">" if message.is_bigendian else "<")
    return rows.view(ordered).reshape(height, width, channels).astype(dtype)


def _compressed_depth(data: bytes, description: str) -> NDArray[np.float32]:
    encoding, _, transport = description.partition(";")
    if encoding.strip() not in _DEPTH_TYPES or "rvl" in transport:
        raise RejectedEpisodeError(
            f"compressed depth must be '16UC1; ...' or '32FC1; ...' in PNG, got the format {description!r}"
        )
    has_header = "compressedDepth" in transport
    values = np.asarray(_decoded(data[_DEPTH_HEADER.size :] if has_header else data, description))
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise SourceError(f"a compressed depth image must hold one whole number a pixel, got {values.dtype}")
    if encoding.strip() == "16UC1":
        return values * _MILLIMETRE
    if not has_header:
        raise RejectedEpisodeError(f"depth in metres is compressed by compressedDepth only, got {description!r}")
    try:
        _, a, b = _DEPTH_HEADER.unpack_from(data)
    except struct.error as error:
        raise SourceError(f"a compressed depth image is damaged: {error}") from error
    with np.errstate(divide="ignore"):
        return np.where(values > 0, np.float32(a) / (values.astype(np.float32) - np.float32(b)), np.float32(0.0))


def _decoded(data: bytes, description: str) -> Image.Image:
    try:
        opened = Image.open(BytesIO(data), formats=("JPEG", "PNG"))
        if opened.width * opened.height <= _MOST_PIXELS:
            opened.load()
            return opened
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise SourceError(f"a compressed image ({description!r}) is no readable JPEG or PNG: {error}") from error
    raise SourceError(
        f"a compressed image may have at most {_MOST_PIXELS} pixels, got {opened.height} rows x {opened.width} columns"
    )


def _with_gaps(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))
