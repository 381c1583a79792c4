"""Python classes of message types by name."""

import importlib

from k4d_bringup.errors import BagError


def message_class(name: str) -> type:
    """The class of a message type such as ``sensor_msgs/msg/Image``. Raises BagError when it is not installed."""
    package, _, kind = name.replace("/", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(package), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise BagError(f"message type {name!r} is not installed: {error}") from error
