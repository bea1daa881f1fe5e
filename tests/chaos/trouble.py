"""The faults of an object: the origin's answers, and the bucket's."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate

from doubles import StrictBucket, replies
from doubles.replies import Reply, Script, Then
from doubles.wire import Request

# The origin's answers for an object. None of them can pass for the whole of another object: a lie that agrees
# with itself is an answer.

Answer = Callable[[str, bytes], Script]

Arm = Callable[[StrictBucket, str], None]
"""A function that makes the next request for a key fail."""

TYPE = {"Content-Type": "image/png"}

PRESENT: dict[str, Answer] = {
    "as it should": lambda _, content: replies.resource(content, TYPE),
    "without ranges": lambda _, content: replies.resource(content, TYPE, ranges=False),
    "in chunks": lambda _, content: replies.chunked(content, 20_000),
    # The validators of these join no parts.
    "a weak validator": lambda _, content: replies.resource(
        content, {**TYPE, "ETag": f'W/"{len(content)}"', "Last-Modified": ""}
    ),
    "a date of this second": lambda _, content: _of_this_second(content),
    "no validator": lambda _, content: replies.resource(content, {**TYPE, "ETag": "", "Last-Modified": ""}),
}

UNPINNED = ("a weak validator", "a date of this second", "no validator")
"""Answers whose validators do not join parts."""

ENDLESS = ("no length and no end",)
"""Answers whose end cannot be told from a cut."""

RANGELESS = ("without ranges", "in chunks", "200 to a range, and a part")
"""Answers of an origin that ignores ranges."""

ABSENT = ("404", "410")

TROUBLE: dict[str, Answer] = {
    "500": lambda *_: replies.status(500),
    "502": lambda *_: replies.status(502, {}, b"<html>bad gateway</html>" * 100),
    "503": lambda *_: replies.status(503, {"Retry-After": "1"}, b""),
    "429": lambda *_: replies.status(429),
    "403": lambda *_: replies.status(403),
    "204": lambda *_: replies.raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a circle": lambda path, _: replies.status(302, {"Location": path}, b""),
    "nothing, and a reset": lambda *_: replies.raw(b"", Then.RESET),
    "nothing, and the end": lambda *_: replies.raw(b"", Then.CLOSE),
    "nothing": lambda *_: replies.silent(),
    "a reset in the middle": lambda _, content: _cut(content, Then.RESET),
    "the end in the middle": lambda _, content: _cut(content, Then.CLOSE),
    "silence in the middle": lambda _, content: _cut(content, Then.STALL),
    "too little": lambda _, content: replies.announcing(len(content) + 7, content),
    "chunks without an end": lambda *_: replies.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Then.CLOSE
    ),
    "no length and no end": lambda _, content: replies.close_delimited(content),
    "another range": lambda _, content: replies.partial(
        f"bytes 1-{len(content) + 1}/{len(content) + 2}", content
    ),
    "a range with too little": lambda _, content: replies.partial(
        f"bytes 0-{len(content)}/{len(content) + 1}", content
    ),
    "200 to a range, and a part": lambda _, content: _part_as_a_whole(content),
    "a range that is none": lambda _, content: replies.partial("bytes ?-\xe4/*", content),
    "no status": lambda *_: replies.raw(b"HTTP/1.1 \r\n\r\n", Then.CLOSE),
    "no HTTP": lambda *_: replies.raw(b"\x16\x03\x01\x00\xff" * 9, Then.CLOSE),
    "a header of any bytes": lambda _, content: replies.with_header_bytes(b"X-\xff: \xfe\x80", content),
    "a header of control bytes": lambda _, content: replies.with_header_bytes(b"X-A: \x00\x01", content),
    "a thousand headers": lambda _, content: replies.many_headers(1_000, content),
}


def _part_as_a_whole(content: bytes) -> Script:
    """Answers a range with its first half, as some gateways do, under 200."""
    half = len(content) // 2

    def reply(request: Request) -> Reply:
        if request.header("range") is None or half == 0:
            return (replies.resource(content, TYPE) if half else replies.status(500))(request)
        span = {"Content-Range": f"bytes 0-{half - 1}/{len(content)}"}
        return replies.status(200, {**TYPE, **span}, content[:half])(request)

    return reply


def _of_this_second(content: bytes) -> Script:
    """Gives an object whose date may be that of two versions (RFC 9110 section 8.8.2.2)."""

    def reply(request: Request) -> Reply:
        now = formatdate(time.time(), usegmt=True)
        return replies.resource(content, {**TYPE, "ETag": "", "Date": now, "Last-Modified": now})(request)

    return reply


def without_body_for_head(script: Script) -> Script:
    """Drops the body for a HEAD. It would be read as the next answer on that connection, by any client."""

    def reply(request: Request) -> Reply:
        whole = script(request)
        head, end, _ = whole.data.partition(b"\r\n\r\n")
        return Reply(head + end) if request.method == "HEAD" and end else whole

    return reply


def _cut(content: bytes, then: Then) -> Script:
    """Cuts a reply in the middle of the body, or of the head if there is no body."""
    script = replies.resource(content, TYPE)
    return (
        replies.cut_after(len(content) // 2, script, then) if content else replies.raw(b"HTTP/1.1 200", then)
    )


ANSWERS: dict[str, Answer] = {
    **PRESENT,
    **TROUBLE,
    "404": lambda *_: replies.status(404),
    "410": lambda *_: replies.status(410),
}

# The bucket's answers.


def _reads(arm: Callable[[StrictBucket, str, str], None]) -> Arm:
    """Makes a fault for the next read of either kind; the writer's HEAD is one of them."""

    def both(bucket: StrictBucket, key: str) -> None:
        arm(bucket, "GetObject", key)
        arm(bucket, "HeadObject", key)

    return both


