"""Clients that ask and read nothing: the memory of the edge that they take."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from e2e.http2 import Http2Connection
from stack import Stack, StackError
from stack.render import Wiring

from .large import PART_SIZE
from .measure import Measure, ratio, typical, worst
from .native import Call, Loader, Upstream
from .resident import Growth
from .short import rounds
from .site import PATIENCE, Site, directory
from .stats import stats, wait_until, wait_until_still

KIB, MIB = 1 << 10, 1 << 20

ROUNDS = rounds(3)
WARM_UP_REQUESTS = 500
SMALL = 4 * KIB
RECEIVE_BUFFER = 4 * KIB

IDLE = 300
STREAMS = 100
"""The streams that the edge takes on one connection."""
HIT = 8 * MIB
IDLE_WORKERS = 2
IDLE_LIMIT = 48
HIT_SECONDS = 1.0

READERS = 80
READER_WORKERS = 1
"""A worker has its own `limits.memory`."""
SCARCE, DEFAULT = 12, 128
"""MiB of `limits.memory`. The first is two parts: with one for a fill, and one free for the next, nothing is
left for clients, and all get a 302.
"""
COPIES = 3
"""The multiple of `limits.memory` that docs/performance.md says to plan for a worker. What the module counts
once, Envoy holds once or twice: as the answer or the content of a call, or as what clients are handed.
"""
BUFFERS = 96 * KIB
"""What Envoy may keep for a client beside that: `per_connection_buffer_limit_bytes`, listener and bucket."""

STATUS_LINE = len("HTTP/1.1 200")


def idle_clients() -> list[Measure]:
    """Measures clients that hold a stored object and do not read it, and a hit of another one meanwhile."""
    return [*_idle("redirect"), *_idle("transparent")]


def bodies() -> list[Measure]:
    """Measures clients that want objects from the module itself, and do not read them."""
    one = [f"/gated/{PART_SIZE}/one.bin"] * READERS
    many = [f"/{PART_SIZE}/{number}.bin" for number in range(READERS)]
    return [
        *_bodies(one, f"one object of 6 MiB, {SCARCE} MiB of memory", SCARCE),
        *_bodies(many, f"an object of 6 MiB each, {SCARCE} MiB of memory", SCARCE),
        *_bodies(one, f"one object of 6 MiB, {DEFAULT} MiB of memory", DEFAULT),
    ]


def connections(clients: ExitStack, url: str) -> None:
    for _ in range(IDLE):
        ask_and_read_nothing(clients, url)


def streams(clients: ExitStack, url: str) -> None:
    for _ in range(IDLE // STREAMS):
        client = clients.enter_context(Http2Connection(url, window=0))
        for _ in range(STREAMS):
            client.request(urlsplit(url).path)


KINDS: dict[str, Callable[[ExitStack, str], None]] = {
    f"{IDLE} HTTP/1.1 connections": connections,
    f"{IDLE} HTTP/2 streams": streams,
}


def ask_and_read_nothing(clients: ExitStack, url: str) -> socket.socket:
    """Asks on a new connection, which closes with the others."""
    address = urlsplit(url)
    client = clients.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    client.connect((address.hostname, address.port))
    client.sendall(f"GET {address.path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    return client


def statuses(clients: Sequence[socket.socket]) -> Counter[str]:
    """Waits for each client's answer, and leaves all of it unread."""
    return Counter(
        client.recv(STATUS_LINE, socket.MSG_PEEK | socket.MSG_WAITALL)[-3:].decode() for client in clients
    )


def _idle(wiring: Wiring) -> Iterator[Measure]:
    for kind, ask in KINDS.items():
        peaks, before, beside = [], [], []
        for _ in range(ROUNDS):
            with _site(IDLE_WORKERS, wiring=wiring) as here, ExitStack() as clients:
                prefix = f"/{here.store.bucket}" if wiring == "transparent" else ""
                hit = f"{here.stack.url}{prefix}/hit"
                _hits(here, hit)
                before.append(_hits(here, hit))
                growth = Growth(here.stack.edge.pid)
                ask(clients, f"{hit}/{HIT}/photo.jpg")
                _wait_until_held(here, IDLE)
                peaks.append(growth.peak())
                beside.append(_hits(here, hit))
        name = f"{kind} that read nothing, {wiring} wiring"
        yield worst(f"{name}: resident growth", peaks, IDLE_LIMIT, "MiB")
        yield ratio(f"{name}: another client's hit / before", beside, before, None)


def _bodies(paths: Sequence[str], what: str, memory: int) -> Iterator[Measure]:
    plugin = {"rules": [{"response": "serve"}], "limits": {"memory": f"{memory}MiB"}}
    peaks, settled, handed = [], [], []
    for _ in range(ROUNDS):
        with _site(READER_WORKERS, plugin=plugin) as here, ExitStack() as clients:
            here.loader.run(Call(f"{here.stack.url}/{SMALL}/{{n}}.bin"), requests=WARM_UP_REQUESTS)
            here.upstream.reset()
            growth = Growth(here.stack.edge.pid)
            readers = [ask_and_read_nothing(clients, here.stack.url + path) for path in paths]
            wait_until(lambda here=here: here.upstream.counts()["bucket_gets"] >= len(paths))
            here.upstream.open_gate()
            handed.append(statuses(readers)["200"])
            _wait_until_nothing_moves(here)
            peaks.append(growth.peak())
            settled.append(growth.settled())
    title = f"{len(paths)} clients do not read {what}"
    yield worst(f"{title}: resident growth, peak", peaks, bound_of_bodies(memory), "MiB")
    yield worst(f"{title}: resident growth, afterwards", settled, bound_of_bodies(memory), "MiB")
    yield typical(f"{title}: clients that were handed it", handed, "")


def bound_of_bodies(memory: int) -> float:
    """Returns the MiB that a worker with this much memory and all the clients may take."""
    return COPIES * memory + READERS * BUFFERS / MIB


def _hits(here: Site, hit: str) -> float:
    """Makes one client ask for a small hit again and again. Returns the median of the milliseconds."""
    return here.loader.run(Call(f"{hit}/{SMALL}/photo.jpg"), seconds=HIT_SECONDS).expect(200).p50


def _wait_until_held(here: Site, requests: int) -> None:
    """Waits until all are answered so far that only their clients' reading would go on with them."""
    active = "^http.edge.downstream_rq_active$"
    wait_until(lambda: sum(stats(here.stack.edge, active).values()) >= requests)
    _wait_until_nothing_moves(here)
    if (held := sum(stats(here.stack.edge, active).values())) != requests:
        raise StackError(f"{held} requests are held, not {requests}")


def _wait_until_nothing_moves(here: Site) -> None:
    received = "^cluster.*upstream_cx_rx_bytes_total$"
    wait_until_still(lambda: sum(stats(here.stack.edge, received).values()))


@contextmanager
def _site(workers: int, **options: Any) -> Iterator[Site]:
    """Runs the edge as it is shipped, in front of upstreams that cost next to nothing."""
    with directory() as run_dir, Upstream(run_dir) as upstream:
        options["plugin"] = {"wait": PATIENCE, "origin": {"timeout": PATIENCE}, **options.get("plugin", {})}
        with Stack(
            run_dir, origin=upstream.origin, store=upstream.store, workers=workers, **options
        ) as stack:
            yield Site(stack, upstream.store, upstream, Loader())
