"""The calls that a miss is compared with must be those of a fill, or the comparison means nothing."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from doubles import ScriptedOrigin, StrictBucket
from doubles.replies import raw
from doubles.wire import Request
from stack import Stack

from .calls import ANSWERS, calls_of_fill
from .edges import to_halves
from .native import Call, Loader
from .site import Site

SIZE = 4096
KEYS = ("client.jpg", "fill.jpg")
OF_EACH_REQUEST = {"authorization", "x-amz-date", "x-request-id"}

OBJECT = b"x" * SIZE
ANSWER = (
    b"HTTP/1.1 206 OK\r\n"
    b'etag: "1"\r\nlast-modified: Tue, 14 Nov 2023 22:13:20 GMT\r\ncontent-type: image/jpeg\r\n'
    b"content-range: bytes 0-%d/%d\r\ncontent-length: %d\r\n\r\n" % (SIZE - 1, SIZE, SIZE)
)
"""As upstream.rs describes its objects."""


def test_bucket_and_origin_get_from_a_client_what_they_get_from_a_fill(tmp_path: Path) -> None:
    with ScriptedOrigin() as origin, StrictBucket() as bucket:
        for key in KEYS:
            origin.script(f"/{key}", raw(ANSWER + OBJECT))
        edit = partial(to_halves, origin.authority)
        with Stack(tmp_path, origin=origin.url, store=bucket, workers=1, edit_edge=edit) as stack:
            upstream: Any = SimpleNamespace(origin=origin.url)
            calls = calls_of_fill(Site(stack, bucket, upstream, Loader()), "client.jpg", SIZE)
            assert [make(call) for call in calls] == ANSWERS
            assert make(Call(f"{stack.url}/fill.jpg")) == 302

    def asked(key: str) -> list[Request]:
        of_bucket = [bucket.calls(operation, key) for operation in ("GetObject", "PutObject")]
        return [*origin.asked(f"/{key}"), *(call.request for calls in of_bucket for call in calls)]

    by_client, by_fill = ([sent(request, key) for request in asked(key)] for key in KEYS)
    assert len(by_client) == len(calls)
    assert by_client == by_fill


def make(call: Call) -> int:
    """Makes a call and returns the status of its answer."""
    url = urlsplit(call.url)
    body = None if call.body is None else OBJECT[: call.body]
    headers = {"host": url.netloc, **call.headers}
    if body is not None:
        headers["content-length"] = str(len(body))
    with closing(HTTPConnection(url.netloc)) as connection:
        connection.putrequest(call.method, url.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status


def sent(request: Request, key: str) -> tuple[str, dict[str, str], bytes]:
    """Returns the request without the parts that differ in each one."""
    headers = {
        name.lower(): value.replace(key, "KEY")
        for name, value in request.headers
        if name.lower() not in OF_EACH_REQUEST
    }
    return request.line.replace(key, "KEY"), headers, request.body
