"""TFRecord framing against files of the real writer, the CRC-32C against published values, and against damage."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4d_world_model.dataset.sources.crc32c import crc32c
from k4d_world_model.dataset.sources.tfrecord import masked_crc, read_record
from k4d_world_model.errors import SourceError


def bitwise_crc32c(data: bytes) -> int:
    """The definition, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    def mask(crc: int) -> int:
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    length = struct.pack("<Q", len(data))
    return (
        length + struct.pack("<I", mask(bitwise_crc32c(length))) + data + struct.pack("<I", mask(bitwise_crc32c(data)))
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value of the polynomial
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_has_the_published_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@given(st.binary(max_size=100))
def test_crc32c_is_the_bitwise_definition(data: bytes) -> None:
    assert crc32c(data) == bitwise_crc32c(data)


def test_records_come_back_in_any_order(tmp_path: Path) -> None:
    records = [b"first", b"", bytes(range(256)) * 5]
    path = tmp_path / "file"
    path.write_bytes(b"".join(map(frame, records)))
    for index in (2, 0, 1):
        assert read_record(path, index) == records[index]
    with pytest.raises(SourceError, match=r"file: it ends before this record at offset 1333 of 1333 bytes"):
        read_record(path, 3)


def test_every_truncation_of_a_real_shard_is_named(fixtures: Path, tmp_path: Path) -> None:
    whole = (fixtures / "plain_types/1.0.0/plain_types-train.tfrecord-00000-of-00002").read_bytes()
    path = tmp_path / "shard"
    path.write_bytes(whole)
    assert len(read_record(path, 0)) == len(whole) - 16
    for size in [0, 1, 7, 11, 12, 13, len(whole) // 2, len(whole) - 4, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError, match=rf"shard: .*at offset 0.* {size}( bytes)?$"):
            read_record(path, 0)


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (0, "record's length at offset 0"),
        (9, "record's length at offset 0"),
        (700, "4080 bytes of record 0 at offset 12"),
    ],
)
def test_a_flipped_bit_is_found(fixtures: Path, tmp_path: Path, offset: int, message: str) -> None:
    content = bytearray((fixtures / "plain_types/1.0.0/plain_types-train.tfrecord-00000-of-00002").read_bytes())
    content[offset] ^= 0x10
    path = tmp_path / "shard"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"shard: wrong checksum of (a|the) {message}"):
        read_record(path, 0)


def test_a_length_beyond_the_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = struct.pack("<Q", 1 << 60)
    path = tmp_path / "shard"
    path.write_bytes(header + struct.pack("<I", masked_crc(header)) + b"data")
    with pytest.raises(SourceError, match=f"truncated: the record at offset 0 has {1 << 60} bytes, the file only 16"):
        read_record(path, 0)


@given(st.binary(max_size=200), st.integers(0, 3))
def test_random_bytes_raise_nothing_but_source_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, index: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(content)
    with pytest.raises(SourceError):
        read_record(path, index)