def _read_fault(status: int, code: str) -> Arm:
    return _reads(lambda bucket, operation, key: bucket.fault(operation, key, status=status, code=code))


def _read_raw(data: bytes, *, stall: bool = False) -> Arm:
    """Makes a raw answer to a read. It closes the connection, because its end would otherwise meet a request
    without a fault.
    """
    head, end, body = data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1).partition(b"\r\n\r\n")

    def arm(bucket: StrictBucket, key: str) -> None:
        bucket.raw("GetObject", key, head + end + body, stall=stall)
        bucket.raw("HeadObject", key, head + end)

    return arm


READS: dict[str, Arm] = {
    "SlowDown": _read_fault(503, "SlowDown"),
    "InternalError": _read_fault(500, "InternalError"),
    "AccessDenied": _read_fault(403, "AccessDenied"),
    # No code of the whole bucket, as NoSuchBucket: for a minute it would excuse the answers to all HEADs.
    "archived": _read_fault(403, "InvalidObjectState"),
    "another 404": _read_fault(404, "NoSuchWebsiteConfiguration"),
    "a reset": _reads(lambda bucket, operation, key: bucket.reset(operation, key)),
    "nothing": _reads(lambda bucket, operation, key: bucket.stall(operation, key)),
    "404 with no XML": _read_raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n<Err\xff\x00<<>"),
    "404 with a long document": _read_raw(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 40000\r\n\r\n" + b"<Error>" + b"x" * 39_993
    ),
    "404 that is cut": _read_raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n<Error><Code>No"),
    "404 that stalls": _read_raw(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n<Error><Code>No", stall=True
    ),
    "404 with a trailer": _read_raw(
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"
    ),
}


def _write_fault(operation: str, status: int, code: str) -> Arm:
    return lambda bucket, key: bucket.fault(operation, key, status=status, code=code)


def _write_reset(operation: str, *, after: bool = False) -> Arm:
    return lambda bucket, key: bucket.reset(operation, key, after=after)


def _write_raw(operation: str, data: bytes) -> Arm:
    return lambda bucket, key: bucket.raw(operation, key, data)


GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<Upload\xff\x00Id"
BROKEN = b"HTTP/1.1 500 \xff\xfe\r\nContent-Length: 3\r\n\r\n\x00\x01\x02"

PUTS: dict[str, Arm] = {
    "put: SlowDown": _write_fault("PutObject", 503, "SlowDown"),
    "put: 500": _write_fault("PutObject", 500, "InternalError"),
    "put: 409": _write_fault("PutObject", 409, "ConditionalRequestConflict"),
    "put: 403": _write_fault("PutObject", 403, "AccessDenied"),
    "put: reset": _write_reset("PutObject"),
    "put: done and reset": _write_reset("PutObject", after=True),
    "put: nothing": lambda bucket, key: bucket.stall("PutObject", key),
    "put: garbage": _write_raw("PutObject", BROKEN),
    "put: too long": _write_fault("PutObject", 400, "MetadataTooLarge"),
    "untrue: 200": lambda bucket, key: bucket.swallow("PutObject", key),
    "untrue: 412": _write_fault("PutObject", 412, "PreconditionFailed"),
}

UPLOADS: dict[str, Arm] = {
    # An upload that was created cannot be aborted if its id is lost: so never a reset after that.
    "create: SlowDown": _write_fault("CreateMultipartUpload", 503, "SlowDown"),
    "create: 403": _write_fault("CreateMultipartUpload", 403, "AccessDenied"),
    "create: reset": _write_reset("CreateMultipartUpload"),
    "create: garbage": _write_raw("CreateMultipartUpload", GARBAGE),
    "part: SlowDown": _write_fault("UploadPart", 503, "SlowDown"),
    "part: 403": _write_fault("UploadPart", 403, "AccessDenied"),
    "part: reset": _write_reset("UploadPart"),
    "part: done and reset": _write_reset("UploadPart", after=True),
    "part: nothing": lambda bucket, key: bucket.stall("UploadPart", key),
    "part: garbage": _write_raw("UploadPart", GARBAGE),
    "complete: 200 with an error": _write_fault("CompleteMultipartUpload", 200, "InternalError"),
    "complete: 500": _write_fault("CompleteMultipartUpload", 500, "InternalError"),
    "complete: 409": _write_fault("CompleteMultipartUpload", 409, "ConditionalRequestConflict"),
    "complete: reset": _write_reset("CompleteMultipartUpload"),
    "complete: done and reset": _write_reset("CompleteMultipartUpload", after=True),
    "complete: nothing": lambda bucket, key: bucket.stall("CompleteMultipartUpload", key),
    "untrue: 412 to the completion": _write_fault("CompleteMultipartUpload", 412, "PreconditionFailed"),
    "abort: SlowDown": _write_fault("AbortMultipartUpload", 503, "SlowDown"),
    "abort: done and reset": _write_reset("AbortMultipartUpload", after=True),
}

WRITES = {**PUTS, **UPLOADS}
