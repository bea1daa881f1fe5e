"""The plan of a seed: objects, the faults of each, and visits of clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from doubles import StrictBucket, replies
from doubles.replies import Reply, Script, Then
from doubles.wire import Request

MIB = 1 << 20
PART_SIZE = 5 * MIB
"""S3's smallest, so that a film of a few parts is soon made."""

OBJECTS = 40
VISITS = 220
SPAN = 1.5
"""The seconds over which the visits are spread: most come while something is filled, some long after."""

FAMILIES = ("plain", "backed-up", "dead")
"""Prefixes with a rule each: a working origin; a dead one and then a working one; only a dead one."""

Arm = Callable[[StrictBucket, str], None]
"""A function that makes the next request for a key fail."""


@dataclass
class Thing:
    """A path, the origin's answer there, and its faults."""

    path: str
    content: bytes | None = field(repr=False)
    """None: the origin does not have it."""
    drips: bool
    """The origin sends it slowly."""
    origin: list[str]
    """The origin's answers before the object, and the form of the last one."""
    reads: list[str]
    """The bucket's answers to its first readers."""
    writes: list[str]
    """The bucket's answers to the first attempts to store it."""

    @property
    def key(self) -> str:
        return self.path[1:]

    @property
    def is_calm(self) -> bool:
        """Tells if nothing goes wrong, so that the object or its absence is the only possible result."""
        return not (self.origin[:-1] or self.reads or self.writes or self.path.startswith("/dead/"))

    @property
    def is_in_doubt(self) -> bool:
        """Tells if only the dead origin, which is asked first, could know the object."""
        return self.content is None and self.path.startswith("/backed-up/")

    @property
    def may_be_lost(self) -> bool:
        """Tells if the store claims to hold an object that it does not hold."""
        return any(name.startswith("untrue: ") for name in self.writes)

    def scripts(self) -> list[Script]:
        content = b"" if self.content is None else self.content
        return [_without_body_for_head(ANSWERS[name](self.path, content)) for name in self.origin]

    def arm(self, bucket: StrictBucket) -> None:
        for name in self.reads:
            READS[name](bucket, self.key)
        for name in self.writes:
            WRITES[name](bucket, self.key)


@dataclass(frozen=True)
class Visit:
    """One client: the time of its visit, its request, and its patience."""

    at: float
    method: str
    thing: Thing
    span: tuple[int, int] | None
    """The bytes of a Range."""
    leaves_after: float | None


@dataclass(frozen=True)
class Plan:
    seed: int
    things: list[Thing]
    visits: list[Visit]


def plan(seed: int) -> Plan:
    random = Random(seed)
    things = [_thing(random, seed, number) for number in range(OBJECTS)]
    visits = [_visit(random, things) for _ in range(VISITS)]
    return Plan(seed, things, visits)


def _thing(random: Random, seed: int, number: int) -> Thing:
    family = "plain" if number < 2 else random.choices(FAMILIES, weights=(7, 2, 1))[0]
    path = f"/{family}/{seed}-{number}.bin"
    # Two films, many small objects, an empty one now and then, and many that are missing.
    if number < 2:
        content: bytes | None = random.randbytes(PART_SIZE + random.randrange(1, 2 * PART_SIZE))
    elif random.random() < 0.2:
        content = None
    else:
        content = random.randbytes(random.choice((0, 1, 300, 5_000, 40_000, 300_000)))
    if random.random() < 0.25:
        return Thing(path, content, False, [_last(random, content)], [], [])
    is_film = content is not None and len(content) > PART_SIZE
    # A film's trouble is more often with one of its later parts.
    beginning = ["as it should"] if is_film and random.random() < 0.7 else []
    return Thing(
        path,
        content,
        drips=random.random() < 0.1,
        origin=[*beginning, *_some(random, list(TROUBLE), 0.5), _last(random, content)],
        reads=_some(random, list(READS), 0.3),
        writes=_some(random, list(UPLOADS if is_film else PUTS), 0.5),
    )


def _last(random: Random, content: bytes | None) -> str:
    if content is None:
        return random.choice(ABSENT)
    return random.choices(list(PRESENT), weights=(8, 2, 1))[0]


def _some(random: Random, names: list[str], chance: float) -> list[str]:
    """Picks no fault, or a few, or more than a fill has patience for."""
    return random.choices(names, k=random.randint(1, 8)) if random.random() < chance else []


def _visit(random: Random, things: list[Thing]) -> Visit:
    thing = random.choice(things)
    span = None
    if random.random() < 0.1 and thing.content:
        first = random.randrange(len(thing.content))
        span = (first, random.randrange(first, len(thing.content)))
    return Visit(
        at=random.random() * SPAN,
        method=random.choices(("GET", "HEAD"), weights=(6, 1))[0],
        thing=thing,
        span=span,
        leaves_after=random.random() if random.random() < 0.1 else None,
    )


# The origin's answers for an object. None of them can pass for the whole of another object: a lie that agrees
# with itself is an answer.

Answer = Callable[[str, bytes], Script]

TYPE = {"Content-Type": "image/png"}

PRESENT: dict[str, Answer] = {
    "as it should": lambda _, content: replies.resource(content, TYPE),
    "without ranges": lambda _, content: replies.resource(content, TYPE, ranges=False),
    "in chunks": lambda _, content: replies.chunked(content, 20_000),
}

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
    "a range that is none": lambda _, content: replies.partial("bytes ?-\xe4/*", content),
    "no status": lambda *_: replies.raw(b"HTTP/1.1 \r\n\r\n", Then.CLOSE),
    "no HTTP": lambda *_: replies.raw(b"\x16\x03\x01\x00\xff" * 9, Then.CLOSE),
    "a header of any bytes": lambda _, content: replies.with_header_bytes(b"X-\xff: \xfe\x80", content),
    "a header of control bytes": lambda _, content: replies.with_header_bytes(b"X-A: \x00\x01", content),
    "a thousand headers": lambda _, content: replies.many_headers(1_000, content),
}


def _without_body_for_head(script: Script) -> Script:
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
    "NoSuchBucket": _read_fault(404, "NoSuchBucket"),
    "wrong signature": _read_fault(403, "SignatureDoesNotMatch"),
    "wrong clock": _read_fault(403, "RequestTimeTooSkewed"),
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
    "untrue: complete 412": _write_fault("CompleteMultipartUpload", 412, "PreconditionFailed"),
    "abort: SlowDown": _write_fault("AbortMultipartUpload", 503, "SlowDown"),
    "abort: done and reset": _write_reset("AbortMultipartUpload", after=True),
}

WRITES = {**PUTS, **UPLOADS}
