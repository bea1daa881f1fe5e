"""An origin's replies: decent ones, and every kind of bad one that a filter has to survive.

Each function makes a script, which turns a request into the bytes of a reply.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus

from .wire import Request

LAST_MODIFIED = formatdate(1_700_000_000, usegmt=True)


class Then(enum.Enum):
    """The event on the connection after the last byte of a reply."""

    CLOSE = "it is closed"
    KEEP = "it waits for the next request"
    RESET = "it is reset"
    STALL = "it stays open, and silent"


@dataclass(frozen=True)
class Reply:
    """The bytes of one reply, and the event after them."""

    data: bytes = field(repr=False)
    then: Then = Then.KEEP
    after: float = 0.0
    """Seconds before the first byte."""


Script = Callable[[Request], Reply]
Headers = Mapping[str, str] | None

# Decent answers.


def resource(body: bytes, headers: Headers = None, ranges: bool = True) -> Script:
    """Gives an object as a good static server does: validators, a single range, conditions for it.

    An empty header is left out.
    """
    etag = f'"{hashlib.sha1(body).hexdigest()}"'
    known = {"ETag": etag, "Last-Modified": LAST_MODIFIED, **({"Accept-Ranges": "bytes"} if ranges else {})}
    known.update(headers or {})
    known = {name: value for name, value in known.items() if value}

    def reply(request: Request) -> Reply:
        if not _meets(request, known):
            return _complete(request, 412, {}, b"")
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.header("range") or "")
        if not ranges or asked is None:
            return _complete(request, 200, known, body)
        first, last = int(asked[1]), min(int(asked[2] or len(body)), len(body) - 1)
        if first > last:
            return _complete(request, 416, {"Content-Range": f"bytes */{len(body)}"}, b"")
        span = {"Content-Range": f"bytes {first}-{last}/{len(body)}"}
        return _complete(request, 206, {**known, **span}, body[first : last + 1])

    return reply


def _meets(request: Request, known: Mapping[str, str]) -> bool:
    """Tells if the conditions hold (RFC 9110, 13.1.1 and 13.1.4): a weak tag matches none."""
    wanted, since = request.header("if-match"), request.header("if-unmodified-since")
    etag, modified = known.get("ETag"), known.get("Last-Modified")
    if wanted is not None:
        return wanted == "*" or (wanted == etag and not wanted.startswith("W/"))
    if since is None or modified is None:
        return True
    return parsedate_to_datetime(modified) <= parsedate_to_datetime(since)


def status(code: int, headers: Headers = None, body: bytes = b"from the origin") -> Script:
    return lambda request: _complete(request, code, headers or {}, body)


def chunked(body: bytes, size: int = 1000) -> Script:
    """Gives no length, but an end: chunks, with an extension and a trailer."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    data = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return raw(_head(200, {"Transfer-Encoding": "chunked"}) + data + b"0\r\nX-Trailer: 1\r\n\r\n")


def close_delimited(body: bytes) -> Script:
    """Gives no length, and no end but that of the connection."""
    return raw(_head(200, {"Connection": "close"}) + body, Then.CLOSE)


# Bad replies.


def raw(data: bytes, then: Then = Then.KEEP) -> Script:
    """Gives any bytes at all."""
    return lambda _: Reply(data, then)


def silent() -> Script:
    """Takes the request and never answers."""
    return raw(b"", Then.STALL)


def cut_after(sent: int, script: Script, then: Then) -> Script:
    """Gives the head and `sent` bytes of the body of another reply, unless that is all of it, then
    nothing.
    """

    def reply(request: Request) -> Reply:
        whole = script(request)
        head, end, body = whole.data.partition(b"\r\n\r\n")
        return Reply(head + end + body[:sent], then) if len(body) > sent else whole

    return reply


def announcing(length: int, body: bytes) -> Script:
    """Gives a Content-Length that is not the body's."""
    return raw(_head(200, {"Content-Length": str(length)}) + body, Then.CLOSE)


def partial(content_range: str, body: bytes) -> Script:
    """Gives a 206 with this Content-Range, for every request."""
    return status(206, {"Content-Range": content_range}, body)


def many_headers(count: int, body: bytes) -> Script:
    return status(200, {f"X-Header-{number}": str(number) for number in range(count)}, body)


def with_header_bytes(header: bytes, body: bytes) -> Script:
    """Gives a decent 200 with one more header line, whose bytes may be anything."""
    return raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n\r\n%b" % (len(body), header, body))


def _complete(request: Request, code: int, headers: Mapping[str, str], body: bytes) -> Reply:
    data = _head(code, {"Content-Length": str(len(body)), **headers})
    return Reply(data if request.method == "HEAD" else data + body)


def _head(code: int, headers: Mapping[str, str]) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\n{fields}\r\n".encode("latin-1")
