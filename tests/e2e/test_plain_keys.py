"""Keys that servers read differently, pages, and denials that are no misses, in both wirings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from doubles import ScriptedOrigin
from stack import SeaweedFS
from stack.render import Wiring

from .conftest import Start, Unique
from .site import Site, error_code, running

BODY = b"an object that the origin has\n"
PLUGIN: dict[str, Any] = {
    "bucket": {"index": "index.html"},
    "rules": [{"prefix": "/private/", "mirror": False}, {}],
}


class Wired:
    """A site whose clients write /KEY or /BUCKET/KEY, and follow a 302 themselves or not."""

    def __init__(self, site: Site, wiring: Wiring) -> None:
        self.site, self.origin, self.transparent = site, site.origin, wiring == "transparent"
        self.prefix = "/mirror" if self.transparent else ""

    def asked(self, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
        """What the client has in the end: status, outcome, content."""
        answer = self.site.ask(self.prefix + path, method)
        if answer.status == 302 and answer.outcome in ("stored", "exists"):
            assert not self.transparent, "the edge follows"
            assert answer.header("location") == path
            answer = self.site.follow(answer, method)
        return answer.status, answer.outcome, answer.body


@pytest.fixture(scope="module", params=get_args(Wiring))
def lenient(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin
) -> Iterator[Wired]:
    """A stack on SeaweedFS, which joins slashes, takes a backslash for one and makes directories."""
    run_dir = tmp_path_factory.mktemp("lenient")
    options = {"plugin": PLUGIN, "wiring": request.param, "workers": 1}
    with running(run_dir, origin, SeaweedFS(run_dir), **options) as site:
        yield Wired(site, request.param)


@pytest.fixture(params=get_args(Wiring))
def strict_wired(request: pytest.FixtureRequest, start: Start) -> Wired:
    return Wired(start(wiring=request.param), request.param)


SPELLINGS = ["//{}", "/%2F{}", "/%5C{}", "/\\{}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_gets_round_a_rule(lenient: Wired, unique: Unique, spelling: str) -> None:
    key = "private" + unique("s.txt")
    lenient.origin.put(f"/{key}", BODY)
    for path in (spelling.format(key), f"/{key.replace('/', '//', 1)}", f"/{key}"):
        status, outcome, _ = lenient.asked(path)
        assert (status // 100, outcome) == (4, None), path
    assert lenient.origin.count(f"/{key}") == 0
    assert lenient.site.stored(f"/{key}") is None


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_key_is_filled_from_another_path_of_the_origin(
    lenient: Wired, unique: Unique, spelling: str
) -> None:
    key = unique("a.jpg")[1:]
    lenient.origin.put(f"/{key}", BODY)
    lenient.origin.put(spelling.format(key), b"another object")
    assert lenient.asked(spelling.format(key)) == (200, "not_stored", BODY)
    assert lenient.site.stored(f"/{key}") is None
    assert lenient.asked(f"/{key}") == (200, None, BODY)
    assert lenient.site.stored(f"/{key}") == BODY


def test_a_page_is_stored_as_its_index_and_read_under_its_own_path(lenient: Wired, unique: Unique) -> None:
    page = unique("")
    lenient.origin.put(page, BODY, {"Content-Type": "text/html"})
    for _ in range(2):
        assert lenient.asked(page) == (200, None, BODY)
    assert lenient.site.stored(f"{page}index.html") == BODY
    assert lenient.origin.count(page) == 1
    assert lenient.asked(f"{page}index.html") == (200, None, BODY)


def test_the_root_is_a_page(start: Start) -> None:
    site = start(plugin={"bucket": {"index": "index.html"}})
    site.origin.put("/", BODY)
    miss = site.ask("/?v=1")
    assert (miss.status, miss.outcome, miss.header("location")) == (302, "stored", "/?v=1")
    assert site.follow(miss).body == BODY
    assert site.stored("/index.html") == BODY


def test_the_root_of_a_bucket_behind_the_transparent_edge_is_a_page(start: Start) -> None:
    site = start(wiring="transparent", plugin={"bucket": {"index": "index.html"}})
    site.origin.put("/", BODY)
    for _ in range(2):
        answer = site.ask("/mirror/")
        assert (answer.status, answer.body) == (200, BODY)
    assert site.stored("/index.html") == BODY
    assert not site.store.requests.matching(lambda call: call.operation == "ListObjects")


def test_without_an_index_a_path_that_ends_in_a_slash_is_the_bucket_s_business(
    strict_wired: Wired, unique: Unique
) -> None:
    page = unique("")
    strict_wired.origin.put(page, BODY)
    status, outcome, _ = strict_wired.asked(page)
    assert (status, outcome) == (404, None)
    assert strict_wired.origin.count(page) == 0
    root = strict_wired.site.ask(strict_wired.prefix + "/")
    assert root.status == (403 if strict_wired.transparent else 302)
    assert not strict_wired.site.store.requests.matching(lambda call: call.operation == "ListObjects")


def test_a_store_of_exact_keys_gets_every_spelling(start: Start, unique: Unique) -> None:
    site = start(plugin={"bucket": {"keys": "exact"}})
    for path in (f"/{unique('a.jpg')}", unique("a//b"), unique("a%5Cb"), unique("dir/")):
        site.origin.put(path, BODY)
        miss = site.ask(path)
        location = f"/.{path}" if path.startswith("//") else path
        assert (miss.status, miss.header("location")) == (302, location)
        assert site.follow(miss).body == BODY
        assert site.origin.count(path) == 1


def test_a_key_that_the_bucket_cannot_hold_is_handed_out(strict_wired: Wired, unique: Unique) -> None:
    """KeyTooLongError, which says 400."""
    folder = unique("")
    path = folder + "k" * (1025 - len(folder[1:]))
    strict_wired.origin.put(path, BODY)
    assert strict_wired.asked(path) == (200, "not_stored", BODY)
    assert strict_wired.asked(path, "HEAD")[:2] == (200, "head")


def test_another_400_is_the_bucket_s_own(strict_wired: Wired, unique: Unique) -> None:
    path = unique()
    strict_wired.site.store.fault("GetObject", path[1:], 2, status=400, code="InvalidArgument")
    assert strict_wired.asked(path)[:2] == (400, None)
    assert strict_wired.origin.count(path) == 0


def test_a_deleted_object_stays_deleted(strict_wired: Wired, unique: Unique) -> None:
    path = unique()
    strict_wired.origin.put(path, BODY)
    deleted = b"HTTP/1.1 404 Not Found\r\nx-amz-delete-marker: true\r\ncontent-length: 0\r\n\r\n"
    strict_wired.site.store.raw("GetObject", path[1:], deleted, 2)
    assert strict_wired.asked(path) == (404, "deleted", b"")
    assert strict_wired.origin.count(path) == 0


@pytest.mark.parametrize("status", [403, 404])
def test_a_denial_that_never_goes_on_keeps_no_client(
    strict_wired: Wired, unique: Unique, status: int
) -> None:
    """Headers with a length, then silence. The client waits for less than Envoy's idle timeout."""
    path = unique()
    strict_wired.origin.put(path, BODY)
    head = f"HTTP/1.1 {status} No\r\ncontent-type: application/xml\r\ncontent-length: 200\r\n\r\n".encode()
    strict_wired.site.store.raw("GetObject", path[1:], head, 2 if strict_wired.transparent else 1, stall=True)
    assert strict_wired.asked(path) == (200, None, BODY)


