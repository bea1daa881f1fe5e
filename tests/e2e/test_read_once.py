"""Clients that read a large object while it is stored: their streams are what the fill stores.

What the origin sends is counted. The origin is as slow as one across a continent, so the store keeps up
with it.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from doubles import StrictBucket
from doubles.large_origin import Large, LargeOrigin, Trouble
from stack import Stack

from .client import Answer, target_of
from .conftest import Unique
from .site import Site, eventually

MIB = 1 << 20
PART_SIZE = 6 * MIB
FIRST_RANGE = 64 * 1024 + 1
FILM = 40 * MIB
RATE = 5_000_000
"""Bytes a second: the origin of the measures."""

ONCE = 1.05
WRONG = "sha-256=:" + "A" * 43 + "=:"
PLUGIN = {"rules": [{"response": "serve"}], "wait": "5s"}


@pytest.fixture(scope="module")
def origin() -> Iterator[LargeOrigin]:
    with LargeOrigin() as origin:
        yield origin


@pytest.fixture(scope="module", params=["redirect", "transparent"])
def wired(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, origin: LargeOrigin
) -> Iterator[tuple[Site, str]]:
    run_dir = tmp_path_factory.mktemp(f"once-{request.param}")
    options = {"origin": origin.url, "workers": 1, "wiring": request.param, "plugin": PLUGIN}
    with StrictBucket() as store, Stack(run_dir, store=store, **options) as stack:
        site = Site(stack, store, origin)
        yield site, "" if request.param == "redirect" else f"/{store.bucket}"
        site.assert_module_healthy()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, origin: LargeOrigin) -> Iterator[Site]:
    options = {"origin": origin.url, "workers": 1, "plugin": PLUGIN}
    with StrictBucket() as store, Stack(tmp_path_factory.mktemp("once"), store=store, **options) as stack:
        site = Site(stack, store, origin)
        yield site
        site.assert_module_healthy()


def read(site: Site, path: str) -> Answer:
    answer = site.ask(path)
    return site.follow(answer) if answer.status == 302 else answer


@contextmanager
def reading(site: Site, path: str) -> Iterator[http.client.HTTPResponse]:
    """Sends a client of a cold object to its stream. The test reads the body."""
    target = target_of(site.ask(path).header("location") or "")
    with site.open() as client:
        client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        client.send("GET", target)
        response = http.client.HTTPResponse(client._socket, method="GET")
        response.begin()
        assert response.getheader("x-mirror-on-miss") == "streamed"
        yield response


def is_stored(site: Site, path: str, film: Large) -> None:
    eventually(lambda: site.stored(path) is not None, True)
    assert hashlib.sha256(site.stored(path) or b"").hexdigest() == film.sha256()


def test_one_client_has_a_large_object_read_once(
    wired: tuple[Site, str], origin: LargeOrigin, unique: Unique
) -> None:
    (site, prefix), path = wired, unique("film.mp4")
    film = origin.put(path, Large(FILM, rate=RATE))
    answer = read(site, prefix + path)
    assert (answer.status, answer.outcome) == (200, "streamed")
    assert hashlib.sha256(answer.body).hexdigest() == film.sha256()
    is_stored(site, path, film)
    assert origin.sent[path] <= ONCE * FILM, origin.ranges(path)


def test_an_object_of_just_the_first_range_is_read_once(
    wired: tuple[Site, str], origin: LargeOrigin, unique: Unique
) -> None:
    (site, prefix), path = wired, unique("icon.png")
    small = origin.put(path, Large(FIRST_RANGE))
    answer = read(site, prefix + path)
    assert (answer.status, answer.outcome) == (200, "served")
    is_stored(site, path, small)
    assert origin.sent[path] == FIRST_RANGE, origin.ranges(path)


def test_what_is_announced_is_compared_though_a_stream_brings_it(
    site: Site, origin: LargeOrigin, unique: Unique
) -> None:
    path = unique("film.mp4")
    digest = base64.b64encode(bytes.fromhex(Large(20 * MIB).sha256())).decode()
    announced = f"sha-256=:{digest}:"
    film = origin.put(path, Large(20 * MIB, rate=2 * RATE, digest=announced))
    assert read(site, path).outcome == "streamed"
    is_stored(site, path, film)
    assert origin.sent[path] <= ONCE * film.size, origin.ranges(path)


def test_a_corrupt_object_is_not_stored_and_its_client_does_not_get_its_end(
    wired: tuple[Site, str], origin: LargeOrigin, unique: Unique
) -> None:
    (site, prefix), path = wired, unique("film.mp4")
    origin.put(path, Large(20 * MIB, rate=2 * RATE, digest=WRONG))
    with pytest.raises(http.client.IncompleteRead) as cut:
        read(site, prefix + path)
    assert len(cut.value.partial) > 19 * MIB
    line = f"stream key={path}: the object is not what the origin announced"
    eventually(lambda: line in site.stack.edge.log_path.read_text(), True)
    eventually(lambda: f"fill key={path} outcome=corrupt" in site.stack.edge.log_path.read_text(), True)
    assert site.stored(path) is None


def test_a_client_that_leaves_stops_nothing(site: Site, origin: LargeOrigin, unique: Unique) -> None:
    path = unique("film.mp4")
    film = origin.put(path, Large(FILM, rate=2 * RATE))
    with reading(site, path) as response:
        response.read(10 * MIB)
    is_stored(site, path, film)
    assert origin.sent[path] <= 1.5 * FILM, origin.ranges(path)


def test_a_transfer_that_the_origin_breaks_off_loses_no_part(
    site: Site, origin: LargeOrigin, unique: Unique
) -> None:
    for trouble in (Trouble.RESET, Trouble.TRUNCATED, Trouble.STALL):
        path = unique(f"{trouble.name}.mp4")
        film = origin.put(path, Large(20 * MIB, rate=4 * RATE))
        with reading_in_trouble(site, origin, path, trouble):
            is_stored(site, path, film)


@contextmanager
def reading_in_trouble(site: Site, origin: LargeOrigin, path: str, trouble: Trouble) -> Iterator[None]:
    """Has a client's stream come to this end."""
    target = target_of(site.ask(path).header("location") or "")
    origin.fault(path, trouble)
    with site.open(timeout=2) as client:
        client.send("GET", target)
        with pytest.raises((http.client.IncompleteRead, TimeoutError, ConnectionError)):
            client.receive("GET")
        yield


