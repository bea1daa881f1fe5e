"""The cost of a hit: an object that is in the bucket already, the rule once a migration has begun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack import Stack

from .edges import bare, bare_transparent, empty, unmatched
from .measure import Measure, ratio, ratio_of_rates, typical
from .native import Call, Load, Loader, Upstream
from .peers import System, start, unavailable
from .resident import cpu_seconds
from .short import rounds
from .site import directory

WORKERS = 1
"""One busy thread of the measured system. The second core is for the load and the bucket."""

SMALL = 4096
CONNECTIONS = 16
SMALL_ROUNDS = 10
SMALL_SECONDS = 0.33
WARM_UP_SECONDS = 0.5

LARGE = 100_000_000
LARGE_CONNECTIONS = 4
LARGE_ROUNDS = 16
LARGE_REQUESTS = 4

SMALL_PROCESSES, LARGE_PROCESSES = rounds(6), rounds(9)
"""The turns and the processes of one system differ by a tenth and more, by chance. More of both make that
matter less. A second bare Envoy beside the first shows the rest of it.
"""

STACKS: dict[str, dict[str, Any]] = {
    "bare Envoy": {"edit_edge": bare},
    "a second bare Envoy": {"edit_edge": bare},
    "empty filter": {"edit_edge": empty},
    "redirect wiring": {},
    "filter without matcher": {"edit_edge": unmatched},
    "bare transparent edge": {"wiring": "transparent", "edit_edge": bare_transparent},
    "transparent wiring": {"wiring": "transparent"},
}
"""Both wirings have edges of their own, with other routes: each is compared to its own without the filter."""

PEERS = ("Lua filter", "nginx")
"""Peers of the edge. The Lambda recipe is left out: a hit never comes to it."""


@dataclass(frozen=True)
class Bench:
    systems: dict[str, System]
    loader: Loader

    def turns(self, rounds: int) -> Iterator[tuple[str, System]]:
        """Runs each of them once a round, in an order that turns with the rounds."""
        names = list(self.systems)
        for number in range(rounds):
            for name in names if number % 2 else reversed(names):
                yield name, self.systems[name]

    def hits(self, system: System, size: int, **bounds: float) -> Load:
        # One object, since nginx has only objects that were asked for before.
        call = Call(f"{system.url}{system.prefix}/hit/{size}/photo.jpg")
        return self.loader.run(call, **bounds).expect(200)


def cost_of_hits() -> list[Measure]:
    """Returns the processor time for one request, by the process's own account."""
    costs: dict[str, list[float]] = {}
    for _ in range(SMALL_PROCESSES):
        with _bench([*STACKS, *PEERS]) as bench:
            for _, system in bench.turns(1):
                bench.hits(system, SMALL, connections=CONNECTIONS, seconds=WARM_UP_SECONDS)
            for name, system in bench.turns(SMALL_ROUNDS):
                pids = system.pids()
                before = cpu_seconds(pids)
                load = bench.hits(system, SMALL, connections=CONNECTIONS, seconds=SMALL_SECONDS)
                cost = (cpu_seconds(pids) - before) / load.requests * 1e6
                costs.setdefault(name, []).append(cost)
    compared = [
        ("redirect wiring", "empty filter", 1.10),
        ("transparent wiring", "bare transparent edge", 1.10),
        ("filter without matcher", "empty filter", None),
        ("transparent wiring", "bare Envoy", None),
        ("redirect wiring", "bare Envoy", None),
        ("empty filter", "bare Envoy", None),
        ("a second bare Envoy", "bare Envoy", None),
    ]
    measures = [
        ratio(f"{title_of_cost(name)} / {over}", costs[name], costs[over], target)
        for name, over, target in compared
    ]
    return measures + [typical(title_of_cost(name), each, "us") for name, each in costs.items()]


def title_of_cost(name: str) -> str:
    return f"hit of 4 KiB: CPU, {name}"


def throughput_of_hits() -> list[Measure]:
    compared = [
        ("a second bare Envoy", "bare Envoy", None),
        ("redirect wiring", "bare Envoy", 0.98),
        ("transparent wiring", "bare transparent edge", 0.98),
    ]
    names = dict.fromkeys(name for pair in compared for name in pair[:2])
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(LARGE_PROCESSES):
        with _bench(names) as bench:
            for _, system in bench.turns(1):
                bench.hits(system, LARGE, requests=1)
            for name, system in bench.turns(LARGE_ROUNDS):
                load = bench.hits(system, LARGE, connections=LARGE_CONNECTIONS, requests=LARGE_REQUESTS)
                rates[name].append(load.bytes / load.seconds / 1e6)
    measures = [
        ratio_of_rates(f"hits of 100 MB: rate, {name} / {over}", rates[name], rates[over], target)
        for name, over, target in compared
    ]
    return measures + [typical(f"hits of 100 MB: rate, {name}", each, "MB/s") for name, each in rates.items()]


@contextmanager
def _bench(names: Iterable[str]) -> Iterator[Bench]:
    with directory() as run_dir, Upstream(run_dir) as upstream, ExitStack() as running:
        systems = {}
        for name in names:
            if name in STACKS:
                stack = running.enter_context(_stack(run_dir / name, upstream, STACKS[name]))
                prefix = f"/{upstream.store.bucket}" if "wiring" in STACKS[name] else ""
                systems[name] = System(stack.url, [stack.edge.pid], prefix)
            elif unavailable(name) is None:
                systems[name] = running.enter_context(start(name, run_dir, upstream, WORKERS))
        yield Bench(systems, Loader())


def _stack(run_dir: Path, upstream: Upstream, options: dict[str, Any]) -> Stack:
    return Stack(run_dir, origin=upstream.origin, store=upstream.store, workers=WORKERS, **options)
