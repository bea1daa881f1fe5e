"""What a store must do behind the edge. Each check reads cold keys of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from doubles.replies import Reply, resource, status
from doubles.wire import Request
from e2e.client import Answer

from . import identities
from .trial import Check, Trial, must, told

MIB = 1 << 20
PART = 6 * MIB
"""The default of `limits.part_size`."""

CLIENTS = 20

PATIENCE = 20.0
"""The seconds after which what a failed fill has begun must be gone."""

HOSTILE = [
    "blanks and  more.txt",
    "plus+minus-tilde~star*.txt",
    "percent%41%2F.txt",
    "what?&=#;,.txt",
    "(paren)[bracket]{brace}'quote'\"double\".txt",
    "colon:at@dollar$bang!pipe|caret^tick`.txt",
    "größe-Ω-写真-🙂.jpg",
    "e\u0301 is not \u00e9.txt",
    "日本語の長い名前の写真が三十文字もあるので値が長くなる.jpg",
    ".hidden/..three/...dots",
    "UPPER and upper",
    "/".join(["a-name-of-one-hundred-bytes".ljust(100, "-")] * 9),
]

HEADERS = {
    "Content-Type": "text/css; charset=utf-8",
    "Cache-Control": "public, max-age=60",
    "Content-Language": "de",
    "Content-Disposition": 'attachment; filename="a.css"',
}


def content(size: int, seed: object = 0) -> bytes:
    return random.Random(f"{size}-{seed}").randbytes(size)


def small(trial: Trial) -> None:
    body = content(1000)
    answer = trial.stores(trial.offer("a.css", body, HEADERS), body)
    for name, value in HEADERS.items():
        given = answer.header(name.lower())
        must(given == value, f"a stored object has {name}: {given}")


def empty(trial: Trial) -> None:
    trial.stores(trial.offer("nothing.txt", b""), b"")


def around_a_part(trial: Trial) -> None:
    for size in (PART - 1, PART, PART + 1):
        body = content(size)
        trial.stores(trial.offer(f"of-{size}", body), body, f"an object of {size} bytes")


def several_parts(trial: Trial) -> None:
    body = content(3 * PART + 7)
    answer = trial.stores(trial.offer("large.css", body, HEADERS), body)
    given = answer.header("content-type")
    must(given == HEADERS["Content-Type"], f"an object of several parts has Content-Type: {given}")


def hostile_keys(trial: Trial) -> None:
    for name in HOSTILE:
        body = name.encode()
        trial.stores(trial.offer(name, body), body, f"`{name[:40]}`")


def heads(trial: Trial) -> None:
    body = content(1000)
    key = trial.offer("a.css", body, HEADERS)
    for what in ("a HEAD of a cold key", "a HEAD of a stored key"):
        answer = trial.reads(key, "HEAD")
        given = answer.status, answer.header("content-length"), answer.header("content-type")
        must(given == (200, "1000", HEADERS["Content-Type"]), f"{what} is {given}")
        trial.has(key, body)
    missing = trial.reads(trial.key("missing"), "HEAD")
    must(missing.status == 404, f"a HEAD of what no origin has is {told(missing)}")
    missing = trial.reads(trial.key("missing"))
    must(missing.status == 404, f"a GET of what no origin has is {told(missing)}")


def ranges(trial: Trial) -> None:
    body = content(PART + 1000)
    key = trial.offer("large", body)
    last = len(body) - 1
    for asked, first, end in (
        ("5-9", 5, 9),
        ("-7", last - 6, last),
        (f"{PART - 5}-", PART - 5, last),
        ("0-0", 0, 0),
    ):
        answer = trial.reads(key, headers=[("range", f"bytes={asked}")])
        must(answer.status == 206, f"`bytes={asked}` is {told(answer)}")
        must(answer.body == body[first : end + 1], f"`bytes={asked}` has {len(answer.body)} bytes")
        span = answer.header("content-range")
        must(span == f"bytes {first}-{end}/{len(body)}", f"`bytes={asked}` has Content-Range: {span}")
    beyond = trial.reads(key, headers=[("range", f"bytes={len(body)}-")])
    must(beyond.status == 416, f"a range beyond the end is {told(beyond)}")


def conditional_reads(trial: Trial) -> None:
    body = content(1000)
    tag = trial.stores(trial.offer("a", body), body).header("etag") or ""
    for header, value, expected in (
        ("if-none-match", tag, 304),
        ("if-match", '"another"', 412),
        ("if-match", tag, 200),
    ):
        answer = trial.reads(trial.key("a"), headers=[(header, value)])
        must(answer.status == expected, f"`{header}: {value}` is {told(answer)}, not {expected}")


def part_numbers(trial: Trial) -> None:
    body = content(PART + 1000)
    answer = trial.reads(trial.offer("large", body), query="?partNumber=2")
    must(answer.status == 206, f"`?partNumber=2` is {told(answer)} with {len(answer.body)} bytes")
    must(answer.body == body[PART:], f"`?partNumber=2` has {len(answer.body)} bytes")
    count = answer.header("x-amz-mp-parts-count")
    must(count == "2", f"`x-amz-mp-parts-count` is {count}")


def another_writer(trial: Trial) -> None:
    """Has somebody else store another object while the origin is asked."""
    theirs = b"what another writer stored"
    key = trial.offer("a", content(1000))
    gate = trial.origin.hold(f"/{key}")
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(trial.reads, key)
        try:
            trial.origin.wait_for(f"/{key}")
            trial.bucket.put(key, theirs)
        finally:
            gate.open()
        _theirs(trial, key, theirs, answer.result())


def another_writer_of_parts(trial: Trial) -> None:
    """The same in the middle of an object of several parts."""
    theirs = b"what another writer stored"
    body = content(3 * PART)
    key = trial.key("large")
    begun = Event()

    def script(request: Request) -> Reply:
        if _begins_at(request) >= PART and not begun.is_set():
            begun.set()
            trial.bucket.put(key, theirs)
        return resource(body)(request)

    trial.offer_by("large", script)
    answer = trial.reads(key)
    must(begun.is_set(), f"it was not fetched in parts: {told(answer)}")
    _theirs(trial, key, theirs, answer)
    _nothing_is_left(trial)


def _theirs(trial: Trial, key: str, theirs: bytes, answer: Answer) -> None:
    must(trial.bucket.get(key) == theirs, f"another writer's object is overwritten: {told(answer)}")
    must(answer.body == theirs, f"another writer's object stays, and the client gets {told(answer)}")


def many_clients(trial: Trial) -> None:
    body = content(PART + 1000)
    key = trial.offer("large", body)
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda _: trial.reads(key), range(CLIENTS)))
    wrong = [told(answer) for answer in answers if (answer.status, answer.body) != (200, body)]
    must(not wrong, f"{len(wrong)} of {CLIENTS} clients of one key get {', '.join(sorted(set(wrong)))}")
    fetched = trial.fetched(key)
    must(len(fetched) == len(set(fetched)), f"the origin is asked {len(fetched)} times for one object")
    trial.stores(key, body)


def many_keys(trial: Trial) -> None:
    bodies = {}
    for number in range(CLIENTS):
        body = content(50_000, number)
        bodies[trial.offer(str(number), body)] = body
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = dict(zip(bodies, clients.map(trial.reads, bodies), strict=True))
    wrong = [told(answers[key]) for key, body in bodies.items() if answers[key].body != body]
    must(not wrong, f"{len(wrong)} of {CLIENTS} keys at once get {', '.join(sorted(set(wrong)))}")
    for key, body in bodies.items():
        must(trial.bucket.get(key) == body, f"one of {CLIENTS} keys at once is not stored")


def prefix_keys(trial: Trial) -> None:
    """Reads a key that begins another one's path, in both orders."""
    bodies = {trial.offer(name, content(99, name)): content(99, name) for name in ("a", "a/b", "c/d", "c")}
    for _ in range(2):
        for key, body in bodies.items():
            trial.has(key, body, f"`{key.removeprefix(trial.prefix)}`")
    lost = [key for key, body in bodies.items() if trial.bucket.get(key) != body]
    if lost:
        names = ", ".join(f"`{key.removeprefix(trial.prefix)}`" for key in lost)
        must(False, f"served, and not stored: {names}")


