"""An origin and a bucket that send anything at all.

The client gets a clean answer, nothing partial is stored, and the next request works.
"""

from __future__ import annotations

import gzip

import pytest

from doubles import replies
from doubles.replies import Script, Then

from .client import Answer
from .conftest import Unique
from .site import Site

BODY = b"0123456789" * 100
GOOD = replies.resource(BODY)
GOOD_BYTES = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY
ZIPPED = gzip.compress(BODY, mtime=0)


def header(line: bytes) -> Script:
    return replies.with_header_bytes(line, BODY)


def start(line: bytes) -> Script:
    """Makes a status line, then a decent message."""
    return replies.raw(line + b"\r\nContent-Length: 1000\r\n\r\n" + BODY, Then.CLOSE)


ODD_BUT_WHOLE = {
    "a content range for the whole object": replies.partial("bytes 0-999/1000", BODY),
    "a latin-1 content type": header(b"Content-Type: text/plain; name=\xe4.txt"),
    "a latin-1 disposition": header(b'Content-Disposition: inline; filename="\xe4.txt"'),
    "a latin-1 etag": header(b'ETag: "\xe4"'),
    "a latin-1 header": header(b"X-Greeting: gr\xfc\xdfe"),
    "a status line without a reason": start(b"HTTP/1.1 200 "),
    "chunks with extensions and a trailer": replies.chunked(BODY),
    "early hints first": replies.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + GOOD_BYTES),
    "http/1.0": start(b"HTTP/1.0 200 OK"),
    "more than it announced": replies.announcing(1000, BODY + b"and then some"),
    "ninety headers": replies.many_headers(90, BODY),
}

HOPELESS = {
    "2,000 headers": replies.many_headers(2000, BODY),
    "33 MiB without ranges": replies.resource(bytes(33 << 20), ranges=False),
    "a body cut by a close": replies.cut_after(500, GOOD, Then.CLOSE),
    "a body cut by a reset": replies.cut_after(500, GOOD, Then.RESET),
    "a body that ends with the connection, so nobody knows if it is whole": replies.close_delimited(BODY),
    "a body that stalls": replies.cut_after(500, GOOD, Then.STALL),
    "a chunked body that is cut": replies.cut_after(500, replies.chunked(BODY), Then.CLOSE),
    "a chunk size that is no number": replies.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"
    ),
    "a close instead of an answer": replies.raw(b"", Then.CLOSE),
    "a header of 100 KiB": header(b"X-Long: " + b"x" * 100_000),
    "a header whose name is latin-1": header(b"X-Gr\xfc\xdfe: 1"),
    "a header with a nul": header(b"Content-Type: text/\x00html"),
    "a negative length": replies.announcing(-1, BODY),
    "a reset instead of an answer": replies.raw(b"", Then.RESET),
    "a status line that is none": start(b"HELO 200 OK"),
    "a status of four digits": start(b"HTTP/1.1 2000 OK"),
    "a transfer coding that nobody knows": replies.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: brotli\r\n\r\nhello", Then.CLOSE
    ),
    "less than it announced": replies.announcing(2000, BODY),
    "noise": replies.raw(bytes(range(256)) * 4, Then.CLOSE),
    "partial with a length that is not the range's": replies.partial("bytes 0-1999/2000", BODY),
    "partial with a range that starts later": replies.partial("bytes 1-1000/1001", BODY),
    "partial with a range upside down": replies.partial("bytes 999-0/1000", BODY),
    "partial with a range without a total": replies.partial("bytes 0-999/*", BODY),
    "partial with a total below the range": replies.partial("bytes 0-999/500", BODY),
    "partial with a total beyond 64 bits": replies.partial("bytes 0-999/99999999999999999999999", BODY),
    "partial with a total that promises more": replies.partial("bytes 0-999/2000", BODY),
    "partial with another unit": replies.partial("lines 0-999/1000", BODY),
    "partial with nonsense": replies.partial("\u00e4", BODY),
    "partial without a range": replies.status(206, {}, BODY),
    "redirect": replies.status(302, {"Location": "http://169.254.169.254/latest/meta-data"}),
    "silence": replies.silent(),
    "switching protocols": replies.raw(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Then.CLOSE
    ),
    "two lengths": header(b"Content-Length: 5"),
    "unsatisfiable without a total": replies.status(416),
    **{f"status {code}": replies.status(code) for code in (201, 202, 203, 205, 300, 304, 305)},
    "status 204": replies.raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "status 999": start(b"HTTP/1.1 999 Request denied"),
}


def assert_clean_error(answer: Answer) -> None:
    assert answer.status in (502, 504), answer
    assert answer.outcome in ("origin_refused", "origin_timeout", "origin_unavailable", "too_large")
    assert answer.body.startswith(b"<?xml")
    assert BODY[:100] not in answer.body


@pytest.mark.parametrize("script", ODD_BUT_WHOLE.values(), ids=ODD_BUT_WHOLE)
def test_an_odd_answer_that_is_whole_is_stored(strict: Site, unique: Unique, script: Script) -> None:
    path = unique(under="/impatient")
    strict.origin.script(path, script)
    miss = strict.ask(path)
    assert (miss.status, miss.outcome) == (302, "stored")
    hit = strict.follow(miss)
    assert (hit.status, hit.body) == (200, BODY)
    strict.assert_module_healthy()


