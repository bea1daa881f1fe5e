"""The growth of costs: with the size of an object, its waiters, the keys seen, the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from doubles.large_origin import Large

from .large import Site as FilmSite
from .large import film_site
from .measure import Measure, worst
from .misses import gated
from .native import Call
from .resident import Growth, cpu_seconds
from .short import SHORT, rounds
from .site import Site, site

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

WORKERS = 2
ROUNDS = rounds(3)

SIZES = [KIB, 16 * KIB, 256 * KIB, 4 * MIB, 64 * MIB, GIB]
WAITERS = [1, 10, 100, 1_000, 5_000]

KEYS = [10**power for power in range(7)]
KEY_SIZE = 1 * KIB
KEY_CONNECTIONS = 32
FILLED_AT_ONCE = 5_000
KEY_SECONDS = 180.0 / SHORT
"""The seconds after which the keys seen so far must do."""
FLAT_FROM = 10_000
"""The number of keys by which every buffer and table has been used once."""

SAMPLE = 0.1
AFTERWARDS = 3.0
"""Seconds."""

LOAD_CONNECTIONS = 32
LOAD_SECONDS = 2.0

Points = dict[float, list[float]]
"""The results of the runs for each step of the axis."""


def sizes() -> tuple[list[Measure], list[dict[str, Any]]]:
    seconds: Points = {size: [] for size in SIZES}
    memory: Points = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            with site(workers=WORKERS) as here:
                _warm(here)
                growth = Growth(here.stack.edge.pid)
                load = here.loader.run(Call(f"{here.stack.url}/{size}/{{n}}.bin"), requests=1).expect(302)
                seconds[size].append(load.p50 / 1000)
                memory[size].append(growth.peak())
    return [], [
        series("size-time", "Time of a fill", "bytes of the object", {"seconds": seconds}),
        series(
            "size-memory", "Resident growth of the edge with one fill", "bytes of the object", {"MiB": memory}
        ),
    ]


def waiters() -> tuple[list[Measure], list[dict[str, Any]]]:
    seconds: Points = {clients: [] for clients in WAITERS}
    memory: Points = {clients: [] for clients in WAITERS}
    cpu: Points = {clients: [] for clients in WAITERS}
    for _ in range(ROUNDS):
        for clients in WAITERS:
            with site(workers=WORKERS) as here:
                _warm(here)
                growth, before = Growth(here.stack.edge.pid), cpu_seconds([here.stack.edge.pid])
                load, took = gated(here, clients)
                load.expect(302)
                seconds[clients].append(took)
                memory[clients].append(growth.peak())
                cpu[clients].append((cpu_seconds([here.stack.edge.pid]) - before) / clients * 1e6)
    axis = "clients that wait for one object"
    return [], [
        series("waiters-time", "From the origin's answer to the last client's", axis, {"seconds": seconds}),
        series("waiters-memory", "Resident growth of the edge with one herd", axis, {"MiB": memory}),
        series("waiters-cpu", "Processor time of the edge for each client", axis, {"us": cpu}),
    ]


def over_time() -> tuple[list[Measure], list[dict[str, Any]]]:
    """Measures the resident memory while large objects are filled, and after."""
    runs: dict[str, Callable[[FilmSite], None]] = {
        "one of 1 GiB": lambda films: films.fill("/film.mp4", Large(GIB)),
        "ten of 200 MiB": FilmSite.fill_ten,
    }
    lines: dict[str, Points] = {}
    for name, run in runs.items():
        with film_site() as films, ThreadPoolExecutor(1) as pool:
            growth, start = Growth(films.stack.edge.pid), time.monotonic()
            base, points = growth.now(), lines.setdefault(name, {})
            filling = pool.submit(run, films)
            end = float("inf")
            while time.monotonic() < end:
                points[round(time.monotonic() - start, 2)] = [growth.now() - base]
                time.sleep(SAMPLE)
                if filling.done():
                    end = min(end, time.monotonic() + AFTERWARDS)
            filling.result()
    return [], [
        series("memory-time", "Resident growth of the edge in MiB", "seconds from the request on", lines)
    ]


def keys() -> tuple[list[Measure], list[dict[str, Any]]]:
    """Fills distinct small objects, of which nothing may remain."""
    memory: Points = {}
    with site(workers=WORKERS) as here:
        growth = Growth(here.stack.edge.pid)
        deadline = time.monotonic() + KEY_SECONDS
        seen = 0
        for target in KEYS:
            while seen < target and time.monotonic() < deadline:
                seen += _fill(here, min(target - seen, FILLED_AT_ONCE))
            memory.setdefault(seen, [growth.now()])
            if seen < target:
                break
    base = next(iter(memory.values()))[0]
    settled = [values[0] for step, values in memory.items() if step >= FLAT_FROM]
    flat = [value - settled[0] for value in settled] or [0.0]
    grown = {step: [values[0] - base] for step, values in memory.items()}
    return [
        worst(f"from {FLAT_FROM} to {max(memory)} keys: resident growth", flat, 8, "MiB"),
    ], [
        series(
            "keys-memory", "Resident growth of the edge over its life", "distinct keys filled", {"MiB": grown}
        )
    ]


def workers() -> tuple[list[Measure], list[dict[str, Any]]]:
    """Compares two workers with one, with the load and the upstreams on the same processors."""
    rates: dict[str, Points] = {"hits/s": {1: [], 2: []}, "misses/s": {1: [], 2: []}}
    costs: dict[str, Points] = {"hit": {1: [], 2: []}, "miss": {1: [], 2: []}}
    for _ in range(ROUNDS):
        for count in (1, 2):
            with site(workers=count) as here:
                _warm(here)
                for kind, path, status in (("hit", "/hit/4096/{n}.jpg", 200), ("miss", "/4096/{n}.jpg", 302)):
                    before = cpu_seconds(here.pids)
                    load = here.loader.run(
                        Call(f"{here.stack.url}{path}"), connections=LOAD_CONNECTIONS, seconds=LOAD_SECONDS
                    ).expect(status)
                    plural = "hits/s" if kind == "hit" else "misses/s"
                    rates[plural][count].append(load.per_second)
                    costs[kind][count].append((cpu_seconds(here.pids) - before) / load.requests * 1e6)
    return [], [
        series("workers-rate", "Requests per second", "workers", rates),
        series("workers-cpu", "Processor time of edge and signer, us", "workers", costs),
    ]


def series(name: str, title: str, axis: str, lines: dict[str, Points]) -> dict[str, Any]:
    """Makes curves over one axis; a point is the step, the median, the lowest and the highest."""
    return {
        "name": name,
        "title": title,
        "axis": axis,
        "lines": {
            line: [_point(step, values) for step, values in points.items()] for line, points in lines.items()
        },
    }


def _point(step: float, values: Sequence[float]) -> list[float]:
    return [step, *(float(f"{value:.4g}") for value in (median(values), min(values), max(values)))]


def _warm(here: Site) -> None:
    """Warms up: the first requests open connections and compile."""
    here.loader.run(Call(f"{here.stack.url}/{KIB}/{{n}}.bin"), connections=4, requests=40).expect(302)


def _fill(here: Site, count: int) -> int:
    call = Call(f"{here.stack.url}/{KEY_SIZE}/{{n}}.bin")
    connections = min(KEY_CONNECTIONS, count)
    load = here.loader.run(call, connections=connections, requests=count)
    return load.expect(302).requests
