"""The large origin gives the right bytes, and notices everything that the tests rely on."""

from __future__ import annotations

import hashlib
import http.client
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from doubles.large_origin import PERIOD, Large, LargeOrigin, Trouble

SIZE = 2 * PERIOD + 5


@pytest.fixture
def origin() -> Iterator[LargeOrigin]:
    with LargeOrigin() as origin:
        yield origin


def ask(origin: LargeOrigin, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    return connection.getresponse()


def test_the_whole_has_the_digest_that_it_should(origin: LargeOrigin) -> None:
    large = origin.put("/a", Large(SIZE))
    body = ask(origin, "/a").read()
    assert len(body) == SIZE
    assert hashlib.sha256(body).hexdigest() == large.sha256()
    assert body == large.content(range(SIZE))


def test_ranges_are_pieces_of_the_whole_wherever_they_begin(origin: LargeOrigin) -> None:
    large = origin.put("/a", Large(SIZE))
    whole = large.content(range(SIZE))
    for first, last in [(0, 0), (PERIOD - 1, PERIOD), (PERIOD - 1, SIZE - 1), (SIZE - 1, SIZE + 100)]:
        part = ask(origin, "/a", range=f"bytes={first}-{last}")
        assert part.status == 206
        assert part.read() == whole[first : last + 1]
        assert part.getheader("content-range") == f"bytes {first}-{min(last, SIZE - 1)}/{SIZE}"
    assert origin.ranges("/a")[1] == range(PERIOD - 1, PERIOD + 1)
    assert ask(origin, "/a", range=f"bytes={SIZE}-").getheader("content-range") == f"bytes */{SIZE}"


def test_equal_parts_of_an_object_and_equal_parts_of_versions_differ() -> None:
    part = 8 << 20
    old, new = Large(4 * part), Large(4 * part, version=2)
    spans = [range(start, start + part) for start in range(0, old.size, part)]
    assert len({version.content(span) for version in (old, new) for span in spans}) == 8


def test_an_origin_without_ranges_gives_everything(origin: LargeOrigin) -> None:
    origin.put("/a", Large(10, ranges=False))
    answer = ask(origin, "/a", range="bytes=0-0")
    assert (answer.status, len(answer.read())) == (200, 10)


def test_head_has_the_length_and_no_body(origin: LargeOrigin) -> None:
    origin.put("/a", Large(1 << 40))
    answer = ask(origin, "/a", "HEAD")
    assert (answer.getheader("content-length"), answer.read()) == (str(1 << 40), b"")


def test_conditions_are_evaluated_or_not(origin: LargeOrigin) -> None:
    large = origin.put("/a", Large(10))
    origin.put("/careless", Large(10, conditions=False))
    origin.put("/weak", Large(10, etag='W/"1"'))
    date = large.last_modified or ""
    earlier = "Tue, 14 Nov 2000 00:00:00 GMT"
    assert ask(origin, "/a", if_match='"1"', if_unmodified_since=earlier).status == 200
    assert ask(origin, "/a", if_match='"2"', if_unmodified_since=date).status == 412
    assert ask(origin, "/a", if_unmodified_since=date).status == 200
    assert ask(origin, "/a", if_unmodified_since=earlier).status == 412
    assert ask(origin, "/weak", if_match='W/"1"').status == 412
    assert ask(origin, "/careless", if_match='"2"').status == 200


def test_a_new_version_appears_after_as_many_requests_as_told(origin: LargeOrigin) -> None:
    origin.put("/a", Large(10))
    new = origin.replace("/a", Large(10, version=2, etag='"2"'), after=2)
    answers = [ask(origin, "/a") for _ in range(4)]
    assert [answer.getheader("etag") for answer in answers] == ['"1"', '"1"', '"2"', '"2"']
    assert answers[3].read() == new.content(range(10))


def test_troubles_strike_where_and_as_often_as_told(origin: LargeOrigin) -> None:
    origin.put("/a", Large(SIZE))
    origin.fault("/a", Trouble.UNAVAILABLE, at=5, times=2)
    assert [ask(origin, "/a", range="bytes=5-9").status for _ in range(3)] == [503, 503, 206]
    assert ask(origin, "/a", range="bytes=4-9").status == 206
    origin.fault("/a", Trouble.UNAVAILABLE, times=math.inf)
    assert [ask(origin, "/a").status for _ in range(3)] == [503] * 3


def test_bodies_that_do_not_end_as_they_should(origin: LargeOrigin) -> None:
    troubles = {"/cut": Trouble.TRUNCATED, "/lie": Trouble.OTHER_RANGE, "/reset": Trouble.RESET}
    for path, trouble in troubles.items():
        origin.put(path, Large(SIZE))
        origin.fault(path, trouble)
    with pytest.raises(ConnectionResetError):
        ask(origin, "/reset").read()
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(origin, "/cut").read()
    assert len(cut.value.partial) == SIZE // 2
    assert ask(origin, "/lie", range="bytes=0-9").getheader("content-range") == f"bytes 1-10/{SIZE}"


def test_a_stall_lasts_until_the_origin_stops() -> None:
    with LargeOrigin() as origin:
        origin.put("/a", Large(10))
        origin.fault("/a", Trouble.STALL)
        answer = ask(origin, "/a")
        assert answer.read(5) == Large(10).content(range(5))
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()


def test_a_held_range_is_answered_once_the_gate_opens(origin: LargeOrigin) -> None:
    origin.put("/a", Large(10))
    gate = origin.hold("/a", at=5)
    held = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=10)
    held.request("GET", "/a", headers={"range": "bytes=5-"})
    origin.wait_for("/a")
    assert ask(origin, "/a", range="bytes=0-4").status == 206
    gate.open()
    assert held.getresponse().status == 206


def test_a_slow_origin_sends_no_faster_than_its_line_to_all_together() -> None:
    with LargeOrigin(rate=8e6) as origin:
        large = origin.put("/a", Large(1 << 20))
        begun = time.monotonic()
        answers = [ask(origin, "/a") for _ in range(2)]
        with ThreadPoolExecutor() as pool:
            bodies = list(pool.map(lambda answer: answer.read(), answers))
        assert time.monotonic() - begun >= 2 * large.size / 8e6
        assert bodies == [large.content(range(large.size))] * 2
    # Once it has stopped, it has counted its last piece, too.
    assert origin.sent["/a"] == 2 * large.size


def test_a_file_is_an_object(tmp_path: Path) -> None:
    file = tmp_path / "film"
    file.write_bytes(bytes(range(200)))
    with LargeOrigin() as origin:
        large = origin.put("/a", Large(200, file=file, content_type="video/mp2t"))
        part = ask(origin, "/a", range="bytes=150-")
        assert (part.read(), part.getheader("content-type")) == (bytes(range(150, 200)), "video/mp2t")
        assert large.sha256() == hashlib.sha256(ask(origin, "/a").read()).hexdigest()
