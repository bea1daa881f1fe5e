"""Many clients at once, each with a connection of its own, in one thread."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .client import TIMEOUT, Answer, Headers, target_of

CONNECTING_AT_ONCE = 64
"""Below a listener's backlog: a SYN that overflows it is repeated only after a second."""

BODILESS = (204, 304)

T = TypeVar("T")


class Client:
    """One client. Like `Connection`, it sends exactly the given request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str) -> None:
        self._reader = reader
        self._writer = writer
        self._authority = authority

    async def ask(
        self, target: str, method: str = "GET", headers: Headers = (), timeout: float = TIMEOUT
    ) -> Answer:
        """Sends one request and reads all of its answer; TimeoutError if that takes longer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in (("host", self._authority), *headers))
        self._writer.write(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        return await asyncio.wait_for(self._receive(method), timeout)

    async def follow(self, redirect: Answer, timeout: float = TIMEOUT) -> Answer:
        """Requests the target of a 302, once."""
        assert redirect.status == 302, redirect
        return await self.ask(target_of(redirect.header("location") or ""), timeout=timeout)

    def leave(self) -> None:
        """Closes the connection, even if more is to come."""
        self._writer.close()

    async def _receive(self, method: str) -> Answer:
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        answer = Answer(
            int(first.split(" ")[1]), [(name.lower(), value.strip()) for name, _, value in fields], b""
        )
        if method == "HEAD" or answer.status in BODILESS:
            return answer
        return Answer(answer.status, answer.headers, await self._body(answer))

    async def _body(self, answer: Answer) -> bytes:
        length = answer.header("content-length")
        if length is not None:
            return await self._reader.readexactly(int(length))
        assert answer.header("transfer-encoding") == "chunked", answer
        chunks = []
        while size := int(await self._reader.readline(), 16):
            chunks.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(chunks)


class Crowd:
    """Connected clients, for as long as the `async with` lasts."""

    def __init__(self, url: str, size: int) -> None:
        self._authority = urlsplit(url).netloc
        self._size = size
        self._clients: list[Client] = []

    async def __aenter__(self) -> list[Client]:
        gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def connect() -> None:
            async with gate:
                host, port = self._authority.split(":")
                reader, writer = await asyncio.open_connection(host, int(port))
            self._clients.append(Client(reader, writer, self._authority))

        await all_of(connect() for _ in range(self._size))
        return self._clients

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            with suppress(OSError):
                client.leave()


async def all_of(awaitables: Iterable[Awaitable[T]]) -> Sequence[T]:
    return await asyncio.gather(*awaitables)


async def in_thread(wait: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Awaits a function that blocks, such as a double's journal."""
    return await asyncio.get_running_loop().run_in_executor(None, lambda: wait(*args, **kwargs))


def allow_open_files(count: int) -> None:
    """Raises this process's limit, which Envoy inherits. Fails where the machine does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise AssertionError(f"this test needs {count} open files, but `ulimit -Hn` is {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
