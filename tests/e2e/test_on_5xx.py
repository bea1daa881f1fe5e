"""A bucket that fails: its origin serves in its place, where a rule says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from doubles import StrictBucket
from doubles.large_origin import Large, LargeOrigin
from stack import Stack
from stack.render import manager_of, named

from .client import Answer, Headers
from .conftest import WIRINGS, Unique
from .site import DEAD_PORT, Site, error_code

MIB = 1 << 20
FILM = 20 * MIB
MARKER = "mirror-on-miss=stream"
RULES = [
    {"prefix": "/passed/"},
    {"prefix": "/observed/", "on_5xx": "origin", "observe": True},
    {"on_5xx": "origin"},
]


class FailingSite:
    """A site in one of the wirings, whose clients follow redirects."""

    def __init__(self, site: Site, prefix: str) -> None:
        self.site, self.prefix = site, prefix
        self.store: StrictBucket = site.store
        self.origin: LargeOrigin = site.origin
        self.tries = 2 if prefix else 1
        """The transparent edge asks a bucket that fails twice."""

    def get(self, path: str, headers: Headers = (), method: str = "GET") -> Answer:
        answer = self.site.ask(self.prefix + path, method, headers)
        return self.site.follow(answer, method, headers) if answer.status == 302 else answer

    def fail(self, path: str, status: int = 503, code: str = "SlowDownRead", times: int = 1) -> None:
        for operation in ("GetObject", "HeadObject"):
            self.store.fault(operation, path[1:], self.tries * times, status=status, code=code)

    def put(self, path: str, size: int) -> Large:
        return self.origin.put(path, Large(size))

    def assert_nothing_was_written(self, path: str) -> None:
        calls = self.store.requests.matching(lambda call: call.key == path[1:])
        assert {call.request.method for call in calls} <= {"GET", "HEAD"}
        assert self.store.get(path[1:])[0] == 404


@pytest.fixture(scope="module")
def large() -> Iterator[LargeOrigin]:
    with LargeOrigin() as origin:
        yield origin


@pytest.fixture(scope="module", params=WIRINGS)
def failing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, large: LargeOrigin
) -> Iterator[FailingSite]:
    yield from running(request.param, tmp_path_factory, large, {})


def running(
    wiring: str, tmp_path_factory: pytest.TempPathFactory, large: LargeOrigin, options: dict[str, Any]
) -> Iterator[FailingSite]:
    run_dir = tmp_path_factory.mktemp(f"on-5xx-{wiring}")
    options = {"origin": large.url, "workers": 1, "wiring": wiring, "plugin": {"rules": RULES}, **options}
    with StrictBucket() as store, Stack(run_dir, store=store, **options) as stack:
        site = Site(stack, store, large)
        yield FailingSite(site, WIRINGS[wiring])
        site.assert_module_healthy()


def is_whole(answer: Answer, film: Large) -> bool:
    return hashlib.sha256(answer.body).hexdigest() == film.sha256()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("size", [10, 100_000, FILM])
def test_the_origin_serves_while_the_bucket_fails(
    failing: FailingSite, unique: Unique, status: int, size: int
) -> None:
    path = unique()
    film = failing.put(path, size)
    failing.fail(path, status, times=3)
    answer = failing.get(path)
    assert (answer.status, answer.outcome) == (200, "streamed" if size == FILM else "served")
    assert is_whole(answer, film)
    head = failing.get(path, method="HEAD")
    assert (head.status, head.header("content-length"), head.outcome) == (200, str(size), "head")
    part = failing.get(path, [("range", "bytes=2-4")])
    assert (part.status, part.body) == (206, film.content(range(2, 5)))
    failing.assert_nothing_was_written(path)


def test_hits_are_the_buckets_again_when_it_is_well(failing: FailingSite, unique: Unique) -> None:
    path = unique()
    failing.put(path, FILM)
    failing.store.put(path[1:], b"what was uploaded later")
    failing.fail(path)
    assert failing.get(path).outcome == "streamed"
    answer = failing.get(path)
    assert (answer.status, answer.outcome, answer.body) == (200, None, b"what was uploaded later")
    marked = failing.get(f"{path}?{MARKER}")
    assert marked.outcome == "streamed", "a client that was sent there is not sent back"


def test_a_miss_is_filled_as_ever_beside_it(failing: FailingSite, unique: Unique) -> None:
    path = unique()
    film = failing.put(path, 1000)
    failing.fail(path)
    assert failing.get(path).outcome == "served"
    answer = failing.get(path)
    assert (answer.status, answer.outcome) == (200, None)
    assert is_whole(answer, film) and failing.site.stored(path) == answer.body


def test_what_no_origin_has_is_the_buckets_failure(failing: FailingSite, unique: Unique) -> None:
    path = unique("missing")
    failing.fail(path, times=2)
    for _ in range(2):
        answer = failing.get(path)
        assert (answer.status, answer.outcome, error_code(answer)) == (503, "not_found", "SlowDownRead")
    failing.assert_nothing_was_written(path)


@pytest.mark.parametrize("under", ["/passed", "/observed"])
def test_a_rule_that_does_not_say_so_passes_the_failure_on(
    failing: FailingSite, unique: Unique, under: str
) -> None:
    path = unique(under=under)
    failing.put(path, 1000)
    failing.fail(path)
    answer = failing.get(path)
    assert (answer.status, answer.outcome, error_code(answer)) == (503, None, "SlowDownRead")
    assert failing.origin.asked(path) == []


@pytest.mark.parametrize(
    ("query", "condition"), [("", ("if-match", '"of-the-bucket"')), ("?partNumber=2", ("x-none", "1"))]
)
def test_what_only_the_bucket_can_answer_waits_for_it(
    failing: FailingSite, unique: Unique, query: str, condition: tuple[str, str]
) -> None:
    path = unique()
    failing.put(path, 1000)
    failing.fail(path)
    answer = failing.get(path + query, [condition])
    assert (answer.status, answer.outcome, error_code(answer)) == (503, None, "SlowDownRead")
    assert failing.origin.asked(path) == []


def of_bucket(edge: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Finds the routes to the bucket."""
    for listener in edge["static_resources"]["listeners"]:
        for host in manager_of(listener)["route_config"]["virtual_hosts"]:
            for route in host["routes"]:
                if route.get("route", {}).get("cluster") in ("bucket", "bucket-then-miss"):
                    yield route["route"]


