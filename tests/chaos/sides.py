"""The two sides that fail: the other suites' doubles, here silent for a limited time only.

They also tell since when they have been idle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from doubles import ScriptedOrigin, StrictBucket
from doubles.wire import Request, Server

SILENCE = 1.5
"""The seconds that a side is silent before it closes the connection. Longer than the patience with an
origin.
"""

PIECES = 20
"""The pieces of a slow answer, and the seconds between them."""

PAUSE = 0.02


class Side(Server):
    """A side that knows since when it has been idle."""

    _under_way = 0
    _last = 0.0

    @property
    def idle_for(self) -> float:
        return 0.0 if self._under_way else time.monotonic() - self._last

    async def respond(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        self._under_way += 1
        try:
            return await super().respond(request, writer)
        finally:
            self._under_way -= 1
            self._last = time.monotonic()

    async def silence(self) -> None:
        await asyncio.sleep(SILENCE)


class Bucket(Side, StrictBucket):
    """A bucket that remembers the objects of other writers."""

    def __init__(self) -> None:
        super().__init__()
        self.theirs: dict[str, bytes] = {}

    def put(self, key: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.theirs[key] = body
        super().put(key, body, headers)

    async def others_store(self, key: str, body: bytes) -> None:
        """Stores an object between two requests, never in the middle of one."""

        async def put() -> None:
            self.put(key, body)

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(put(), self._loop))


class Origin(Side, ScriptedOrigin):
    """An origin that sends the objects of some paths slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.drips: set[str] = set()

    async def respond(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        slow = Dripping(writer) if request.path in self.drips else writer
        return await super().respond(request, slow)


class Dripping:
    """A writer that writes piece by piece, with pauses."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._unsent = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        self._unsent += data

    async def drain(self) -> None:
        data, self._unsent = self._unsent, b""
        size = max(1, -(-len(data) // PIECES))
        for start in range(0, len(data), size):
            self._writer.write(data[start : start + size])
            await self._writer.drain()
            await asyncio.sleep(PAUSE)
