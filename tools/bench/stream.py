"""Clients of a large object that is not stored yet: their first byte, their rate, and the origin's reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from stack import StackError
from stack.render import Wiring

from .calls import call_of_bucket
from .edges import FETCH_HOST
from .growth import Points, series
from .measure import Measure, ratio, ratio_or_more, typical, worst
from .native import Call, Load, Loader, Upstream
from .peers import System, start, unavailable
from .resident import Growth
from .results import Table
from .short import rounds
from .site import Site, directory, site
from .stats import wait_until_still

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

WORKERS = 2
SERVE: dict[str, Any] = {"rules": [{"response": "serve"}]}
UNSTORED: dict[str, Any] = {"rules": [{"store": False}]}
FILM = GIB
WARM_UP = 12 * MIB
"""Two parts: the first large object opens the connections, and none of its bytes are measured."""

FIRST_ROUNDS = rounds(5)
DELAYS = [0, 100]
FIRST_RANGE = 64 * KIB
"""The bytes that the module asks for first where clients may be passed."""
FIRST_TARGET, FIRST_MORE = 1.5, 50.0

RATE_STACKS = rounds(3)
"""Stacks with new processes: the rate of one is another's, bare Envoy's too, for as long as they live."""
RATE_ROUNDS = rounds(3)
ORIGIN_RATE = 200_000_000
"""Bytes a second of each of the origin's answers: slower than the store that costs nothing."""
SLOWER = "origin of 200 MB/s"
RATE_TARGET, READ_TARGET, MEMORY_TARGET = 0.90, 1.05, 96

PEER_SYSTEMS = ["serve", "transparent, serve", "Lambda recipe", "nginx proxy_store", "nginx proxy_cache"]
PEER_CELLS = [(32 * MIB, 1), (32 * MIB, 16), (GIB, 1), (GIB, 16)]
PEER_AWAY = 20
"""Milliseconds."""

CURVE_SYSTEMS = ["serve", "redirect", "Lambda recipe", "nginx proxy_store"]
CURVE_SIZES = [64 * KIB, MIB, 6 * MIB, 32 * MIB, 256 * MIB, GIB]
ROUNDS_BELOW_LARGE = rounds(3)
LARGE = 256 * MIB
"""From here on one round does, which takes seconds."""


def first_byte() -> list[Measure]:
    """Compares with the calls that come before any first byte: the bucket's 404, and two of the origin's own.

    One reads the version and the size, the other one is the client's.
    """
    wirings: list[Wiring] = ["redirect", "transparent"]
    return [each for wiring in wirings for delay in DELAYS for each in _first_byte(wiring, delay)]


def rate() -> list[Measure]:
    """Compares the stream, beside its own fill, with a bare Envoy in front of the same origin."""
    return [
        *_rate(SLOWER, SERVE, RATE_TARGET, READ_TARGET, origin_rate=ORIGIN_RATE),
        *_rate("origin without a bound, nothing stored", UNSTORED, RATE_TARGET, None),
        # Here the store takes a part of the processors that bare Envoy has for itself.
        *_rate("origin without a bound", SERVE, None, None),
    ]


def peers() -> Table:
    """Compares with other solutions, where one client or many at once want one cold object."""
    head = ["size", "clients", "system", "first byte, ms", "whole, s", "MB/s of each", "read of the origin"]
    rows = [head]
    for size, clients in PEER_CELLS:
        turns = 1 if size >= LARGE else ROUNDS_BELOW_LARGE
        print(f"  {size // MIB} MiB, {clients} clients...", flush=True)
        for name in PEER_SYSTEMS:
            cell = Cold(size, clients)
            for _ in range(turns):
                _measure_cold(name, cell)
            rows.append([f"{size // MIB} MiB", str(clients), name, *cell.figures()])
    return Table("stream-peers", rows)


def first_byte_over_size() -> tuple[list[Measure], list[dict[str, Any]]]:
    lines: dict[str, Points] = {name: {} for name in CURVE_SYSTEMS if unavailable(name) is None}
    for name, points in lines.items():
        for size in CURVE_SIZES:
            cell = Cold(size, 1)
            for _ in range(1 if size >= LARGE else ROUNDS_BELOW_LARGE):
                _measure_cold(name, cell)
            points[size] = cell.first
    title = "Milliseconds to the first byte of a cold object"
    return [], [series("first-byte", title, "bytes of the object", lines)]


@dataclass
class Cold:
    """A size and its clients at once, and the results of one system's rounds."""

    size: int
    clients: int
    first: list[float] = field(default_factory=list)
    """The median client's milliseconds to the first byte."""
    whole: list[float] = field(default_factory=list)
    """The median client's seconds to the last."""
    read: list[float] = field(default_factory=list)
    """Bytes that the origin sent, over the object's size."""
    problem: str | None = None

    def add(self, load: Load, read: int) -> None:
        served = load.statuses.get("200", 0)
        if served < self.clients or load.bytes < served * self.size:
            self.problem = f"answers instead of the object: {load.statuses}"
            return
        self.first.append(median(load.first_ms[0]))
        self.whole.append(load.p50 / 1000)
        self.read.append(read / self.size)

    def figures(self) -> list[str]:
        if self.problem or not self.first:
            return [self.problem or "", "", "", ""]
        seconds = median(self.whole)
        each = self.size / seconds / 1e6
        return [
            f"{median(self.first):.1f}",
            f"{seconds:.3g}",
            f"{each:.3g}",
            f"{median(self.read):.2f} times",
        ]


