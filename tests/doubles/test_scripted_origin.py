"""The scripted origin sends and records everything that the tests rely on."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from doubles import ScriptedOrigin, replies
from doubles.replies import LAST_MODIFIED, Then


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as origin:
        yield origin


def ask(origin: ScriptedOrigin, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=10)
    connection.request("GET", path, headers=headers or {})
    return connection.getresponse()


def everything_sent(origin: ScriptedOrigin, path: str) -> bytes:
    """Returns all bytes until the origin closes."""
    with socket.create_connection(("127.0.0.1", origin.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_an_object_is_served_whole_and_in_ranges(origin: ScriptedOrigin) -> None:
    origin.put("/a", b"hello", {"Content-Type": "text/plain"})
    whole, part = ask(origin, "/a"), ask(origin, "/a", {"Range": "bytes=1-2"})
    assert (whole.status, whole.read(), whole.getheader("content-type")) == (200, b"hello", "text/plain")
    assert (part.status, part.read(), part.getheader("content-range")) == (206, b"el", "bytes 1-2/5")
    assert part.getheader("etag") == whole.getheader("etag")


def test_a_range_of_an_empty_object_is_416(origin: ScriptedOrigin) -> None:
    origin.put("/empty", b"")
    answer = ask(origin, "/empty", {"Range": "bytes=0-99"})
    assert (answer.status, answer.getheader("content-range")) == (416, "bytes */0")
    assert ask(origin, "/empty").status == 200


def test_an_object_without_ranges_ignores_them(origin: ScriptedOrigin) -> None:
    origin.put("/a", b"hello", ranges=False)
    answer = ask(origin, "/a", {"Range": "bytes=1-2"})
    assert (answer.status, answer.read()) == (200, b"hello")


def test_if_match_fails_once_the_object_has_changed(origin: ScriptedOrigin) -> None:
    origin.script("/a", replies.resource(b"old"), replies.resource(b"new"))
    etag = ask(origin, "/a").getheader("etag") or ""
    assert ask(origin, "/a", {"If-Match": etag}).status == 412


def test_a_weak_tag_matches_nothing_and_a_date_counts_where_no_tag_is_named(origin: ScriptedOrigin) -> None:
    origin.put("/b", b"hello", {"ETag": 'W/"weak"'})
    assert ask(origin, "/b", {"If-Match": 'W/"weak"'}).status == 412
    assert ask(origin, "/b", {"If-Unmodified-Since": LAST_MODIFIED}).status == 200
    earlier = formatdate(1_699_999_999, usegmt=True)
    assert ask(origin, "/b", {"If-Unmodified-Since": earlier}).status == 412


def test_unknown_paths_are_404_and_everything_is_recorded(origin: ScriptedOrigin) -> None:
    assert ask(origin, "//x%2F?a=b", {"X-Foo": "1"}).status == 404
    (request,) = origin.asked("//x%2F")
    assert (request.line, request.header("x-foo")) == ("GET //x%2F?a=b HTTP/1.1", "1")


def test_chunks_and_a_body_that_ends_with_the_connection(origin: ScriptedOrigin) -> None:
    body = bytes(range(256)) * 10
    origin.script("/chunked", replies.chunked(body))
    origin.script("/close", replies.close_delimited(body))
    assert ask(origin, "/chunked").read() == ask(origin, "/close").read() == body


def test_a_body_that_is_cut_short(origin: ScriptedOrigin) -> None:
    origin.script("/close", replies.cut_after(3, replies.resource(b"hello"), Then.CLOSE))
    origin.script("/reset", replies.cut_after(3, replies.resource(b"hello"), Then.RESET))
    with pytest.raises(http.client.IncompleteRead):
        ask(origin, "/close").read()
    with pytest.raises(ConnectionResetError):
        ask(origin, "/reset").read()


def test_bytes_go_out_as_they_are(origin: ScriptedOrigin) -> None:
    origin.script("/raw", replies.raw(b"\xff\x00nonsense", Then.CLOSE))
    origin.script("/long", replies.announcing(3, b"hello"))
    assert everything_sent(origin, "/raw") == b"\xff\x00nonsense"
    assert everything_sent(origin, "/long").endswith(b"Content-Length: 3\r\n\r\nhello")


def test_a_held_path_answers_once_the_gate_opens(origin: ScriptedOrigin) -> None:
    origin.put("/a", b"hello")
    gate = origin.hold("/a")
    bodies: list[bytes] = []
    client = threading.Thread(target=lambda: bodies.append(ask(origin, "/a").read()))
    client.start()
    origin.wait_for("/a")
    assert bodies == []
    gate.open()
    client.join(10)
    assert bodies == [b"hello"]


def test_silence_does_not_keep_the_origin_from_stopping() -> None:
    with ScriptedOrigin() as origin:
        origin.script("/silent", replies.silent())
        connection = socket.create_connection(("127.0.0.1", origin.port))
        connection.sendall(b"GET /silent HTTP/1.1\r\n\r\n")
        origin.wait_for("/silent")
    assert connection.recv(1) == b""
    connection.close()
