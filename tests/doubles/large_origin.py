"""**An origin of objects of any size, as fast as the kernel copies, with the faults of long transfers.**

The scripted origin holds every byte of its answers. This one only knows the place of each byte in a pattern,
or in a file. It can be as slow as a line, which all its connections share.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from stack.sample import byte_range

from .scripted_origin import Gate
from .wire import Journal, Request, Server, reset

PERIOD = 4_194_301
"""The bytes after which content repeats: a prime, so that no two parts of an object are alike."""

SHIFT = 1_000_003
"""The bytes of the pattern between the beginnings of two versions."""

PIECE = 64 << 10
"""The bytes that a connection of a slow origin sends in its turn."""


@dataclass(frozen=True)
class Answer:
    """An answer whose body is a part of an object."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    span: range = range(0)


@dataclass(frozen=True)
class Large:
    """One version of an object: its content and its headers."""

    size: int
    version: int = 1
    etag: str | None = '"1"'
    last_modified: str | None = formatdate(1_700_000_000, usegmt=True)
    ranges: bool = True
    """It answers a Range. Otherwise every answer is the whole object."""
    conditions: bool = True
    """It evaluates If-Match and If-Unmodified-Since. Many an origin does not."""
    file: Path | None = None
    """The content, where it is not that of the pattern."""
    content_type: str = "video/mp4"
    rate: int | None = None
    """Bytes a second of each answer. None is as fast as the kernel copies."""
    digest: str | None = None
    """The `Repr-Digest` that it announces, true or not."""

    def sha256(self) -> str:
        digest = hashlib.sha256()
        pattern = memoryview(self.file.read_bytes() if self.file else _pattern())
        for start, length in self.pieces(range(self.size)):
            digest.update(pattern[start : start + length])
        return digest.hexdigest()

    def content(self, span: range) -> bytes:
        pattern = self.file.read_bytes() if self.file else _pattern()
        return b"".join(pattern[start : start + length] for start, length in self.pieces(span))

    def pieces(self, span: range) -> Iterator[tuple[int, int]]:
        """Lists the pieces of the pattern, or of the file, that make these bytes of the object: first byte
        and length of each.
        """
        if self.file:
            yield span.start, len(span)
            return
        start, left = (span.start + self.version * SHIFT) % PERIOD, len(span)
        while left > 0:
            length = min(left, PERIOD - start)
            yield start, length
            start, left = 0, left - length

    def answer(self, request: Request) -> Answer:
        if self.conditions and not self._meets(request):
            return Answer(412)
        span = byte_range(request.header("range"), self.size) if self.ranges else None
        if span is None:
            return Answer(200, self._headers(), range(self.size))
        if not span:
            return Answer(416, {"Content-Range": f"bytes */{self.size}"})
        content_range = f"bytes {span.start}-{span.stop - 1}/{self.size}"
        return Answer(206, {**self._headers(), "Content-Range": content_range}, span)

    def _headers(self) -> dict[str, str]:
        known = {
            "Content-Type": self.content_type,
            "Date": formatdate(usegmt=True),
            "ETag": self.etag,
            "Last-Modified": self.last_modified,
            "Repr-Digest": self.digest,
        }
        return {name: value for name, value in known.items() if value is not None}

    def _meets(self, request: Request) -> bool:
        """Tells if the conditions hold. RFC 9110, 13.2.2: the date counts only where no tag is named; a weak
        tag never matches.
        """
        tag, date = request.header("if-match"), request.header("if-unmodified-since")
        if tag is not None:
            return tag == self.etag and not tag.startswith("W/")
        if date is None or self.last_modified is None:
            return True
        return parsedate_to_datetime(self.last_modified) <= parsedate_to_datetime(date)


class Trouble(enum.Enum):
    """The event in place of an answer."""

    OTHER_RANGE = "a 206 that says it begins one byte later"
    RESET = "half of the body, then the connection is reset"
    STALL = "half of the body, then silence"
    TRUNCATED = "half of the body, then the end of the connection"
    UNAVAILABLE = "503"


@dataclass
class Fault:
    """A fault of the next `times` requests for content that begins at the byte `at`."""

    trouble: Trouble
    at: int
    times: float


class Line:
    """A line that carries so many bytes a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def turn(self, length: int) -> None:
        """Waits until the line has carried what was asked for before, and these bytes."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + length / self._rate
        await asyncio.sleep(self._free_at - now)


