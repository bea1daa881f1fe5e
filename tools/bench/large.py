"""Objects that are stored part by part: the memory and the time that they take.

The store is SeaweedFS. The origin lets the kernel copy, so that it is never the bottleneck.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from doubles.large_origin import Large, LargeOrigin
from stack import SeaweedFS, Stack

from .edges import FETCH_HOST, to_halves
from .measure import Measure, ratio, worst
from .resident import Growth
from .short import rounds
from .site import PATIENCE
from .transfer import fetch, spans_of, store

MIB = 1 << 20
GIB = 1 << 30

MEMORY_ROUNDS = rounds(3)
TIME_SITES, TIME_TURNS = rounds(4), 4
"""New processes, and turns in each: the objects of a turn, 2 GiB, stay on the disk until its site ends."""

WORKERS = 2
PART_SIZE = 6 * MIB
PARTS_IN_FLIGHT = 3
MEMORY = 128 * MIB
"""Defaults of the plugin's `limits`."""


def memory_of_one() -> list[Measure]:
    """Measures Envoy's memory for 1 GiB with the default settings, from its start on."""
    peaks, settled = [], []
    for _ in range(MEMORY_ROUNDS):
        with film_site() as site:
            growth = Growth(site.stack.edge.pid)
            site.fill("/film.mp4", Large(GIB))
            peaks.append(growth.peak())
            settled.append(growth.settled())
    return [
        worst("1 GiB fill: resident growth, peak", peaks, 96, "MiB"),
        worst("1 GiB fill: resident growth, afterwards", settled, 96, "MiB"),
    ]


def memory_of_ten() -> list[Measure]:
    """Compares with the documented bound: `limits.memory` in each worker's module, and as much again in
    Envoy.
    """
    bound = WORKERS * 2 * MEMORY / MIB
    peaks, settled = [], []
    for _ in range(MEMORY_ROUNDS):
        with film_site() as site:
            growth = Growth(site.stack.edge.pid)
            site.fill_ten()
            peaks.append(growth.peak())
            settled.append(growth.settled())
    return [
        worst("ten 200 MiB fills at once: resident growth, peak", peaks, bound, "MiB"),
        worst("ten 200 MiB fills at once: resident growth, afterwards", settled, bound, "MiB"),
    ]


def time_of_one() -> list[Measure]:
    """Compares with the slower of fetching and storing alone, in turns with them."""
    film = Large(GIB)
    spans = spans_of(film.size, PART_SIZE)
    times: dict[str, list[float]] = {}
    for _ in range(TIME_SITES):
        with film_site() as site:
            for turn in range(TIME_TURNS):
                # It is not the same key again: a key that was filled a moment ago would not be filled.
                path = f"/film-{turn}.mp4"
                runs = {
                    "fetching alone": partial(site.fetch, path, film, spans),
                    "storing alone": partial(site.store_parts, path, film, spans),
                    "the fill": partial(site.fill, path, film),
                }
                # Each follows the others as often: the bucket's work for one goes on into the next.
                for name in runs if turn % 2 else reversed(runs):
                    os.sync()  # The last run's pending writes are not this one's.
                    times.setdefault(name, []).append(_timed(runs[name]))
                    site.store.delete(path[1:])
    for name, seconds in times.items():
        print(f"  {name}: {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    filled = times.pop("the fill")
    slower = max(times.values(), key=median)
    return [ratio("1 GiB fill: time / the slower of fetching and storing", filled, slower, 1.15)]


@dataclass(frozen=True)
class Site:
    """The running stack, and the work that it gets."""

    stack: Stack
    store: SeaweedFS
    origin: LargeOrigin

    def fill(self, path: str, film: Large) -> None:
        self.origin.put(path, film)
        with closing(HTTPConnection(urlsplit(self.stack.url).netloc, timeout=100)) as client:
            client.request("GET", path)
            answer = client.getresponse()
            if answer.headers["x-mirror-on-miss"] != "stored":
                raise RuntimeError(f"{path} was not filled: {answer.status} {answer.read()!r}")

    def fill_ten(self) -> None:
        """Fills ten films of 200 MiB at once."""
        films = {f"/film-{number}.mp4": Large(200 * MIB, number) for number in range(10)}
        with ThreadPoolExecutor(len(films)) as pool:
            list(pool.map(self.fill, films.keys(), films.values()))

    def fetch(self, path: str, film: Large, spans: list[range]) -> None:
        self.origin.put(path, film)
        fetch(self.stack.url, FETCH_HOST, path, spans, PARTS_IN_FLIGHT)

    def store_parts(self, path: str, film: Large, spans: list[range]) -> None:
        store(self.stack.signer.url, f"/{self.store.bucket}{path}", film, spans, PARTS_IN_FLIGHT)


@contextmanager
def film_site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="mirror-on-miss-bench-") as directory:
        run_dir = Path(directory)
        with (
            LargeOrigin() as origin,
            SeaweedFS(run_dir) as bucket,
            Stack(
                run_dir,
                origin=origin.url,
                store=bucket,
                workers=WORKERS,
                plugin={"wait": PATIENCE},
                edit_edge=partial(to_halves, origin.authority),
            ) as stack,
        ):
            yield Site(stack, bucket, origin)


def _timed(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