def other_spellings(trial: Trial) -> None:
    """Reads keys that some server reads as another one, which must not be filled by them."""
    for name in ("b//a", "c\\a"):
        plain = name.replace("//", "/").replace("\\", "/")
        body, other = content(99, plain), content(99, name)
        trial.offer(plain, body)
        trial.offer(name, other)
        answer = trial.reads(trial.key(name))
        must(answer.status == 200, f"`{name}` is {told(answer)}")
        must(trial.bucket.get(trial.key(plain)) is None, f"`{plain}` is filled by `{name}`")
        trial.stores(trial.key(plain), body, f"`{plain}` after `{name}`")
    page = trial.offer("page/", content(99))
    must(trial.reads(page).status in (200, 403, 404), f"`page/` is {told(trial.reads(page))}")
    trial.stores(trial.offer("page", content(98)), content(98), "`page` after `page/`")


def long_names(trial: Trial) -> None:
    """Reads a key with a segment that no file's name may have: the client gets the object."""
    body = content(99)
    key = trial.offer("n" * 300, body)
    trial.has(key, body, "a segment of 300 bytes")
    try:
        trial.bucket.get(key)
    except OSError:
        must(False, "the server ends")


def ended_uploads(trial: Trial) -> str | None:
    """Reads an object whose second part the origin refuses."""
    body = content(3 * PART)

    def script(request: Request) -> Reply:
        return resource(body)(request) if _begins_at(request) < PART else status(500)(request)

    key = trial.offer_by("large", script)
    answer = trial.reads(key)
    must(answer.status == 502, f"an object that the origin cannot give is {told(answer)}")
    must(trial.bucket.get(key) is None, "a part of an object is stored as the whole")
    return _nothing_is_left(trial)