class LargeOrigin(Server):
    """An origin of large objects. A path that has no object is a 404.

    With `rate` it sends so many bytes a second, over all connections together, which take turns.
    """

    def __init__(self, rate: float | None = None) -> None:
        self.sent: Counter[str] = Counter()
        """The bytes of bodies that the kernel has taken, by path."""
        self._line = Line(rate) if rate else None
        self.requests: Journal[Request] = Journal()
        self._versions: dict[str, list[tuple[int, Large]]] = {}
        self._faults: dict[str, list[Fault]] = {}
        self._gates: dict[tuple[str, int], Gate] = {}
        self._pattern: BinaryIO

    def __enter__(self) -> LargeOrigin:
        self._pattern = os.fdopen(os.memfd_create("pattern"), "w+b", buffering=0)
        self._pattern.write(_pattern())
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._pattern.close()

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def put(self, path: str, large: Large) -> Large:
        """Serves an object, and returns it."""
        self._versions[path] = [(0, large)]
        return large

    def replace(self, path: str, large: Large, *, after: int) -> Large:
        """Serves another version after the path's first `after` requests."""
        self._versions[path].append((after, large))
        return large

    def fault(self, path: str, trouble: Trouble, *, at: int = 0, times: float = 1) -> None:
        """Adds a fault. `times` may be `math.inf`."""
        self._faults.setdefault(path, []).append(Fault(trouble, at, times))

    def hold(self, path: str, *, at: int = 0) -> Gate:
        """Answers no request for content that begins at the byte `at` until the gate is opened."""
        gate = self._gates[path, at] = Gate(self._loop)
        return gate

    def asked(self, path: str) -> list[Request]:
        return self.requests.matching(lambda request: request.path == path)

    def ranges(self, path: str) -> list[range | None]:
        """Lists the bytes that each request asked for, in order; None for one without a Range."""
        (_, first), *_ = self._versions[path]
        return [byte_range(request.header("range"), first.size) for request in self.asked(path)]

    def wait_for(self, path: str, count: int = 1) -> list[Request]:
        """Waits until the path has been asked for `count` times."""
        return self.requests.wait(lambda request: request.path == path, count)

    async def respond(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        self.requests.add(request)
        large = self._current(request.path)
        if large is None:
            writer.write(_head(Answer(404)))
            return True
        answer = large.answer(request)
        gate = self._gates.get((request.path, answer.span.start))
        if gate is not None:
            await gate.passed()
        trouble = self._strike(request.path, answer.span)
        if trouble is Trouble.UNAVAILABLE:
            answer = Answer(503)
        if trouble is Trouble.OTHER_RANGE:
            answer.headers["Content-Range"] = f"bytes {answer.span.start + 1}-{answer.span.stop}/{large.size}"
        cut = trouble in (Trouble.RESET, Trouble.STALL, Trouble.TRUNCATED)
        writer.write(_head(answer))
        if request.method != "HEAD":
            span = answer.span[: len(answer.span) // 2] if cut else answer.span
            await self._send(request.path, writer, large, span)
        if trouble is Trouble.STALL:
            await self.silence()
        if trouble is Trouble.RESET:
            reset(writer)
        return not cut

    def _current(self, path: str) -> Large | None:
        asked = len(self.asked(path))
        begun = [large for after, large in self._versions.get(path, []) if asked > after]
        return begun[-1] if begun else None

    def _strike(self, path: str, span: range) -> Trouble | None:
        """Returns the trouble for this request, and uses it up by one."""
        armed = self._faults.get(path, [])
        for fault in armed:
            if fault.at == span.start:
                fault.times -= 1
                if fault.times <= 0:
                    armed.remove(fault)
                return fault.trouble
        return None

    async def _send(self, path: str, writer: asyncio.StreamWriter, large: Large, span: range) -> None:
        line = Line(large.rate) if large.rate else self._line
        with contextlib.ExitStack() as opened:
            source = opened.enter_context(large.file.open("rb")) if large.file else self._pattern
            for start, length in large.pieces(span):
                for at in range(start, start + length, PIECE if line else max(length, 1)):
                    piece = min(start + length - at, PIECE) if line else length
                    if line:
                        await line.turn(piece)
                    if writer.transport.is_closing():
                        raise ConnectionResetError
                    sent = await self._loop.sendfile(writer.transport, source, at, piece)
                    self.sent[path] += sent


@functools.cache
def _pattern() -> bytes:
    return random.Random(PERIOD).randbytes(PERIOD)


def _head(answer: Answer) -> bytes:
    headers = {**answer.headers, "Content-Length": len(answer.span)}
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n{fields}\r\n".encode("latin-1")
