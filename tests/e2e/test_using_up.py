"""What a client can take of an edge: memory by not reading, connections by holding them, streams."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from doubles import ScriptedOrigin, StrictBucket
from stack.render import named

from .client import Connection, ask
from .conftest import WIRINGS, Start, Unique
from .http2 import DATA, HEADERS, OK, REFUSED_STREAM, RST_STREAM, Http2Connection
from .site import PATIENCE, Site, eventually, running

LARGE = 8 << 20
CLIENTS = 300
STREAMS_AT_ONCE = 100
MANY_STREAMS = 3000
MAX_GROWTH = 48
"""MiB of resident memory."""

BODY = b"an object\n"

TCP_USER_TIMEOUT = 18
"""Linux's number for it; Python has the name only where its own headers had it."""


@pytest.fixture(scope="module", params=WIRINGS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin
) -> Iterator[Site]:
    """An edge as it is shipped, with a large object in its bucket."""
    run_dir = tmp_path_factory.mktemp(f"using-up-{request.param}")
    with running(run_dir, origin, StrictBucket(), wiring=request.param) as site:
        site.store.put("large", bytes(LARGE))
        site.store.put("small", BODY)
        yield site


@pytest.fixture
def under(site: Site) -> str:
    """What stands before a key."""
    return (
        site.stack.url
        + WIRINGS["transparent" if "transparent" in str(site.stack.edge.log_path) else "redirect"]
    )


