"""The parser of tf.train.Example against a tiny encoder of its own, and against arbitrary bytes."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from k4d_world_model.dataset.sources.example_wire import parse_example
from k4d_world_model.errors import SourceError


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def encode_list(values: list[bytes] | list[float] | list[int], kind: str, *, packed: bool) -> bytes:
    if kind == "bytes":
        return message(1, b"".join(message(1, value) for value in values))
    if kind == "float":
        words = [struct.pack("<f", value) for value in values]
        return message(2, message(1, b"".join(words)) if packed else b"".join(varint(1 << 3 | 5) + w for w in words))
    words = [varint(value) for value in values]
    return message(3, message(1, b"".join(words)) if packed else b"".join(varint(1 << 3) + w for w in words))


def encode(fields: dict[str, tuple[str, list]], *, packed: bool = True) -> bytes:
    entries = (
        message(1, message(1, name.encode()) + message(2, encode_list(values, kind, packed=packed)))
        for name, (kind, values) in fields.items()
    )
    return message(1, b"".join(entries))


KINDS = st.one_of(
    st.tuples(st.just("bytes"), st.lists(st.binary(max_size=9), max_size=5)),
    st.tuples(st.just("float"), st.lists(st.floats(width=32), max_size=5)),
    st.tuples(st.just("int64"), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)),
)


@given(st.dictionaries(st.text(max_size=6), KINDS, max_size=4), st.booleans())
@example({"negative": ("int64", [-1, 0, 2**63 - 1, -(2**63)])}, True)
def test_what_is_encoded_comes_back(fields: dict[str, tuple[str, list]], packed: bool) -> None:
    parsed = parse_example(encode(fields, packed=packed), "here")
    for name, (kind, values) in fields.items():
        if kind == "bytes":
            assert [bytes(text) for text in parsed.texts(name)] == values
        elif kind == "float":
            assert parsed.floats(name).dtype == np.float32
            np.testing.assert_array_equal(parsed.floats(name), np.array(values, np.float32))
        else:
            assert parsed.integers(name).dtype == np.int64
            assert parsed.integers(name).tolist() == values


def test_missing_and_other_kinds_are_named() -> None:
    parsed = parse_example(encode({"a": ("float", [1.5]), "b": ("bytes", [b"x"])}), "here")
    with pytest.raises(SourceError, match="here: no field 'c'; it has a, b"):
        parsed.floats("c")
    with pytest.raises(SourceError, match="here: field 'a' holds float values, int64 ones are expected"):
        parsed.integers("a")
    with pytest.raises(SourceError, match="here: field 'b' holds bytes values, float ones are expected"):
        parsed.floats("b")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode({"a": ("float", [1.5, 2.5])})[:-1], r"here: field 1 of \d+ bytes does not fit at byte 2 of \d+"),
        (encode({"a": ("float", [1.5])})[:1], "here: truncated number at byte 1 of 1"),
        (message(1, message(1, varint(1 << 3) + varint(5))), "here: a field's name or value is damaged"),
        (message(1, message(1, message(1, b"\xff"))), r"here: text is not UTF-8: b'\\xff'"),
        (varint(0), "here: field number 0 before byte 1"),
        (varint(1 << 3 | 3), "here: unknown wire type 3"),
    ],
)
def test_damage_is_named(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse_example(data, "here")


def test_lists_of_a_wrong_size_are_named() -> None:
    five = message(1, message(1, message(1, b"a") + message(2, message(2, message(1, bytes(5))))))
    with pytest.raises(SourceError, match="here: field 'a' holds a damaged list of floats"):
        parse_example(five, "here").floats("a")
    number = message(1, message(1, message(1, b"a") + message(2, message(1, varint(1 << 3) + varint(5)))))
    with pytest.raises(SourceError, match="here: field 'a' holds a damaged list of byte strings"):
        parse_example(number, "here").texts("a")


def test_unknown_fields_are_skipped_and_the_last_entry_of_a_name_counts() -> None:
    unknown = (
        varint(9 << 3)
        + varint(7)
        + varint(10 << 3 | 1)
        + bytes(8)
        + varint(11 << 3 | 5)
        + bytes(4)
        + message(12, b"zz")
    )
    data = unknown + encode({"a": ("float", [1.0])}) + unknown + encode({"a": ("float", [2.0, 3.0])})
    assert parse_example(data, "here").floats("a").tolist() == [2.0, 3.0]


def read_everything(data: bytes) -> None:
    parsed = parse_example(data, "here")
    for name in parsed.fields:
        for read in (parsed.texts, parsed.floats, parsed.integers):
            with suppress(SourceError):
                read(name)


@given(st.binary(max_size=60))
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")  # a length of 2**64 - 1
@example(b"\xff" * 12)  # a number longer than 64 bits
@example(b"\x0b")  # a group, which proto3 does not have
def test_random_bytes_raise_nothing_but_source_errors(data: bytes) -> None:
    with suppress(SourceError):
        read_everything(data)


@given(st.data())
def test_damaged_examples_raise_nothing_but_source_errors(data: st.DataObject) -> None:
    whole = bytearray(
        encode({"image": ("bytes", [b"abc", b"de"]), "q": ("float", [1.0, 2.0]), "n": ("int64", [300, -5])})
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(SourceError):
        read_everything(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
