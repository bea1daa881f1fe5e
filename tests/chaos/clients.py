"""The clients: HTTP/1.1 on a connection of their own, HTTP/2 on a shared one, and some that never read."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes, Settings

from e2e.client import Answer, Headers
from e2e.crowd import Client

SMALL_BUFFER = 4096
"""Bytes that the kernel takes for a client that does not read."""

READ_AT_ONCE = 65_536


async def connect(url: str) -> Client:
    authority = urlsplit(url).netloc
    host, port = authority.split(":")
    return Client(*await asyncio.open_connection(host, int(port)), authority)


class Http2:
    """A connection of HTTP/2 on which many clients ask, for as long as the `async with` lasts.

    With `reads` False it gives its peer no window, so that no byte of a body can be sent to it.
    """

    def __init__(self, url: str, *, reads: bool = True) -> None:
        self._authority = urlsplit(url).netloc
        self._connection = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        if not reads:
            window = {SettingCodes.INITIAL_WINDOW_SIZE: 0}
            self._connection.local_settings = Settings(client=True, initial_values=window)
        self._asked: dict[int, Asked] = {}
        self._reading: asyncio.Task[None]
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Http2:
        host, port = self._authority.split(":")
        reader, self._writer = await asyncio.open_connection(host, int(port))
        self._connection.initiate_connection()
        self._flush()
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await self._reading
        self._writer.close()

    def client(self) -> Http2Client:
        return Http2Client(self)

    def send(self, target: str, method: str, headers: Headers) -> Asked:
        stream = self._connection.get_next_available_stream_id()
        pseudo = [
            (":method", method),
            (":path", target),
            (":scheme", "http"),
            (":authority", self._authority),
        ]
        self._connection.send_headers(stream, [*pseudo, *headers], end_stream=True)
        asked = self._asked[stream] = Asked(stream)
        self._flush()
        return asked

    def forget(self, asked: Asked) -> None:
        """Resets the stream of a request that nobody waits for any more."""
        if self._asked.pop(asked.stream, None) and not self._writer.is_closing():
            self._connection.reset_stream(asked.stream, error_code=8)  # CANCEL
            self._flush()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(READ_AT_ONCE):
            for event in self._connection.receive_data(data):
                self._take(event)
            self._flush()
        self._fail_all(ConnectionResetError("the connection was closed"))

    def _take(self, event: Any) -> None:
        if isinstance(event, ConnectionTerminated):
            self._fail_all(ConnectionResetError(f"GOAWAY {event.error_code}"))
            return
        asked = self._asked.get(getattr(event, "stream_id", 0))
        if isinstance(event, DataReceived):
            self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if asked is None:
            return
        if isinstance(event, ResponseReceived):
            asked.headers = [(str(name), str(value)) for name, value in event.headers]
        elif isinstance(event, DataReceived):
            asked.body += event.data
        elif isinstance(event, StreamReset):
            self._asked.pop(asked.stream)
            asked.fail(ConnectionResetError(f"RST_STREAM {event.error_code}"))
        elif isinstance(event, StreamEnded):
            self._asked.pop(asked.stream)
            asked.succeed()

    def _fail_all(self, error: Exception) -> None:
        for asked in self._asked.values():
            asked.fail(error)
        self._asked.clear()

    def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())


class Asked:
    """One request of HTTP/2, and its answer so far."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def succeed(self) -> None:
        headers = [(name, value) for name, value in self.headers if not name.startswith(":")]
        if not self.answer.done():
            self.answer.set_result(Answer(int(dict(self.headers)[":status"]), headers, self.body))

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Http2Client:
    """One client of a shared connection, used as `Client` is."""

    def __init__(self, connection: Http2) -> None:
        self._connection = connection
        self._asked: Asked | None = None

    async def ask(self, target: str, method: str, headers: Headers, timeout: float) -> Answer:
        self._asked = self._connection.send(target, method, headers)
        return await asyncio.wait_for(self._asked.answer, timeout)

    def leave(self) -> None:
        if self._asked:
            self._connection.forget(self._asked)


class AbsentClient:
    """A client that asks over HTTP/1.1, and never reads."""

    def __init__(self, url: str, target: str) -> None:
        self._authority = urlsplit(url).netloc
        self._target = target
        self._socket = socket.socket()
        self._socket.setblocking(False)

    async def __aenter__(self) -> AbsentClient:
        host, port = self._authority.split(":")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, (host, int(port)))
        request = f"GET {self._target} HTTP/1.1\r\nhost: {self._authority}\r\n\r\n"
        await loop.sock_sendall(self._socket, request.encode("latin-1"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