def test_a_head_is_passed_on_after_a_get_has_shown_the_error(start: Start, unique: Unique) -> None:
    site = start(workers=2)
    path = unique()
    site.origin.put(path, BODY)
    with site.store.with_secret(site.store.reader, "another"):
        denied = site.ask(path)
        assert (denied.status, denied.outcome, error_code(denied)) == (403, None, "SignatureDoesNotMatch")
        for _ in range(8):
            head = site.ask(path, "HEAD")
            assert (head.status, head.outcome) == (403, None)
    assert site.origin.count(path) == 0


@pytest.mark.parametrize("host", ["evil.example", "user@evil.example", ""])
def test_no_location_has_the_host_of_a_client(start: Start, unique: Unique, host: str) -> None:
    site = start(plugin={"location": "absolute"})
    path = unique()
    site.origin.put(path, BODY)
    with site.open() as connection:
        connection.authority = host
        connection.send("GET", path)
        answer = connection.receive("GET")
    assert "evil" not in (answer.header("location") or "")
    assert answer.status != 302 or answer.header("location") == path


def test_a_denial_that_stands_and_never_goes_on_is_said_again(start: Start, unique: Unique) -> None:
    site = start(plugin={"rules": [{"on_403": "ignore"}]})
    path = unique()
    head = b"HTTP/1.1 403 No\r\ncontent-type: application/xml\r\ncontent-length: 200\r\n\r\n"
    site.store.raw("GetObject", path[1:], head, stall=True)
    answer = site.ask(path)
    assert (answer.status, answer.outcome, error_code(answer)) == (403, "forbidden", "AccessDenied")
