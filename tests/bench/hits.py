"""What a hit costs: an object that is in the bucket already, the rule once a migration has begun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from stack import Stack
from stack.stack import Edit

from .edges import bare, empty
from .measure import Measure, ratio, typical
from .native import Load, Loader, Upstream
from .resident import cpu_seconds
from .site import directory

WORKERS = 1
"""One busy thread of Envoy; the second core is for the load and the bucket."""

SMALL = 4096
CONNECTIONS = 16
SMALL_ROUNDS = 11
SMALL_SECONDS = 1.0

LARGE = 100_000_000
LARGE_CONNECTIONS = 2
LARGE_ROUNDS = 9
LARGE_REQUESTS = 12

EDGES: dict[str, Edit | None] = {"bare": bare, "empty": empty, "redirect": None}


@dataclass(frozen=True)
class Bench:
    stacks: dict[str, Stack]
    loader: Loader

    def turns(self, rounds: int) -> Iterator[tuple[str, Stack]]:
        """Each edge once a round, in an order that turns with the rounds."""
        names = list(self.stacks)
        for number in range(rounds):
            for name in names if number % 2 else reversed(names):
                yield name, self.stacks[name]


def cost_of_hits() -> list[Measure]:
    """The processor time of the edge for one request, by its own account."""
    with _bench() as bench:
        costs: dict[str, list[float]] = {name: [] for name in bench.stacks}
        for stack in bench.stacks.values():
            _small_hits(bench.loader, stack)
        for name, stack in bench.turns(SMALL_ROUNDS):
            before = cpu_seconds([stack.edge.pid])
            load = _small_hits(bench.loader, stack)
            costs[name].append((cpu_seconds([stack.edge.pid]) - before) / load.requests * 1e6)
    measures = [
        ratio("hit, redirect wiring: CPU / empty filter", costs["redirect"], costs["empty"], 1.10),
        ratio("hit, redirect wiring: CPU / bare Envoy", costs["redirect"], costs["bare"], None),
        ratio("hit, empty filter: CPU / bare Envoy", costs["empty"], costs["bare"], None),
    ]
    if "transparent" in costs:
        measures.append(
            ratio("hit, transparent wiring: CPU / bare Envoy", costs["transparent"], costs["bare"], 1.10)
        )
    return measures + [typical(f"hit of 4 KiB, {name}: CPU", each, "us") for name, each in costs.items()]


def throughput_of_hits() -> list[Measure]:
    with _bench() as bench:
        rates: dict[str, list[float]] = {name: [] for name in bench.stacks}
        for name, stack in bench.turns(LARGE_ROUNDS):
            load = bench.loader.run(
                stack.url, f"/hit/{LARGE}/film", connections=LARGE_CONNECTIONS, requests=LARGE_REQUESTS
            ).expect(200)
            rates[name].append(load.bytes / load.seconds / 1e6)
    wirings = [name for name in rates if name in ("redirect", "transparent")]
    measures = [
        ratio(f"100 MB hits, {name} wiring: rate / bare Envoy", rates[name], rates["bare"], 0.98, ">=")
        for name in wirings
    ]
    return measures + [typical(f"100 MB hits, {name}: rate", each, "MB/s") for name, each in rates.items()]


def _small_hits(loader: Loader, stack: Stack) -> Load:
    path = f"/hit/{SMALL}/photo-{{n}}.jpg"
    return loader.run(stack.url, path, connections=CONNECTIONS, seconds=SMALL_SECONDS).expect(200)


@contextmanager
def _bench() -> Iterator[Bench]:
    with directory() as run_dir, Upstream(run_dir) as upstream, ExitStack() as running:
        stacks = {
            name: running.enter_context(
                Stack(
                    run_dir / name,
                    origin=upstream.origin,
                    store=upstream.store,
                    workers=WORKERS,
                    edit_edge=edit,
                )
            )
            for name, edit in EDGES.items()
        }
        yield Bench(stacks, Loader())
