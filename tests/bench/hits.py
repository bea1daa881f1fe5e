"""What a hit costs: an object that is in the bucket already, the rule once a migration has begun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import Stack
from stack.stack import Edit

from .edges import bare, empty
from .measure import Measure, ratio, typical
from .native import Load, Loader, Upstream
from .peers import System, start, unavailable
from .resident import cpu_seconds
from .site import directory

WORKERS = 1
"""One busy thread of what is measured; the second core is for the load and the bucket."""

SMALL = 4096
CONNECTIONS = 16
SMALL_ROUNDS = 11
SMALL_SECONDS = 1.0

LARGE = 100_000_000
LARGE_CONNECTIONS = 2
LARGE_ROUNDS = 9
LARGE_REQUESTS = 12

EDGES: dict[str, Edit | None] = {"bare Envoy": bare, "empty filter": empty, "redirect wiring": None}

PEERS = ("Lua filter", "nginx")
"""Besides. The Lambda recipe is left out: a hit never comes to it."""


@dataclass(frozen=True)
class Bench:
    systems: dict[str, System]
    loader: Loader

    def turns(self, rounds: int) -> Iterator[tuple[str, System]]:
        """Each of them once a round, in an order that turns with the rounds."""
        names = list(self.systems)
        for number in range(rounds):
            for name in names if number % 2 else reversed(names):
                yield name, self.systems[name]

    def hits(self, system: System, size: int, **bounds: float) -> Load:
        # One object, since nginx has only what was asked for before.
        return self.loader.run(system.url, f"/hit/{size}/photo.jpg", **bounds).expect(200)


def cost_of_hits() -> list[Measure]:
    """The processor time for one request, by the process's own account."""
    with _bench() as bench:
        costs: dict[str, list[float]] = {name: [] for name in bench.systems}
        for _, system in bench.turns(1):
            bench.hits(system, SMALL, connections=CONNECTIONS, seconds=SMALL_SECONDS)
        for name, system in bench.turns(SMALL_ROUNDS):
            pids = system.pids()
            before = cpu_seconds(pids)
            load = bench.hits(system, SMALL, connections=CONNECTIONS, seconds=SMALL_SECONDS)
            costs[name].append((cpu_seconds(pids) - before) / load.requests * 1e6)
    targets = {("redirect wiring", "empty filter"): 1.10, ("transparent wiring", "bare Envoy"): 1.10}
    others = [("redirect wiring", "bare Envoy"), ("empty filter", "bare Envoy")]
    measures = [
        ratio(f"hit of 4 KiB: CPU, {name} / {over}", costs[name], costs[over], targets.get((name, over)))
        for name, over in [*targets, *others]
        if name in costs
    ]
    return measures + [typical(f"hit of 4 KiB: CPU, {name}", each, "us") for name, each in costs.items()]


def throughput_of_hits() -> list[Measure]:
    with _bench() as bench:
        rates: dict[str, list[float]] = {name: [] for name in bench.systems}
        for _, system in bench.turns(1):
            bench.hits(system, LARGE, requests=1)
        for name, system in bench.turns(LARGE_ROUNDS):
            load = bench.hits(system, LARGE, connections=LARGE_CONNECTIONS, requests=LARGE_REQUESTS)
            rates[name].append(load.bytes / load.seconds / 1e6)
    measures = [
        ratio(f"hits of 100 MB: rate, {name} / bare Envoy", each, rates["bare Envoy"], 0.98, ">=")
        for name, each in rates.items()
        if name.endswith("wiring")
    ]
    return measures + [typical(f"hits of 100 MB: rate, {name}", each, "MB/s") for name, each in rates.items()]


@contextmanager
def _bench() -> Iterator[Bench]:
    with directory() as run_dir, Upstream(run_dir) as upstream, ExitStack() as running:
        systems = {}
        for name, edit in EDGES.items():
            stack = running.enter_context(_stack(run_dir / name, upstream, edit))
            systems[name] = System(stack.url, [stack.edge.pid])
        for name in PEERS:
            if unavailable(name) is None:
                systems[name] = running.enter_context(start(name, run_dir, upstream, WORKERS))
        yield Bench(systems, Loader())


def _stack(run_dir: Path, upstream: Upstream, edit: Edit | None) -> Stack:
    return Stack(run_dir, origin=upstream.origin, store=upstream.store, workers=WORKERS, edit_edge=edit)
