"""The sample origin: a web server like any other, and a page whose links all lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urljoin, urlsplit

import pytest

from .sample import SITE, SampleOrigin, byte_range

Answer = tuple[int, dict[str, str], bytes]


class Visitor:
    def __init__(self, url: str, log: list[str]) -> None:
        self.log = log
        self._address = urlsplit(url).netloc

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        with closing(HTTPConnection(self._address, timeout=10)) as connection:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            lower_case = {name.lower(): value for name, value in response.getheaders()}
            return response.status, lower_case, response.read()


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    log: list[str] = []
    with SampleOrigin(log.append) as origin:
        yield Visitor(origin.url, log)


def test_a_page_and_its_line_in_the_terminal(visitor: Visitor) -> None:
    status, headers, body = visitor.ask("/index.html?v=1")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert body == (SITE / "index.html").read_bytes()
    assert visitor.log == ["origin: GET /index.html?v=1"]


def test_a_part_has_the_validators_of_the_whole(visitor: Visitor) -> None:
    _, whole, body = visitor.ask("/img/tiles.png")
    status, part, some = visitor.ask("/img/tiles.png", Range="bytes=0-8388607")
    assert (status, some) == (206, body)
    assert part["content-range"] == f"bytes 0-{len(body) - 1}/{len(body)}"
    assert [part[name] for name in ("etag", "last-modified")] == [whole["etag"], whole["last-modified"]]


def test_what_cannot_be_had(visitor: Visitor) -> None:
    assert visitor.ask("/nowhere")[0] == 404
    assert visitor.ask("/../__init__.py")[0] == 404
    status, headers, body = visitor.ask("/img/tiles.png", Range="bytes=99999-")
    assert (status, headers["content-range"], body) == (416, "bytes */920", b"")


def test_head_has_the_length_and_no_body(visitor: Visitor) -> None:
    status, headers, body = visitor.ask("/img/tiles.png", "HEAD")
    assert (status, headers["content-length"], body) == (200, "920", b"")


@pytest.mark.parametrize("page", ["/index.html", *(f"/img/{file.name}" for file in SITE.glob("img/*.svg"))])
def test_every_link_leads_somewhere(visitor: Visitor, page: str) -> None:
    _, _, body = visitor.ask(page)
    links = re.findall(r'<a href="([^"]+)"', body.decode())
    assert links
    for link in links:
        missing = link == "img/nowhere.svg"  # The page says so.
        assert visitor.ask(urljoin(page, link))[0] == (404 if missing else 200), link


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-4", range(0, 5)),
        ("bytes=5-", range(5, 10)),
        ("bytes=0-99", range(0, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-99", range(0, 10)),
        ("bytes=10-", range(10, 10)),
        ("bytes=-", None),
        ("lines=1-2", None),
    ],
)
def test_a_range_of_ten_bytes(header: str | None, expected: range | None) -> None:
    assert byte_range(header, 10) == expected
