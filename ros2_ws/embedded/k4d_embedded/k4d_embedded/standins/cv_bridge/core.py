"""Between sensor_msgs/Image and numpy arrays."""

import array
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image

from .conversion import convert
from .encodings import CvBridgeError, Encoding, parse, type_name

_PASSTHROUGH = "passthrough"


class CvBridge:
    """Raw images to arrays and back; colour order as the encoding says."""

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str = _PASSTHROUGH) -> npt.NDArray[Any]:
        """Return the pixels (H, W) or (H, W, C) in native byte order, in the wanted encoding.

        Padding at the end of rows is left out. Without conversion, padding or foreign byte order the array shares the
        message's memory. Raises CvBridgeError for unknown encodings, sizes that do not fit and senseless conversions.
        """
        source = parse(img_msg.encoding)
        image = _pixels(img_msg, source)
        return image if desired_encoding == _PASSTHROUGH else convert(image, source, parse(desired_encoding))

    def cv2_to_imgmsg(self, cvim: npt.NDArray[Any], encoding: str = _PASSTHROUGH, header: Any = None) -> Any:
        """Return an `Image` of an array (H, W) or (H, W, C), without padding; the encoding must fit its type.

        `passthrough` takes the type's own name, such as 32FC3. Raises TypeError for anything but an array, and
        CvBridgeError for one that the encoding does not fit.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError(f"Your input type is not a numpy array: {type(cvim).__name__}")
        if cvim.ndim not in (2, 3):
            raise CvBridgeError(f"an image has shape (H, W) or (H, W, C), got {cvim.shape}")
        own_type = type_name(cvim.dtype, cvim.shape[2] if cvim.ndim == 3 else 1)
        if encoding != _PASSTHROUGH and parse(encoding).type_name != own_type:
            raise CvBridgeError(f"encoding specified as {encoding}, but image has incompatible type {own_type}")
        msg = Image(height=cvim.shape[0], width=cvim.shape[1])
        if header is not None:
            msg.header = header
        msg.encoding = own_type if encoding == _PASSTHROUGH else encoding
        msg.is_bigendian = int(_is_bigendian(cvim.dtype))
        msg.step = cvim.shape[1] * cvim.itemsize * (cvim.shape[2] if cvim.ndim == 3 else 1)
        data = array.array("B")
        data.frombytes(np.ascontiguousarray(cvim).reshape(-1).view(np.uint8).data)
        msg.data = data
        return msg


def _pixels(msg: Any, encoding: Encoding) -> npt.NDArray[Any]:
    dtype = encoding.dtype.newbyteorder(">" if msg.is_bigendian else "<")
    row_bytes = msg.width * dtype.itemsize * encoding.channels
    if msg.step < row_bytes:
        raise CvBridgeError(
            f"Image is wrongly formed: step {msg.step} is less than the {row_bytes} bytes that {msg.width} pixels of "
            f"{encoding.name} need"
        )
    if len(msg.data) != msg.height * msg.step:
        raise CvBridgeError(
            f"Image is wrongly formed: height * step is {msg.height} * {msg.step} = {msg.height * msg.step}, but data "
            f"has {len(msg.data)} bytes"
        )
    rows = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.step)[:, :row_bytes]
    shape = (msg.height, msg.width) if encoding.channels == 1 else (msg.height, msg.width, encoding.channels)
    return np.ascontiguousarray(rows).view(dtype).reshape(shape).astype(encoding.dtype, copy=False)


def _is_bigendian(dtype: np.dtype[Any]) -> bool:
    return dtype.byteorder == ">" or (dtype.byteorder == "=" and sys.byteorder == "big")