def test_a_client_that_does_not_read_holds_no_fill_back(
    site: Site, origin: LargeOrigin, unique: Unique
) -> None:
    path = unique("film.mp4")
    film = origin.put(path, Large(FILM))
    with reading(site, path) as response:
        is_stored(site, path, film)
        assert hashlib.sha256(response.read()).hexdigest() == film.sha256()


def test_a_store_that_is_slower_than_the_origin_holds_no_client_back(
    site: Site, origin: LargeOrigin, unique: Unique
) -> None:
    path = unique("film.mp4")
    film = origin.put(path, Large(FILM))
    site.store.fault("UploadPart", path[1:], times=3, status=503, code="SlowDown")
    with reading(site, path) as response:
        assert hashlib.sha256(response.read()).hexdigest() == film.sha256()
        assert site.stored(path) is None
    is_stored(site, path, film)
    assert origin.sent[path] <= 2.1 * FILM, origin.ranges(path)


def test_a_client_of_the_end_alone_feeds_the_end(site: Site, origin: LargeOrigin, unique: Unique) -> None:
    path = unique("film.mp4")
    film = origin.put(path, Large(FILM, rate=2 * RATE))
    target = target_of(site.ask(path).header("location") or "")
    answer = site.ask(target, headers=[("range", f"bytes={12 * MIB}-")])
    assert (answer.status, answer.body) == (206, film.content(range(12 * MIB, FILM)))
    is_stored(site, path, film)
    assert origin.sent[path] <= 1.5 * FILM, origin.ranges(path)


def test_many_clients_get_and_store_one_object(site: Site, origin: LargeOrigin, unique: Unique) -> None:
    path = unique("film.mp4")
    film = origin.put(path, Large(FILM, rate=4 * RATE))
    target = target_of(site.ask(path).header("location") or "")
    clients = [site.open() for _ in range(4)]
    for number, client in enumerate(clients):
        client.send("GET", target, [("range", f"bytes={number * 7 * MIB}-")])
        time.sleep(0.1)
    for number, client in enumerate(clients):
        assert client.receive("GET").body == film.content(range(number * 7 * MIB, FILM))
    is_stored(site, path, film)