def _nothing_is_left(trial: Trial) -> str | None:
    end = time.monotonic() + PATIENCE
    while left := _uploads(trial):
        must(time.monotonic() < end, f"{left} uploads are left")
        time.sleep(0.2)
    return None if left is not None else "it does not list uploads"


def _uploads(trial: Trial) -> int | None:
    """Counts what was begun and did not end; None if the store does not tell."""
    try:
        return len(trial.bucket.uploads(trial.prefix))
    except AssertionError:
        return None


def _begins_at(request: Request) -> int:
    """Returns the first byte that is asked for."""
    asked = (request.header("range") or "bytes=0-").removeprefix("bytes=")
    return int(asked.partition("-")[0] or 0)


CHECKS: Mapping[str, Check] = {
    "a small object, with its headers": small,
    "an empty object": empty,
    "6 MiB - 1, 6 MiB, 6 MiB + 1": around_a_part,
    "an object of four parts": several_parts,
    "hostile keys": hostile_keys,
    "HEAD, and what is not there": heads,
    "ranges": ranges,
    "conditions of reads": conditional_reads,
    "parts by number": part_numbers,
    "another writer meanwhile": another_writer,
    "another writer, several parts": another_writer_of_parts,
    "20 clients of one key": many_clients,
    "20 keys at once": many_keys,
    "a key that is another's prefix": prefix_keys,
    "`a//b`, `a\\b` and `a/`": other_spellings,
    "uploads that fail are aborted": ended_uploads,
    "a reader that may not list": identities.blind_reader,
    "a writer that may not write": identities.powerless_writer,
    "a reader with a wrong key": identities.wrong_reader,
    "no such bucket": identities.no_such_bucket,
    "what is deleted stays deleted": identities.deleted,
    "the bucket in the host": identities.virtual_hosted,
    "a segment of 300 bytes": long_names,
}
