"""A small observation, and policy servers that speak msgpack by its specification, independent of the package."""

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import ServerConnection, serve

from k4d_kinematics import Camera
from k4d_world_model.policy_evaluation.policy import Briefing, Observation
from k4d_world_model.policy_evaluation.remote.connection import ServerAddress
from k4d_world_model.policy_evaluation.remote.gripper import GripperMeaning
from k4d_world_model.policy_evaluation.remote_policy import RemotePolicyConfig

JOINTS = ("shoulder", "elbow", "finger")
HEIGHT, WIDTH = 6, 14

Handler = Callable[[ServerConnection], None]

BRIEFING = Briefing(3, "The robot picks up the red box and puts it on the blue disc.")
GREETING = {"image_resolution": [10, 21], "needs_wrist_camera": True, "n_external_cameras": 1,
            "needs_stereo_camera": False, "needs_session_id": False, "action_space": "joint_position"}  # fmt: skip

ARENA = {"dialect": "roboarena", "fit": "stretch", "blank_images": ("observation/wrist_image_left",)}


def configured(address: str, **changes: Any) -> RemotePolicyConfig:
    """A policy of two joints and a gripper at ``address``."""
    config = RemotePolicyConfig(
        "far", ServerAddress(address, patience=5.0), ("elbow", "shoulder"), GripperMeaning("finger", 0.04),
        image_height=10, image_width=21,
    )  # fmt: skip
    return replace(config, **changes)


@pytest.fixture
def observation() -> Observation:
    """A picture of 6 x 14 pixels and three joints, of which the last slides."""
    generator = np.random.default_rng(5)
    return Observation(
        generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
        generator.uniform(0.5, 1.0, (HEIGHT, WIDTH, 3)).astype(np.float32),
        Camera.pinhole(HEIGHT, WIDTH, 20.0, 20.0, 6.5, 2.5), np.eye(4), JOINTS, np.array([0.5, -1.0, 0.03]), 0.06, 0.0,
        "The robot picks up the red box and puts it on the blue disc.",
    )  # fmt: skip


@contextmanager
def _served(handler: Handler) -> Iterator[str]:
    """The address of a websocket server on this machine that gives each connection to ``handler``."""
    with serve(handler, "127.0.0.1", 0, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def _answering(*messages: Any) -> Handler:
    """A server that sends the first message at once, and one of the others for each request."""

    def handler(connection: ServerConnection) -> None:
        connection.send(messages[0])
        for message in messages[1:]:
            connection.recv()
            connection.send(message)
        connection.recv()

    return handler


@pytest.fixture
def served() -> Callable[[Handler], AbstractContextManager[str]]:
    """See ``_served``."""
    return _served


@pytest.fixture
def answering() -> Callable[..., Handler]:
    """See ``_answering``."""
    return _answering


@pytest.fixture
def plain() -> SimpleNamespace:
    """``encode``, ``decode`` and ``array``."""
    return SimpleNamespace(encode=encode, decode=decode, array=array)


def encode(value: Any) -> bytes:
    """The bytes of None, bool, int, float, str, bytes, list and dict, and of arrays as openpi sends them."""
    if isinstance(value, np.ndarray):
        return encode(array(value.dtype.str, list(value.shape), value.tobytes()))
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">Bq", 0xD3, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        return struct.pack(">BI", 0xDB, len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return struct.pack(">BI", 0xC6, len(value)) + value
    if isinstance(value, list):
        return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(encode, value))
    pairs = b"".join(encode(key) + encode(part) for key, part in value.items())
    return struct.pack(">BI", 0xDF, len(value)) + pairs


def array(dtype: str, shape: list[int], data: bytes) -> dict[bytes, Any]:
    """An array as openpi sends it, honest or not."""
    return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}


def decode(data: bytes) -> Any:
    """What the bytes of one value hold, arrays of openpi as arrays. Raises ValueError for what is left over."""
    value, rest = _decode(memoryview(data))
    if len(rest):
        raise ValueError(f"{len(rest)} bytes are left")
    return value


def _decode(data: memoryview) -> tuple[Any, memoryview]:
    tag, data = data[0], data[1:]
    if tag <= 0x7F:
        return tag, data
    if tag >= 0xE0:
        return tag - 256, data
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], data
    numbers = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h",
               0xD2: ">i", 0xD3: ">q"}  # fmt: skip
    if tag in numbers:
        size = struct.calcsize(numbers[tag])
        return struct.unpack(numbers[tag], data[:size])[0], data[size:]
    count, kind, data = _header(tag, data)
    if kind in ("text", "bytes"):
        content = bytes(data[:count])
        return content.decode() if kind == "text" else content, data[count:]
    parts = []
    for _ in range(count * (2 if kind == "map" else 1)):
        part, data = _decode(data)
        parts.append(part)
    return (_mapping(parts) if kind == "map" else parts), data


def _header(tag: int, data: memoryview) -> tuple[int, str, memoryview]:
    """How long a value of that tag is, and of which kind."""
    for kind, low, high, base in (("map", 0x80, 0x8F, 0x80), ("list", 0x90, 0x9F, 0x90), ("text", 0xA0, 0xBF, 0xA0)):
        if low <= tag <= high:
            return tag - base, kind, data
    kinds = {0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xD9: ("text", 1), 0xDA: ("text", 2),
             0xDB: ("text", 4), 0xDC: ("list", 2), 0xDD: ("list", 4), 0xDE: ("map", 2), 0xDF: ("map", 4)}  # fmt: skip
    kind, size = kinds[tag]
    return int.from_bytes(data[:size], "big"), kind, data[size:]


def _mapping(parts: list[Any]) -> Any:
    content = dict(zip(parts[::2], parts[1::2], strict=True))
    if b"__ndarray__" in content:
        return np.frombuffer(content[b"data"], content[b"dtype"]).reshape(content[b"shape"])
    return content