def impatient(edge: dict[str, Any]) -> None:
    for route in of_bucket(edge):
        if "retry_policy" in route:
            route["retry_policy"]["per_try_timeout"] = "0.5s"


def refused(edge: dict[str, Any]) -> None:
    bucket = named(edge["static_resources"]["clusters"], "bucket")
    endpoint = bucket["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["socket_address"]["port_value"] = DEAD_PORT


def full(edge: dict[str, Any]) -> None:
    bucket = named(edge["static_resources"]["clusters"], "bucket")
    bucket["circuit_breakers"] = {"thresholds": [{"max_requests": 0}]}


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_bucket_that_is_silent_or_resets_fails(
    wiring: str, tmp_path_factory: pytest.TempPathFactory, large: LargeOrigin, unique: Unique
) -> None:
    for site in running(wiring, tmp_path_factory, large, {"edit_edge": impatient}):
        for size in (100_000, FILM):
            path = unique(f"silent-{size}")
            film = site.put(path, size)
            site.store.stall("GetObject", path[1:], times=9)
            assert is_whole(site.get(path), film)
            path = unique(f"reset-{size}")
            film = site.put(path, size)
            site.store.reset("GetObject", path[1:], times=9)
            assert is_whole(site.get(path), film)
        path = unique("slow-origin")
        film = site.put(path, 100_000)
        gate = site.origin.hold(path)
        site.store.stall("GetObject", path[1:], times=9)
        with site.site.open() as client:
            client.send("GET", site.prefix + path)
            site.origin.wait_for(path)
            gate.open()
            assert is_whole(client.receive("GET"), film)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_bucket_that_cannot_be_reached_fails_and_an_edge_that_is_full_does_not(
    wiring: str, tmp_path_factory: pytest.TempPathFactory, large: LargeOrigin, unique: Unique
) -> None:
    for site in running(wiring, tmp_path_factory, large, {"edit_edge": refused}):
        for size in (10, 100_000, FILM):
            path = unique(str(size))
            film = site.put(path, size)
            answer = site.get(path)
            assert (answer.status, is_whole(answer, film)) == (200, True), answer
        answer = site.get(unique("missing"))
        assert (answer.status, answer.outcome) == (503, "not_found")
    for site in running(wiring, tmp_path_factory, large, {"edit_edge": full}):
        path = unique("full")
        site.put(path, 10)
        answer = site.get(path)
        assert (answer.status, answer.outcome) == (503, None)
        assert site.origin.asked(path) == []