def _first_byte(wiring: Wiring, delay: int) -> Iterator[Measure]:
    streams, calls = [], []
    with site(workers=WORKERS, wiring=wiring, plugin=SERVE, origin_ms=delay) as here:
        _fill(here, WARM_UP)
        begin = Call(
            f"{here.stack.url}/{FILM}/{{n}}.mp4",
            headers={"host": FETCH_HOST, "range": f"bytes=0-{FIRST_RANGE - 1}"},
        )
        alone = [call_of_bucket(here, f"{FILM}/{{n}}.mp4"), begin, begin]
        for _ in range(FIRST_ROUNDS):
            load = here.loader.run(*alone, requests=1).expect(404, 206, 206)
            calls.append(sum(each[0] for each in load.first_ms))
            streams.append(_fill(here, FILM).first_ms[0][0])
    title = title_of_first_byte(wiring, delay)
    over = "the bucket's 404 and two of the origin's own"
    yield ratio_or_more(f"{title} / {over}", streams, calls, FIRST_TARGET, FIRST_MORE, "ms")
    yield typical(title, streams, "ms")


def title_of_first_byte(wiring: Wiring, delay: int) -> str:
    away = f"origin {delay} ms away" if delay else "origin beside it"
    return f"first byte of a cold 1 GiB object, {wiring} wiring, {away}"


def title_of_read(what: str) -> str:
    return f"cold 1 GiB object, {what}: bytes that the origin sent / its size"


def _rate(
    what: str, plugin: dict[str, Any], rate_target: float | None, read_target: float | None, **options: int
) -> list[Measure]:
    streamed, bare = [], []
    for stack in range(RATE_STACKS):
        with site(workers=WORKERS, plugin=plugin, **options) as here:
            _fill(here, WARM_UP)
            alone = Call(f"{here.stack.url}/{FILM}/{{n}}.mp4", headers={"host": FETCH_HOST})
            for number in range(RATE_ROUNDS):
                # Each goes first as often.
                for is_alone in (True, False) if (stack + number) % 2 else (False, True):
                    if is_alone:
                        bare.append(here.loader.run(alone, requests=1).expect(200).megabytes_per_second)
                    else:
                        streamed.append(_stream(here))
    streams, read, memory = zip(*streamed, strict=True)
    title = f"cold 1 GiB object, {what}"
    return [
        ratio(f"{title}: rate / bare Envoy", streams, bare, rate_target, ">="),
        worst(title_of_read(what), read, read_target, "x"),
        worst(f"{title}: resident growth, peak", memory, MEMORY_TARGET, "MiB"),
        typical(f"{title}: rate", streams, "MB/s"),
        typical(f"{title}: rate of bare Envoy", bare, "MB/s"),
    ]


def _stream(here: Site) -> tuple[float, float, float]:
    """Returns a stream's MB/s, the bytes that the origin sent over its size, and the edge's growth in MiB."""
    growth, before = Growth(here.stack.edge.pid), here.upstream.counts()["origin_bytes"]
    rate = _fill(here, FILM).megabytes_per_second
    peak = growth.peak()
    return rate, (here.upstream.counts()["origin_bytes"] - before) / FILM, peak


def _fill(here: Site, size: int) -> Load:
    """Makes one client read a new object, and waits until nothing more of it is fetched or stored."""
    load = here.loader.run(Call(f"{here.objects}/{size}/{{n}}.mp4"), requests=1, follow=True).expect(200)
    if load.bytes < size:
        raise StackError(f"{load.bytes} of {size} bytes came")
    _wait_until_idle(here.upstream)
    return load


def _wait_until_idle(upstream: Upstream) -> None:
    wait_until_still(lambda: sum(upstream.counts().values()))


def _measure_cold(name: str, cell: Cold) -> None:
    """Makes all clients ask a new process for one object."""
    if cell.problem or (problem := unavailable(name)):
        cell.problem = cell.problem or problem
        return
    with (
        directory() as run_dir,
        Upstream(run_dir, origin_ms=PEER_AWAY, origin_rate=ORIGIN_RATE) as upstream,
        start(name, run_dir, upstream, WORKERS) as system,
    ):
        loader = Loader()
        _ask(loader, system, f"{KIB}/{{n}}.jpg", 4)
        _ask(loader, system, f"{WARM_UP}/{{n}}.mp4", 1)
        _wait_until_idle(upstream)
        before = upstream.counts()["origin_bytes"]
        load = _ask(loader, system, f"{cell.size}/film.mp4", cell.clients)
        _wait_until_idle(upstream)
        cell.add(load, upstream.counts()["origin_bytes"] - before)


def _ask(loader: Loader, system: System, key: str, clients: int) -> Load:
    call = Call(f"{system.url}{system.prefix}/{key}")
    return loader.run(call, connections=clients, requests=clients, follow=True)
