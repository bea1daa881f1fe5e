"""Pages of other sites (CORS), and caches between them and the edge.

The cache is Envoy's own filter in an Envoy of its own. `make clients` has nginx and Varnish there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest

from .caches import cache_of
from .client import Answer, ask
from .conftest import Unique
from .site import Site, Wired

BODY = b"an object\n" * 4000
SHOP, BLOG = "https://shop.example.com", "https://blog.example.org"
CACHED = {"Cache-Control": "public, max-age=3600", "Content-Type": "text/plain"}


def from_site(page: str | None) -> list[tuple[str, str]]:
    return [("origin", page)] if page else []


def assert_readable(answer: Answer) -> None:
    """Checks that any page may read the answer, and that nothing of it depends on the page."""
    assert answer.header("access-control-allow-origin") == "*", answer
    assert answer.header("access-control-expose-headers") == "*", answer
    assert "origin" not in (answer.header("vary") or "").lower()


@pytest.mark.parametrize("page", [SHOP, None])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_of_any_site_reads_every_answer(
    wired: Wired, unique: Unique, method: str, page: str | None
) -> None:
    site, headers = wired.site, from_site(page)
    cold, forbidden = unique("cold"), unique("forbidden")
    site.origin.put(cold, BODY)
    site.store.put(forbidden[1:], BODY, age=3600)
    site.store.forbid(forbidden[1:])
    seen = set()
    for path in (
        cold,
        cold,
        unique("missing"),
        unique(under="/dead"),
        forbidden,
        "/",
        "//",
        "/a/../b",
        "/a?versionId=1",
    ):
        answer = wired.ask(path, method, headers)
        assert_readable(answer)
        seen.add(answer.status)
    assert seen == ({200, 404, 502, 403, 400, 501} if wired.follows else {200, 302, 404, 502, 403, 400, 501})
    assert_readable(wired.ask(cold, method, [*headers, ("range", "bytes=0-9")]))
    assert_readable(wired.ask(cold, "DELETE", headers))


def test_a_page_reads_an_object_that_is_handed_out(wired: Wired, unique: Unique) -> None:
    """Above 16 KiB such an object goes past the filters of the edge."""
    site = wired.site
    for body in (b"small", BODY):
        path = unique("a%5Cb")
        site.origin.put(path.replace("%5C", "/"), body, CACHED)
        answer = wired.ask(path, headers=from_site(SHOP))
        assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", body)
        assert answer.header("cache-control") == CACHED["Cache-Control"]
        assert_readable(answer)


def test_a_page_reads_an_answer_of_envoy_itself(wired: Wired) -> None:
    with wired.site.open() as connection:
        connection.send("GET", f"{wired.bucket}/a", [("x-long", "a" * 70_000), *from_site(SHOP)])
        answer = connection.receive("GET")
    assert (answer.status, answer.header("cache-control")) == (431, "no-store")


def test_a_preflight_is_answered_by_the_edge(wired: Wired, unique: Unique) -> None:
    path = unique()
    asked = [
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "range,authorization"),
    ]
    answer = wired.ask(path, "OPTIONS", [*from_site(SHOP), *asked])
    assert (answer.status, answer.header("access-control-allow-methods")) == (200, "GET, HEAD")
    assert answer.header("access-control-allow-headers") == "authorization, *"
    assert_readable(answer)
    assert wired.site.origin.count(path) == 0
    assert wired.site.store.requests.matching(lambda call: call.key == path[1:]) == []


def test_the_bucket_s_own_cors_headers_are_replaced(wired: Wired, unique: Unique) -> None:
    path = unique()
    own = {"access-control-allow-origin": SHOP, "access-control-expose-headers": "etag"}
    wired.site.store.put(path[1:], BODY, own)
    assert_readable(wired.ask(path, headers=from_site(BLOG)))


@pytest.mark.parametrize("target", ["?versionId=1", "/../x", "\\..\\x"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_no_cache_keeps_what_the_edge_says(wired: Wired, unique: Unique, method: str, target: str) -> None:
    answer = wired.ask(unique() + target, method)
    assert answer.status in (400, 405, 501)
    assert answer.header("cache-control") == "no-store"


def test_no_cache_keeps_what_the_module_says(wired: Wired, unique: Unique) -> None:
    cold = unique()
    wired.site.origin.put(cold, BODY)
    for path in [unique(under="/dead")] if wired.follows else [unique(under="/dead"), cold]:
        answer = wired.ask(path)
        assert answer.status in (302, 502)
        assert answer.header("cache-control") == "no-store"


def test_a_copy_is_found_to_be_fresh(wired: Wired, unique: Unique) -> None:
    """A cache asks again with the ETag that it has, whether the bucket has the object by then or not."""
    path = unique()
    wired.site.origin.put(path, BODY, CACHED)
    first = wired.read(path)
    etag = first.header("etag") or ""
    assert (first.status, first.header("cache-control"), bool(etag)) == (200, CACHED["Cache-Control"], True)
    again = wired.read(path, headers=[("if-none-match", etag)])
    assert (again.status, again.header("etag"), again.body) == (304, etag, b"")
    other = unique("the-same")
    wired.site.origin.put(other, BODY, CACHED)
    cold = wired.read(other, headers=[("if-none-match", etag)])
    assert (cold.status, cold.header("etag")) == (304, etag)


@pytest.mark.parametrize("askers", [*permutations([SHOP, BLOG, None])])
def test_each_site_gets_its_answer_through_a_cache(
    wired: Wired, unique: Unique, caches: dict[str, str], askers: tuple[str | None, ...]
) -> None:
    path = unique()
    wired.site.origin.put(path, BODY, CACHED)
    cache = caches[wired.site.stack.url]
    wired.read(path)
    before = len(wired.site.store.calls("GetObject", path[1:]))
    for nth, asker in enumerate(askers):
        answer = ask(cache, wired.bucket + path, headers=from_site(asker))
        assert (answer.status, answer.body) == (200, BODY)
        assert_readable(answer)
        assert ("age" in answer.names) == (nth > 0), "the cache answers all but the first"
    assert len(wired.site.store.calls("GetObject", path[1:])) == before + 1


def test_a_cache_keeps_no_redirect_and_no_failure(
    wired: Wired, unique: Unique, caches: dict[str, str]
) -> None:
    path = unique()
    wired.site.origin.put(path, BODY, CACHED)
    cache = caches[wired.site.stack.url]
    statuses = [ask(cache, wired.bucket + path).status for _ in range(3)]
    assert statuses == ([200, 200, 200] if wired.follows else [302, 200, 200])
    failing = unique(under="/dead")
    for _ in range(2):
        answer = ask(cache, wired.bucket + failing)
        assert (answer.status, "age" in answer.names) == (502, False)


@pytest.fixture(scope="module")
def caches(
    strict: Site, transparent: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Gives the URL of a caching proxy by that of the edge behind it."""
    edges = [strict.stack.url, transparent.stack.url]
    with (
        cache_of(edges[0], tmp_path_factory.mktemp("cache")) as first,
        cache_of(edges[1], tmp_path_factory.mktemp("cache")) as second,
    ):
        yield dict(zip(edges, (first, second), strict=True))
