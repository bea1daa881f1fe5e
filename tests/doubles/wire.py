"""HTTP/1.1 as it is on the wire: the reader of requests, and the server of both doubles.

The standard library's servers are no use here. `http.server` rewrites a path that starts with `//`, and all
of them tidy up bytes that a double must see, or send, exactly as they are.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

HEAD_LIMIT = 1 << 20
"""The most bytes of a request's head. Far above Envoy's heads; it only bounds a runaway client."""

Recorded = TypeVar("Recorded")


@dataclass(frozen=True)
class Request:
    """One request, verbatim. Bytes that are not ASCII are kept as Latin-1, so that nothing is lost."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes = field(default=b"", repr=False)

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """Returns path and query as they were sent."""
        return self.line.split(" ")[1]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """Returns the values of a header, joined as RFC 9110 section 5.3 joins them; None without one."""
        values = [value for known, value in self.headers if known.lower() == name.lower()]
        return ", ".join(values) if values else None


class Journal(Generic[Recorded]):
    """A double's observations, in order. The server's thread writes them, the test's thread awaits them."""

    def __init__(self) -> None:
        self._entries: list[Recorded] = []
        self._changed = threading.Condition()

    def add(self, entry: Recorded) -> None:
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()

    def matching(self, matches: Callable[[Recorded], bool]) -> list[Recorded]:
        with self._changed:
            return [entry for entry in self._entries if matches(entry)]

    def wait(
        self, matches: Callable[[Recorded], bool], count: int = 1, timeout: float = 15
    ) -> list[Recorded]:
        """Waits until `count` entries match."""
        with self._changed:
            if not self._changed.wait_for(lambda: sum(map(matches, self._entries)) >= count, timeout):
                raise TimeoutError(f"no {count} such requests in {timeout} s, but {self._entries[-20:]}")
            return [entry for entry in self._entries if matches(entry)]

    def __iter__(self):
        with self._changed:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)


class Server:
    """A server on a free port of 127.0.0.1, in a thread of the test process; subclasses answer."""

    bind: tuple[str, int] = ("127.0.0.1", 0)
    port: int

    def __enter__(self):
        started: threading.Event = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError(f"{type(self).__name__} does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def respond(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answers one request. True keeps the connection for the next one."""
        raise NotImplementedError

    async def silence(self) -> None:
        """Lasts until the server stops."""
        await self._stopping.wait()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, *self.bind, limit=HEAD_LIMIT, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stopping.wait()
        server.close()  # asyncio.run then cancels what still stalls

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=0)  # drain() returns when the kernel has it all
        try:
            while True:
                request = await read_request(reader, writer)
                if request is None or not await self.respond(request, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the server stops
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """Reads the next request of a connection, None if the client closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head[:-4].decode("latin-1").split("\r\n")
    pairs = (header.partition(":") for header in fields)
    request = Request(line, [(name, value.strip()) for name, _, value in pairs])
    if (request.header("expect") or "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(request.line, request.headers, await _read_body(request, reader))


async def _read_body(request: Request, reader: asyncio.StreamReader) -> bytes:
    if request.header("transfer-encoding") is None:
        return await reader.readexactly(int(request.header("content-length") or 0))
    chunks = []
    while True:
        size = int((await reader.readline()).partition(b";")[0], 16)
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
        if size == 0:
            return b"".join(chunks)


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with an RST instead of a FIN: linger of zero seconds, see socket(7)."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