def resident(site: Site) -> float:
    """MiB."""
    status = Path(f"/proc/{site.stack.edge.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def target(under: str, key: str) -> str:
    return f"{urlsplit(under).path}/{key}"


def wait_until_nothing_moves(site: Site) -> None:
    """Waits until Envoy has taken from the bucket what it takes while no client reads."""
    seen, same = -1, 0
    end = time.monotonic() + PATIENCE
    while same < 3 and time.monotonic() < end:
        (now,) = site.stats("^cluster.bucket.upstream_cx_rx_bytes_total$").values()
        seen, same = now, same + 1 if now == seen else 0
        time.sleep(0.2)


def connections_that_do_not_read(under: str, stack: ExitStack) -> None:
    url = urlsplit(under)
    for _ in range(CLIENTS):
        client = stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((url.hostname, url.port))
        client.sendall(f"GET {url.path}/large HTTP/1.1\r\nhost: a\r\n\r\n".encode())


def streams_that_are_not_read(under: str, stack: ExitStack) -> None:
    client = stack.enter_context(Http2Connection(under, window=0))
    for _ in range(CLIENTS):
        client.request(target(under, "large"))


@pytest.mark.parametrize("clients", [connections_that_do_not_read, streams_that_are_not_read])
def test_clients_that_do_not_read_cost_little_and_nobody_else_anything(
    site: Site, under: str, clients: Callable[[str, ExitStack], None]
) -> None:
    assert ask(under, target(under, "small")).body == BODY
    before = resident(site)
    with ExitStack() as stack:
        clients(under, stack)
        wait_until_nothing_moves(site)
        assert resident(site) - before < MAX_GROWTH
        assert ask(under, target(under, "small")).body == BODY
    eventually(
        lambda: site.stats("^cluster.bucket.upstream_rq_active$"), {"cluster.bucket.upstream_rq_active": 0}
    )


def test_one_connection_has_a_hundred_streams_at_once(site: Site, under: str) -> None:
    """More are refused, and Envoy may end a connection that goes on with it."""
    with Http2Connection(under, window=0) as client:
        with suppress(ConnectionError):
            for _ in range(MANY_STREAMS):
                client.request(target(under, "large"))
            came = client.ping()
            refused = [
                stream for kind, _, stream, code in came if (kind, code[-1:]) == (RST_STREAM, REFUSED_STREAM)
            ]
            assert len(refused) > MANY_STREAMS / 2
        (active,) = site.stats("^http.edge.downstream_rq_active$").values()
        assert active <= STREAMS_AT_ONCE + 1
        assert ask(under, target(under, "small")).body == BODY


def test_a_request_that_does_not_come_to_its_end_is_ended(start: Start) -> None:
    """Half-open requests of both kinds: headers without an end, and content without one."""

    def hurry(edge: dict[str, Any]) -> None:
        manager = manager_of(edge)
        for timeout in ("request_headers_timeout", "request_timeout"):
            assert manager[timeout] == "10s"
            manager[timeout] = "0.5s"

    site = start(edit_edge=hurry)
    site.store.put("small", BODY)
    with Connection(site.stack.url) as connection:
        connection.send_raw(b"GET /small HTTP/1.1\r\nhost: a\r\nx: ")
        assert connection.receive("GET").status in (400, 408)
    with Connection(site.stack.url) as connection:
        connection.send_raw(b"GET /small HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        assert connection.receive("GET").status == 408
    assert site.store.calls("GetObject", "small") == []


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_client_that_takes_nothing_is_gone_in_time_with_its_body(
    start: Start, unique: Unique, wiring: str
) -> None:
    def hurry(edge: dict[str, Any]) -> None:
        listener = named(edge["static_resources"]["listeners"], "edge")
        (option,) = listener["socket_options"]
        assert (option["level"], option["name"]) == (socket.IPPROTO_TCP, TCP_USER_TIMEOUT)
        idle = int(manager_of(edge)["stream_idle_timeout"].removesuffix("s"))
        assert option["int_value"] == idle * 1000
        option["int_value"] = 1_000

    site = start(wiring=wiring, edit_edge=hurry, plugin={"rules": [{"response": "serve"}]})
    path = unique()
    site.origin.put(path, bytes(5 << 20))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = urlsplit(site.stack.url)
        client.connect((url.hostname, url.port))
        client.sendall(f"GET {WIRINGS[wiring]}{path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        eventually(lambda: site.stored(path) is not None, True)
        eventually(
            lambda: site.stats("^http.edge.downstream_cx_active$"), {"http.edge.downstream_cx_active": 0}
        )


@pytest.mark.parametrize("content", [b"e", b"evil" * 1000, b"evil" * 4000])
def test_content_that_http_2_does_not_announce_is_refused(
    site: Site, under: str, unique: Unique, content: bytes
) -> None:
    key = unique()[1:]
    site.store.put(key, BODY)
    with Http2Connection(under) as client:
        stream = client.request(target(under, key), end=False)
        client.data(stream, content)
        first = next(frame for frame in client.frames() if frame[0] == HEADERS and frame[2] == stream)
        assert first[3][0] != OK
        assert site.store.calls("GetObject", key) == []
        plain = client.request(target(under, key))
        frames = client.frames()
        first = next(frame for frame in frames if frame[0] == HEADERS and frame[2] == plain)
        assert first[3][0] == OK
        assert next(frame for frame in frames if frame[0] == DATA)[3] == BODY


def test_more_than_the_bucket_s_share_is_refused_at_once_and_counted(start: Start, unique: Unique) -> None:
    """Held connections make nobody else wait in silence."""

    def lower(edge: dict[str, Any]) -> None:
        (limits,) = named(edge["static_resources"]["clusters"], "bucket")["circuit_breakers"]["thresholds"]
        assert limits["max_requests"] < limits["max_connections"]
        limits.update(max_requests=3, max_connections=6)

    site = start(edit_edge=lower)
    site.store.put("large", bytes(LARGE))
    site.store.put("small", BODY)
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(Connection(site.stack.url))
            client.send("GET", "/large")
        eventually(
            lambda: site.stats("^cluster.bucket.upstream_rq_active$"),
            {"cluster.bucket.upstream_rq_active": 3},
        )
        assert [site.ask("/small").status for _ in range(5)] == [503] * 5
        # 1.40 has a counter of its own for this.
        assert sum(site.stats("^cluster.bucket.upstream_rq_(active|pending)_overflow$").values()) == 5
    eventually(lambda: site.ask("/small").status, 200)


def test_connections_beyond_the_limit_are_closed_and_the_admin_s_are_not(start: Start) -> None:
    def lower(edge: dict[str, Any]) -> None:
        monitor = "envoy.resource_monitors.global_downstream_max_connections"
        limit = named(edge["overload_manager"]["resource_monitors"], monitor)
        limit["typed_config"]["max_active_downstream_connections"] = 3

    site = start(edit_edge=lower)
    site.store.put("small", BODY)
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(Connection(site.stack.url))
            client.send("GET", "/small")
            assert client.receive("GET").body == BODY
        assert not answers(site)
        assert ask(site.stack.edge.admin, "/ready").status == 200
    eventually(lambda: answers(site), True)


def answers(site: Site) -> bool:
    try:
        return site.ask("/small").status == 200
    except (OSError, HTTPException):
        return False


def manager_of(edge: dict[str, Any]) -> dict[str, Any]:
    listener = named(edge["static_resources"]["listeners"], "edge")
    return listener["filter_chains"][0]["filters"][0]["typed_config"]
