"""One websocket to a policy server: requests and answers in turn, each bounded in size and time."""

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from k4d_world_model.errors import RemotePolicyError, UnreachablePolicyError, WireError
from k4d_world_model.policy_evaluation.remote.wire import pack, unpack

_SHOWN = 400  # characters of a server's own words in an error


@dataclass(frozen=True)
class ServerAddress:
    """Where a policy server listens, and what is awaited of it.

    url: ws:// or wss:// with a host. patience: seconds to connect, and for each answer. largest_answer: in bytes.

    Raises RemotePolicyError on values out of range.
    """

    url: str
    patience: float = 30.0
    largest_answer: int = 16_000_000

    def __post_init__(self) -> None:
        try:
            parse_uri(self.url).host.encode("idna")
        except (InvalidURI, ValueError) as error:
            raise RemotePolicyError(
                f"url must be ws://HOST:PORT or wss://HOST:PORT, got {self.url!r}: {error}"
            ) from error
        if not 0 < self.patience <= 3600 or self.largest_answer < 1:
            raise RemotePolicyError(
                f"patience must be within 0..3600 s and largest_answer at least 1 byte, got {self.patience} and "
                f"{self.largest_answer}"
            )


class PolicyConnection:
    """An open connection, a context manager. ``metadata`` is what the server says of itself when it is opened."""

    def __init__(self, address: ServerAddress) -> None:
        """Connects and takes the greeting.

        Raises UnreachablePolicyError naming the server that cannot be reached, RemotePolicyError where it greets with
        anything but a mapping.
        """
        self._address = address
        try:
            self._socket: ClientConnection = connect(
                address.url,
                compression=None,
                proxy=None,
                max_size=address.largest_answer,
                open_timeout=address.patience,
                close_timeout=min(address.patience, 5.0),
                # A server that computes answers no ping; how long it may take is ``patience``'s to say.
                ping_interval=None,
            )
        except (OSError, InvalidHandshake) as error:
            reason = str(error) or type(error).__name__
            raise UnreachablePolicyError(f"{address.url}: no policy server answers: {reason}") from error
        # A server that reads nothing must not hold a request up for longer than an answer may take.
        whole = int(address.patience)
        deadline = struct.pack("ll", whole, round((address.patience - whole) * 1e6))
        self._socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, deadline)
        try:
            greeting = self._receive()
            if not isinstance(greeting, dict):
                raise RemotePolicyError(
                    f"{address.url}: a server greets with a mapping of what it is, got {type(greeting).__name__}"
                )
        except RemotePolicyError:
            self.close()
            raise
        self.metadata: dict[Any, Any] = greeting

    def __enter__(self) -> "PolicyConnection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; nothing can be asked afterwards."""
        self._socket.close()

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The server's answer to a request, or the text that it answers with.

        Raises UnreachablePolicyError where it does not come in time or the connection ends, RemotePolicyError where it
        is too large or no message of this protocol. Nothing can be asked after either.
        """
        try:
            self._socket.send(pack(request))
        except ConnectionClosed as error:
            raise self._ended(error) from error
        return self._receive()

    def _receive(self) -> Any:
        address = self._address
        try:
            answer = self._socket.recv(timeout=address.patience)
        except TimeoutError as error:
            raise UnreachablePolicyError(f"{address.url}: no answer within {address.patience:g} s") from error
        except ConnectionClosed as error:
            raise self._ended(error) from error
        if isinstance(answer, str):
            return answer
        try:
            return unpack(answer)
        except WireError as error:
            raise RemotePolicyError(f"{address.url}: what the server sends {error}") from error

    def _ended(self, error: ConnectionClosed) -> RemotePolicyError:
        """Why the connection is at its end: by us because of what was sent, or by the server or the network."""
        address = self._address
        if error.sent is not None and not error.rcvd_then_sent:
            return RemotePolicyError(
                f"{address.url}: no answer of at most {address.largest_answer} bytes was sent: {error}"
            )
        return UnreachablePolicyError(f"{address.url}: the server has closed the connection: {error}")


def shown(text: str) -> str:
    """The end of a server's own words, in one line, for an error."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"... {line[-_SHOWN:]}"
