"""Messages against msgpack written out by its specification, and what a decoder must refuse."""

import struct
from typing import Any

import msgpack
import numpy as np
import pytest

from k4d_world_model.errors import WireError
from k4d_world_model.policy_evaluation.remote.wire import DTYPES, pack, unpack


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_listed_type_survive_both_ways(dtype: str, plain: Any) -> None:
    array = np.arange(2 * 3 * 5).reshape(2, 3, 5).astype(dtype)
    for found in (unpack(plain.encode({"a": array}))["a"], plain.decode(pack({"a": array}))["a"]):
        assert found.dtype == array.dtype
        assert found.shape == (2, 3, 5)
        np.testing.assert_array_equal(found, array)


def test_other_layouts_and_byte_orders_are_sent_as_they_are_listed(plain: Any) -> None:
    array = np.arange(12.0).reshape(3, 4)
    sent = pack({"turned": array.T, "big": array.astype(">f4"), "empty": np.zeros((0, 7), np.float32)})
    found = plain.decode(sent)
    np.testing.assert_array_equal(found["turned"], array.T)
    np.testing.assert_array_equal(found["big"], array)
    assert found["empty"].shape == (0, 7)


def test_plain_values_survive_both_ways(plain: Any) -> None:
    message = {"none": None, "true": True, "int": -(2**40), "float": 0.1, "text": "grün", "bytes": b"\x00\xff",
               "list": [1, [2, "x"]], "map": {"inner": {}}}  # fmt: skip
    assert unpack(plain.encode(message)) == message
    assert plain.decode(pack(message)) == message


def test_numbers_with_a_type_are_read(plain: Any) -> None:
    sent = {b"__npgeneric__": True, b"data": 0.25, b"dtype": "<f4"}
    found = unpack(plain.encode({"x": sent}))["x"]
    assert isinstance(found, np.float32)
    assert found == 0.25
    assert unpack(pack({"x": np.int16(-7)}))["x"] == -7


@pytest.mark.parametrize(
    "dtype", ["|O", "O", "<c16", "|V8", "|S4", "<U3", "<M8[s]", "f8,O", "", 7, None, "<f8; import os"]
)
def test_arrays_of_other_types_are_refused(dtype: Any, plain: Any) -> None:
    with pytest.raises(WireError, match="arrays must be of one of"):
        unpack(plain.encode(plain.array(dtype, [1], b"\x80\x04N.\x00\x00\x00\x00")))
    with pytest.raises(WireError, match="arrays must be of one of"):
        unpack(plain.encode({"__npgeneric__": True, "data": 1, "dtype": dtype}))


@pytest.mark.parametrize(
    ("shape", "data"),
    [([3], b"12"), ([-1], b""), ([2**40, 2**40], b""), ([1.0], b"1"), ([True], b"1"), ([1] * 9, b"1"), ("1", b"1"),
     ([1], "1"), ([1], None)],
)  # fmt: skip
def test_arrays_that_lie_about_their_size_are_refused(shape: Any, data: Any, plain: Any) -> None:
    with pytest.raises(WireError, match="array"):
        unpack(plain.encode(plain.array("|u1", shape, data)))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x01\x02", b"\x93\x01", b"\xa3ab", b"\x91" * 3000 + b"\x01", b"\x81\xc3\x01",
     msgpack.packb(msgpack.Timestamp(7)), msgpack.packb(msgpack.ExtType(5, b"payload")), b"\xa2\xff\xfe"],
)  # fmt: skip
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack(data)


def test_numbers_beyond_their_type_are_refused(plain: Any) -> None:
    with pytest.raises(WireError):
        unpack(plain.encode({"__npgeneric__": True, "data": 300, "dtype": "|u1"}))


def test_a_length_that_nobody_sent_is_refused_without_taking_memory() -> None:
    with pytest.raises(WireError):
        unpack(struct.pack(">BI", 0xDD, 2**32 - 1))


@pytest.mark.parametrize("container", [b"\x90", b"\x80"], ids=["lists", "mappings"])
def test_many_small_containers_are_refused_before_they_take_memory(container: bytes) -> None:
    with pytest.raises(WireError, match="more than 10000 lists and mappings"):
        unpack(struct.pack(">BI", 0xDD, 20_000) + 20_000 * container)
    assert len(unpack(struct.pack(">BI", 0xDD, 9_000) + 9_000 * container)) == 9_000


@pytest.mark.parametrize(
    "value", [np.array([object()]), np.array(["a"]), np.zeros(2, complex), {1, 2}, object(), 2**70]
)
def test_nothing_else_is_sent(value: Any) -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        pack({"x": value})
