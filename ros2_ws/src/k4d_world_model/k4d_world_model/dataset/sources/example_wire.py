"""Reads tf.train.Example messages from their bytes, without TensorFlow or protobuf.

The message (tensorflow/core/example/example.proto) is a map of names to one list each, of bytes, floats or integers:
Example{1: Features{1: map entry{1: name, 2: Feature{1: BytesList | 2: FloatList | 3: Int64List}}}}.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.errors import SourceError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_KINDS: dict[int, Literal["bytes", "float", "int64"]] = {1: "bytes", 2: "float", 3: "int64"}


@dataclass(frozen=True)
class Example:
    """The fields of one record, undecoded until asked for. ``where`` begins the messages of its errors."""

    where: str
    fields: dict[str, tuple[Literal["bytes", "float", "int64", ""], memoryview]]

    def texts(self, name: str) -> list[memoryview]:
        """The byte strings of a field. Raises SourceError when it is missing or of another kind."""
        return [value for _, value in self._items(name, "bytes") if isinstance(value, memoryview)]

    def floats(self, name: str) -> NDArray[np.float32]:
        """The numbers of a float field (N,). Raises SourceError as ``texts``."""
        parts = []
        for wire, value in self._items(name, "float"):
            if not isinstance(value, memoryview) or wire == _FIXED64 or len(value) % 4:
                raise SourceError(f"{self.where}: field {name!r} holds a damaged list of floats")
            parts.append(np.frombuffer(value, "<f4"))
        return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)

    def integers(self, name: str) -> NDArray[np.int64]:
        """The numbers of an integer field (N,). Raises SourceError as ``texts``."""
        numbers: list[int] = []
        for wire, value in self._items(name, "int64"):
            if isinstance(value, int):
                numbers.append(value)
            elif wire != _BYTES:
                raise SourceError(f"{self.where}: field {name!r} holds a damaged list of integers")
            else:
                position = 0
                while position < len(value):
                    number, position = _read_varint(value, position, self.where)
                    numbers.append(number)
        return np.array(numbers, np.uint64).view(np.int64)

    def _items(self, name: str, kind: str) -> Iterator[tuple[int, "int | memoryview"]]:
        if name not in self.fields:
            raise SourceError(f"{self.where}: no field {name!r}; it has {', '.join(sorted(self.fields))}")
        found, data = self.fields[name]
        if found not in (kind, ""):
            raise SourceError(f"{self.where}: field {name!r} holds {found} values, {kind} ones are expected")
        for number, wire, value in _read_fields(data, self.where):
            if number == 1:
                if kind == "bytes" and wire != _BYTES:
                    raise SourceError(f"{self.where}: field {name!r} holds a damaged list of byte strings")
                yield wire, value


def parse_example(data: bytes, where: str) -> Example:
    """The fields of one serialized tf.train.Example. Raises SourceError beginning with ``where`` when it is damaged."""
    fields: dict[str, tuple[Literal["bytes", "float", "int64", ""], memoryview]] = {}
    for features in _messages(memoryview(data), 1, where):
        for entry in _messages(features, 1, where):
            name, feature = memoryview(b""), memoryview(b"")
            for number, wire, value in _read_fields(entry, where):
                if number in (1, 2) and (wire != _BYTES or not isinstance(value, memoryview)):
                    raise SourceError(f"{where}: a field's name or value is damaged")
                if number == 1 and isinstance(value, memoryview):
                    name = value
                elif number == 2 and isinstance(value, memoryview):
                    feature = value
            fields[decode_text(name, where)] = _read_feature(feature, where)
    return Example(where, fields)


def decode_text(data: memoryview | bytes, where: str) -> str:
    """UTF-8 text. Raises SourceError when it is none."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{where}: text is not UTF-8: {bytes(data[:40])!r}") from error


def _read_feature(data: memoryview, where: str) -> tuple[Literal["bytes", "float", "int64", ""], memoryview]:
    """The kind and the list of one Feature; the last one counts, "" when it has none, as an empty list is written."""
    found: tuple[Literal["bytes", "float", "int64", ""], memoryview] = ("", memoryview(b""))
    for number, wire, value in _read_fields(data, where):
        if number in _KINDS:
            if wire != _BYTES or not isinstance(value, memoryview):
                raise SourceError(f"{where}: a field's list is damaged")
            found = (_KINDS[number], value)
    return found


def _messages(data: memoryview, field: int, where: str) -> Iterator[memoryview]:
    for number, wire, value in _read_fields(data, where):
        if number == field:
            if wire != _BYTES or not isinstance(value, memoryview):
                raise SourceError(f"{where}: field {field} of a message must be a message, got wire type {wire}")
            yield value


def _read_fields(data: memoryview, where: str) -> Iterator[tuple[int, int, "int | memoryview"]]:
    """Number, wire type and value of each field of a protobuf message."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position, where)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise SourceError(f"{where}: field number 0 before byte {position}; no tf.train.Example, or damaged")
        if wire == _VARINT:
            value, position = _read_varint(data, position, where)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, position = _read_varint(data, position, where)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise SourceError(f"{where}: unknown wire type {wire} at byte {position}; no tf.train.Example, or damaged")
        if size > len(data) - position:
            raise SourceError(f"{where}: field {number} of {size} bytes does not fit at byte {position} of {len(data)}")
        yield number, wire, data[position : position + size]
        position += size


def _read_varint(data: memoryview, position: int, where: str) -> tuple[int, int]:
    """A variable-length unsigned integer below 2**64 and the position after it."""
    value = 0
    for k in range(10):
        if position + k >= len(data):
            raise SourceError(f"{where}: truncated number at byte {position} of {len(data)}")
        byte = data[position + k]
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80 and value < 1 << 64:
            return value, position + k + 1
    raise SourceError(f"{where}: a number longer than 64 bits at byte {position}")
