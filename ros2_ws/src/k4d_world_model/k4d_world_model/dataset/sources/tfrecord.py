"""Reads records from TFRecord files, without TensorFlow.

A file is a row of records: length (uint64, little endian), the masked CRC-32C of these eight bytes, the data, and the
masked CRC-32C of the data (tensorflow/core/lib/io/record_writer.h).
"""

import struct
from pathlib import Path
from typing import BinaryIO

from k4d_world_model.dataset.sources.crc32c import crc32c
from k4d_world_model.errors import SourceError

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")


def read_record(path: Path, index: int) -> bytes:
    """The data of record ``index`` (from 0) of a file, both checksums being verified; records before it are skipped.

    Raises SourceError naming the file and the byte offset when it is truncated or a checksum is wrong, or when it has
    no such record.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            for _ in range(index):
                length = _read_length(file, path, size)
                file.seek(length + _CHECKSUM.size, 1)
            length = _read_length(file, path, size)
            start = file.tell()
            data = file.read(length)
            (checksum,) = _CHECKSUM.unpack(file.read(_CHECKSUM.size))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    if checksum != masked_crc(data):
        raise SourceError(f"{path}: wrong checksum of the {length} bytes of record {index} at offset {start}")
    return data


def masked_crc(data: bytes) -> int:
    """The checksum as TFRecord files store it: rotated by 15 bits plus a constant."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _read_length(file: BinaryIO, path: Path, size: int) -> int:
    """The length of the record whose header starts here, which lies whole in the file."""
    start = file.tell()
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        where = "it ends before this record" if not header else "truncated in a record's header"
        raise SourceError(f"{path}: {where} at offset {start} of {size} bytes")
    length, checksum = _HEADER.unpack(header)
    if checksum != masked_crc(header[:8]):
        raise SourceError(
            f"{path}: wrong checksum of a record's length at offset {start}; no TFRecord file, or damaged"
        )
    if start + _HEADER.size + length + _CHECKSUM.size > size:
        raise SourceError(f"{path}: truncated: the record at offset {start} has {length} bytes, the file only {size}")
    return int(length)
