"""The part of cv_bridge that nodes rely on, in numpy: raw images to arrays and back; no OpenCV."""

from .core import CvBridge
from .encodings import CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
