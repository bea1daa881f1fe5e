"""The two halves of a fill, each done alone by a client that computes as little as it can.

Both move the parts that a fill moves, as many at once, through the Envoy that a fill goes through.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from queue import SimpleQueue
from typing import TypeVar
from urllib.parse import urlsplit

from doubles.large_origin import Large

Item = TypeVar("Item")
Result = TypeVar("Result")

TIMEOUT = 120.0
"""Seconds without a byte."""

BUFFER_SIZE = 1 << 20


class TransferError(Exception):
    """A half that failed: its time means nothing."""


def fetch(url: str, host: str, path: str, spans: Sequence[range], window: int) -> None:
    """GETs each range and drops it."""

    def part(connection: HTTPConnection, span: range) -> None:
        headers = {"host": host, "range": f"bytes={span.start}-{span.stop - 1}"}
        connection.request("GET", path, headers=headers)
        response = _expect(connection.getresponse(), 206)
        if response.length != len(span):
            raise TransferError(f"{response.length} bytes of {span}")
        buffer = bytearray(BUFFER_SIZE)
        while response.readinto(buffer):
            pass

    _in_window(url, part, spans, window)


def store(url: str, target: str, large: Large, spans: Sequence[range], window: int) -> None:
    """Uploads an object part by part; `target` is /BUCKET/KEY."""

    def part(connection: HTTPConnection, numbered: tuple[int, range]) -> str:
        number, span = numbered
        query = f"partNumber={number}&uploadId={upload}"
        connection.request("PUT", f"{target}?{query}", large.content(span))
        response = _expect(connection.getresponse(), 200)
        response.read()
        return response.headers["etag"]

    with closing(_connect(url)) as connection:
        connection.request("POST", f"{target}?uploads=")
        created = _expect(connection.getresponse(), 200).read()
        upload = ElementTree.fromstring(created).findtext("{*}UploadId")
        etags = _in_window(url, part, list(enumerate(spans, 1)), window)
        listed = (
            f"<PartNumber>{number}</PartNumber><ETag>{etag}</ETag>" for number, etag in enumerate(etags, 1)
        )
        parts = "".join(f"<Part>{each}</Part>" for each in listed)
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        connection.request("POST", f"{target}?uploadId={upload}", document, {"if-none-match": "*"})
        completed = _expect(connection.getresponse(), 200).read()
        if b"<Error>" in completed:
            raise TransferError(completed.decode())


def spans_of(size: int, part_size: int) -> list[range]:
    return [range(start, min(start + part_size, size)) for start in range(0, size, part_size)]


def _in_window(
    url: str, work: Callable[[HTTPConnection, Item], Result], items: Sequence[Item], window: int
) -> list[Result]:
    """Does the work for the items in their order, `window` at once, each on a connection of its own."""
    idle: SimpleQueue[HTTPConnection] = SimpleQueue()

    def one(item: Item) -> Result:
        connection = idle.get()
        result = work(connection, item)
        idle.put(connection)
        return result

    with ExitStack() as connections, ThreadPoolExecutor(window) as pool:
        for _ in range(window):
            idle.put(connections.enter_context(closing(_connect(url))))
        return list(pool.map(one, items))


def _connect(url: str) -> HTTPConnection:
    return HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)


def _expect(response: HTTPResponse, status: int) -> HTTPResponse:
    if response.status != status:
        raise TransferError(f"{response.status} instead of {status}: {response.read(1000)!r}")
    return response
