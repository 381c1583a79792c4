"""How a connection to a policy server ends: what the server says, what never comes, and what the next run finds."""

import asyncio
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection as AsyncConnection
from websockets.asyncio.server import serve as serve_async
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection
from websockets.utils import accept_key

from k4d_world_model.errors import RemotePolicyError, UnreachablePolicyError
from k4d_world_model.policy_evaluation.policy import Observation
from k4d_world_model.policy_evaluation.remote.connection import PolicyConnection, ServerAddress
from k4d_world_model.policy_evaluation.remote_policy import RemotePolicy

from .conftest import ARENA, BRIEFING, GREETING, configured


@pytest.mark.parametrize("wrong_endpoint", ["reset", "infer"])
def test_after_a_text_and_a_close_the_next_run_connects_anew(
    wrong_endpoint: str, observation: Observation, plain: Any, served: Any
) -> None:
    connections = []

    def handler(connection: ServerConnection) -> None:
        connections.append(connection)
        connection.send(plain.encode(GREETING))
        for request in connection:
            endpoint = plain.decode(request)["endpoint"]
            if endpoint == wrong_endpoint and len(connections) == 1:
                connection.send("Traceback (most recent call last):\n  boom")
                connection.close(1011, "Internal server error. Traceback included in previous frame.")
                return
            connection.send("reset successful" if endpoint == "reset" else plain.encode(np.zeros((2, 3))))

    def run(policy: RemotePolicy) -> Any:
        policy.reset(BRIEFING)
        return policy.act(observation)

    with served(handler) as address, RemotePolicy(configured(address, **ARENA)) as policy:
        with pytest.raises(RemotePolicyError, match="boom") as caught:
            run(policy)
        assert not isinstance(caught.value, UnreachablePolicyError), "it is what the server says"
        assert run(policy).targets.shape == (2, 3)
    assert len(connections) == 2


def test_answers_are_bounded_in_size_and_time_and_the_next_run_connects_anew(
    observation: Observation, plain: Any, served: Any
) -> None:
    released, connections = threading.Event(), []

    def handler(connection: ServerConnection) -> None:
        connections.append(connection)
        connection.send(plain.encode({}))
        connection.recv()
        if len(connections) == 1:
            connection.send(plain.encode({"actions": np.zeros((9, 3)), "x": bytes(3000)}))
        elif len(connections) == 2:
            released.wait(10.0)
        elif len(connections) == 4:
            connection.send(plain.encode({"actions": np.zeros((2, 3))}))

    with served(handler) as address:
        config = configured(address, server=ServerAddress(address, patience=1.0, largest_answer=2000))
        with RemotePolicy(config) as policy:
            with pytest.raises(RemotePolicyError, match="no answer of at most 2000 bytes") as caught:
                policy.act(observation)
            assert not isinstance(caught.value, UnreachablePolicyError), "it would be as large again"
            with pytest.raises(UnreachablePolicyError, match="no answer within 1 s"):
                policy.act(observation)
            released.set()
            with pytest.raises(UnreachablePolicyError, match="the server has closed the connection"):
                policy.act(observation)
            assert policy.act(observation).targets.shape == (2, 3)
            with pytest.raises(UnreachablePolicyError, match="the server has closed the connection"):
                policy.act(observation)
    with pytest.raises(UnreachablePolicyError, match="no policy server answers"):
        RemotePolicy(config).act(observation)


def test_a_server_that_reads_nothing_is_not_waited_for(plain: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def greet() -> None:
            with listening.accept()[0] as connection:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += connection.recv(4096)
                lines = asked.split(b"\r\n")
                (key,) = (line.split()[1] for line in lines if line.lower().startswith(b"sec-websocket-key"))
                accepted = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
                accepted.append(f"Sec-WebSocket-Accept: {accept_key(key.decode())}")
                connection.sendall("\r\n".join([*accepted, "\r\n"]).encode() + b"\x82\x01\x80")
                over.wait(60.0)

        thread = threading.Thread(target=greet)
        thread.start()
        address = ServerAddress(f"ws://127.0.0.1:{listening.getsockname()[1]}", patience=0.5)
        with pytest.raises(UnreachablePolicyError), PolicyConnection(address) as connection:
            connection.ask({"picture": np.zeros(20_000_000, np.uint8)})
        over.set()
        thread.join()


def test_a_port_that_speaks_something_else_is_no_policy_server(observation: Observation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"220 mail\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UnreachablePolicyError, match="no policy server answers"):
            RemotePolicy(configured(f"ws://127.0.0.1:{listening.getsockname()[1]}")).act(observation)
        thread.join()


def test_a_server_that_answers_no_ping_while_it_thinks_is_waited_for(
    observation: Observation, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connect.__kwdefaults__, "ping_interval", 0.05)
    monkeypatch.setitem(connect.__kwdefaults__, "ping_timeout", 0.05)
    addresses: list[str] = []
    begun, ended = threading.Event(), threading.Event()

    async def think(connection: AsyncConnection) -> None:
        await connection.send(plain.encode({}))
        await connection.recv()
        time.sleep(0.4)  # as a network's first inference does
        await connection.send(plain.encode({"actions": np.zeros((2, 3))}))

    async def run() -> None:
        async with serve_async(think, "127.0.0.1", 0) as server:
            addresses.append(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            begun.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert begun.wait(30.0)
        with RemotePolicy(configured(addresses[0])) as policy:
            assert policy.act(observation).targets.shape == (2, 3)
    finally:
        ended.set()
        thread.join()


def test_a_greeting_that_is_none_is_named(plain: Any, served: Any, answering: Any, observation: Observation) -> None:
    for greeting in ("hello", plain.encode([1])):
        with served(answering(greeting)) as address, pytest.raises(RemotePolicyError, match="greets with a mapping"):
            RemotePolicy(configured(address)).act(observation)
