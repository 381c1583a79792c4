"""Messages of openpi and RoboArena: msgpack with numpy arrays in it, of which nothing is decoded that is not listed."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import msgpack
import numpy as np

from k4d_world_model.errors import WireError

# The types that an array in a message may have. Objects, records and complex numbers are not among them.
DTYPES = ("|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")

_PLAIN = (type(None), bool, int, float, str, bytes)
_ARRAY, _SCALAR = "__ndarray__", "__npgeneric__"
_MOST_DIMENSIONS, _MOST_CONTAINERS = 8, 10_000


def pack(message: Mapping[str, Any]) -> bytes:
    """The bytes of a message of plain values, lists, mappings and arrays of DTYPES. Raises WireError on others."""
    try:
        return bytes(msgpack.packb(message, default=_packable))
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"cannot be sent: {error}") from error


def unpack(data: bytes) -> Any:
    """What the bytes of one message hold: plain values, lists, mappings, and arrays that are views of ``data``'s copy.

    Raises WireError for anything else: bytes that are no msgpack or hold more than one value, extension types and
    timestamps, arrays whose type is not one of DTYPES or whose size is not that of their shape, and more than 10,000
    lists and mappings, each of which takes some seventy times what it has in ``data``.
    """
    number = itertools.count(1)

    def counted(container: Any) -> Any:
        if next(number) > _MOST_CONTAINERS:
            raise WireError(f"holds more than {_MOST_CONTAINERS} lists and mappings")
        return container

    def mapping(content: dict[str | bytes, Any]) -> Any:
        return _numbers(counted(content))

    try:
        plain = msgpack.unpackb(
            data, object_hook=mapping, list_hook=counted, ext_hook=_refuse_extension, strict_map_key=True
        )
        return _checked(plain)
    except WireError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"is no msgpack message: {error or type(error).__name__}") from error


def _packable(value: Any) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"values must be plain ones, lists, mappings or arrays, got {type(value).__name__}")
    dtype = value.dtype.newbyteorder("<").str
    if dtype not in DTYPES:
        raise TypeError(f"arrays must be of one of {', '.join(DTYPES)}, got {value.dtype.str}")
    if isinstance(value, np.generic):
        return {_SCALAR.encode(): True, b"data": value.item(), b"dtype": dtype}
    data = value.astype(dtype, copy=False).tobytes()
    return {_ARRAY.encode(): True, b"data": data, b"dtype": dtype, b"shape": value.shape}


def _numbers(content: dict[str | bytes, Any]) -> Any:
    """The array or number that a mapping stands for; another mapping as it is."""
    named = {key.decode("utf-8", "replace") if isinstance(key, bytes) else key: value for key, value in content.items()}
    if _ARRAY in named:
        return _array(named)
    if _SCALAR in named:
        return _scalar(named)
    return content


def _array(content: dict[str, Any]) -> np.ndarray[Any, Any]:
    dtype, data, shape = _dtype(content), content.get("data"), content.get("shape")
    if not isinstance(data, bytes) or not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS:
        raise WireError(f"an array needs data in bytes and a shape of at most {_MOST_DIMENSIONS} sizes, got {shape!r}")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise WireError(f"sizes of an array must be whole numbers from 0 on, got {shape}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise WireError(
            f"an array of {dtype.str} {shape} has {math.prod(shape) * dtype.itemsize} bytes, not {len(data)}"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _scalar(content: dict[str, Any]) -> Any:
    value = content.get("data")
    if not isinstance(value, bool | int | float):
        raise WireError(f"a number must be one of true, false, whole or floating point, got {type(value).__name__}")
    return _dtype(content).type(value)


def _dtype(content: dict[str, Any]) -> np.dtype[Any]:
    name = content.get("dtype")
    if name not in DTYPES:
        raise WireError(f"arrays must be of one of {', '.join(DTYPES)}, got {name!r}")
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise WireError(f"extension types are refused, got type {code} of {len(data)} bytes")


def _checked(value: Any) -> Any:
    """The value itself, once every part of it is of a kind that is listed."""
    if isinstance(value, dict):
        for key, part in value.items():
            _checked(key)
            _checked(part)
    elif isinstance(value, list):
        for part in value:
            _checked(part)
    elif not isinstance(value, (*_PLAIN, np.ndarray, np.generic)):
        raise WireError(f"values of type {type(value).__name__} are refused")
    return value
