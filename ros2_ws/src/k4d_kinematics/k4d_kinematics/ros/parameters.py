"""ROS parameters from a frozen dataclass, which is their only schema."""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

from k4d_kinematics.errors import ConfigurationError

T = TypeVar("T")

_OF_RCLPY = ("use_sim_time", "start_type_description_service")
_PREFIX_OF_RCLPY = "qos_overrides."


def described(
    default: Any, description: str, valid_range: tuple[float, float] | None = None, *, changeable: bool = False
) -> Any:
    """A dataclass field with what ``ros2 param describe`` shows: its meaning and its inclusive range.

    A parameter is read-only unless it is ``changeable`` while the node runs.
    """
    metadata = {"description": description, "range": valid_range, "changeable": changeable}
    return field(default=default, metadata=metadata)


def declare_parameters(node: Node, schema: type[T]) -> T:
    """Declares every field of ``schema`` as a parameter of ``node`` and returns their values.

    Tuples are declared as arrays. Raises ConfigurationError when a parameter was given that ``schema`` lacks, with the
    closest valid name, and on wrong types and values out of range.
    """
    valid = {item.name for item in fields(schema)}  # type: ignore[arg-type]
    overrides: Mapping[str, Any] = node._parameter_overrides
    for name in overrides:
        if name not in valid and name not in _OF_RCLPY and not name.startswith(_PREFIX_OF_RCLPY):
            closest = difflib.get_close_matches(name, valid, n=1)
            hint = f"; did you mean {closest[0]!r}?" if closest else "."
            raise ConfigurationError(f"unknown parameter {name!r}{hint} Valid ones: {', '.join(sorted(valid))}")
    values = {}
    for item in fields(schema):  # type: ignore[arg-type]
        if item.default is MISSING:
            raise ConfigurationError(f"parameter {item.name!r} needs a default")
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        try:
            value = node.declare_parameter(item.name, default, _descriptor(item.metadata, item.default)).value
        except ParameterException as error:
            raise ConfigurationError(f"parameter {item.name!r}: {error}") from error
        values[item.name] = tuple(value or ()) if isinstance(item.default, tuple) else value
    return schema(**values)


def _descriptor(metadata: Mapping[str, Any], default: object) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=metadata.get("description", ""), read_only=not metadata.get("changeable")
    )
    valid_range = metadata.get("range")
    if valid_range is not None and isinstance(default, float):
        low, high = valid_range
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    elif valid_range is not None:
        low, high = valid_range
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor
