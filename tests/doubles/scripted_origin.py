"""**An origin that sends exactly the bytes of a test's script, and remembers the requests.**"""

from __future__ import annotations

import asyncio

from .replies import Headers, Script, Then, resource, status
from .wire import Journal, Request, Server, reset


class Gate:
    """Holds the answers of a path back until the test opens it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open = asyncio.run_coroutine_threadsafe(_new_event(), loop).result()

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    async def passed(self) -> None:
        await self._open.wait()


class ScriptedOrigin(Server):
    """An origin with scripts. Paths are matched as they are on the wire; one that has no script is a 404."""

    def __init__(self) -> None:
        self.requests: Journal[Request] = Journal()
        self._gates: dict[str, Gate] = {}
        self._scripts: dict[str, list[Script]] = {}

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def put(self, path: str, body: bytes, headers: Headers = None, ranges: bool = True) -> None:
        """Serves an object."""
        self.script(path, resource(body, headers, ranges))

    def script(self, path: str, *scripts: Script) -> None:
        """Answers with one script after the other; the last one stays."""
        self._scripts[path] = list(scripts)

    def hold(self, path: str) -> Gate:
        """Answers nothing on this path until the gate is opened."""
        gate = self._gates[path] = Gate(self._loop)
        return gate

    def asked(self, path: str) -> list[Request]:
        return self.requests.matching(lambda request: request.path == path)

    def count(self, path: str) -> int:
        return len(self.asked(path))

    def wait_for(self, path: str, count: int = 1) -> list[Request]:
        """Waits until the path has been asked for `count` times."""
        return self.requests.wait(lambda request: request.path == path, count)

    async def respond(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        self.requests.add(request)
        reply = self._next_script(request.path)(request)
        if request.path in self._gates:
            await self._gates[request.path].passed()
        await asyncio.sleep(reply.after)
        writer.write(reply.data)
        await writer.drain()
        if reply.then is Then.STALL:
            await self.silence()
        if reply.then is Then.RESET:
            reset(writer)
        return reply.then is Then.KEEP

    def _next_script(self, path: str) -> Script:
        scripts = self._scripts.get(path, [status(404, {}, b"<h1>the origin has no such page</h1>")])
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]


async def _new_event() -> asyncio.Event:
    """Makes an event inside the loop: up to Python 3.9 an event belongs to the loop that it is made in."""
    return asyncio.Event()