@pytest.mark.parametrize("script", HOPELESS.values(), ids=HOPELESS)
def test_garbage_is_a_clean_error_and_the_next_request_works(
    strict: Site, unique: Unique, script: Script
) -> None:
    path = unique(under="/impatient")
    strict.origin.script(path, script)
    assert_clean_error(strict.ask(path))
    assert strict.stored(path) is None
    strict.assert_module_healthy()
    strict.origin.script(path, GOOD)
    assert strict.follow(strict.ask(path)).body == BODY


def test_a_compressed_body_is_stored_as_it_came_with_its_encoding(strict: Site, unique: Unique) -> None:
    path = unique(under="/impatient")
    strict.origin.put(path, ZIPPED, {"Content-Encoding": "gzip"})
    hit = strict.follow(strict.ask(path))
    assert (hit.status, hit.body, hit.header("content-encoding")) == (200, ZIPPED, "gzip")


@pytest.mark.parametrize("separator", [b"\r", b"\r\n ", b"\r\n\t"])
def test_a_broken_line_in_a_header_of_the_origin_makes_no_other_header(
    strict: Site, unique: Unique, separator: bytes
) -> None:
    path = unique(under="/impatient")
    strict.origin.script(path, header(b"Content-Type: text/html" + separator + b"X-Amz-Acl: public-read"))
    assert strict.ask(path).status in (302, 502)
    for put in strict.store.calls("PutObject", path[1:]):
        assert put.request.header("x-amz-acl") is None


def error(status: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b No\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


DOCUMENT = b"<Error><Code>NoSuchKey</Code></Error>"
ODD_MISSES = {
    "a document without a length": b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" + DOCUMENT,
    "a latin-1 header": error(b"404", DOCUMENT, b"X-Latin: \xe4\r\nServer: \xff\r\n"),
    "a page": error(b"404", b"<html>not found</html>", b"Content-Type: text/html\r\n"),
    "noise": error(b"404", bytes(range(256))),
    "nothing": error(b"404", b""),
    "half a megabyte": error(b"404", DOCUMENT + b" " * (1 << 19)),
    "half a megabyte of noise": error(b"404", bytes(range(256)) * 2048),
}


@pytest.mark.parametrize("data", ODD_MISSES.values(), ids=ODD_MISSES)
@pytest.mark.parametrize("found", [True, False])
def test_a_404_of_the_bucket_is_a_miss_whatever_it_looks_like(
    strict: Site, unique: Unique, data: bytes, found: bool
) -> None:
    path = unique(under="/impatient")
    strict.store.raw("GetObject", path[1:], data)
    if found:
        strict.origin.script(path, GOOD)
    answer = strict.ask(path)
    assert (answer.status, answer.outcome) == ((302, "stored") if found else (404, "not_found"))
    strict.assert_module_healthy()
    assert strict.ask(path).status == (200 if found else 404)


UNFINISHED = {
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 500\r\n\r\n<Error><Co",
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\n<Error><Co",
    "404 in chunks": b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n<Error>",
}


@pytest.mark.parametrize("data", UNFINISHED.values(), ids=UNFINISHED)
def test_a_denial_that_breaks_off_is_502_and_the_next_request_works(
    strict: Site, unique: Unique, data: bytes
) -> None:
    """Envoy itself answers in place of a bucket that resets while its answer is held."""
    path = unique(under="/impatient")
    strict.origin.script(path, GOOD)
    strict.store.raw("GetObject", path[1:], data)
    answer = strict.ask(path)
    assert (answer.status, answer.outcome) == (502, None)
    strict.assert_module_healthy()
    assert strict.follow(strict.ask(path)).body == BODY


@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize("data", UNFINISHED.values(), ids=UNFINISHED)
def test_a_denial_that_stalls_does_not_hold_the_client(
    strict: Site, unique: Unique, data: bytes, found: bool
) -> None:
    path = unique(under="/impatient")
    if found:
        strict.origin.script(path, GOOD)
    strict.store.raw("GetObject", path[1:], data, stall=True)
    with strict.open(timeout=5) as client:
        for expected in [302, 200] if found else [404, 404]:
            client.send("GET", path)
            assert client.receive("GET").status == expected
    strict.assert_module_healthy()


ODD_PUTS = {
    "200 cut": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello",
    "latin-1": b"HTTP/1.1 403 \xe4\r\nX-Latin: \xe4\r\nContent-Length: 1\r\n\r\n\xff",
    "noise": bytes(range(256)),
    "nothing": b"",
    "redirect": b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("data", ODD_PUTS.values(), ids=ODD_PUTS)
def test_a_store_that_answers_a_put_with_garbage_does_not_break_the_site(
    strict: Site, unique: Unique, data: bytes
) -> None:
    path = unique(under="/impatient")
    strict.origin.script(path, GOOD)
    strict.store.raw("PutObject", path[1:], data, times=3)
    answer = strict.ask(path)
    assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY)
    strict.assert_module_healthy()
