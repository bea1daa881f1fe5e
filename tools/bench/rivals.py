"""Misses beside those of other solutions: latency, rate, processor time and memory.

A miss ends when the client has the object, after the redirect where there is one: some peers send none.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .native import Call, Loader, Upstream
from .peers import SYSTEMS, System, start, unavailable
from .resident import Growth, cpu_seconds
from .short import rounds
from .site import directory

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

WORKERS = 2
ROUNDS = rounds(3)
MANY = 4 * GIB
"""The bytes at once for which one round has to do: nginx keeps the objects of each round on its disk."""
WARM_UP_SIZE = 1 << 10
LARGE = 32 * MIB
SECONDS = 1.0
"""The seconds of one load; it ends with the requests that are under way then."""

CELLS: dict[int, list[int]] = {
    4 * KIB: [1, 16, 64],
    64 * KIB: [1, 16, 64],
    MIB: [1, 16, 64],
    32 * MIB: [1, 16, 64],
    GIB: [1, 16],
}
"""Concurrencies for each size. 64 GiB at once take longer than a client waits, and fill disks."""


@dataclass
class Cell:
    """One system with one size and concurrency."""

    system: str
    size: int
    connections: int
    ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        values = {
            "latency_ms": self.ms,
            "per_second": self.per_second,
            "cpu_seconds_per_1000": self.cpu,
            "peak_mib": self.memory,
        }
        row: dict[str, Any] = {"system": self.system, "size": self.size, "concurrency": self.connections}
        for name, each in values.items():
            row[name] = _rounded([median(each), min(each), max(each)]) if each else None
        return {**row, "problem": self.problem}


def rivals() -> list[dict[str, Any]]:
    cells = [
        cell
        for size, concurrencies in CELLS.items()
        for connections in concurrencies
        for cell in _beside_each_other(size, connections)
    ]
    return [cell.as_json() for cell in cells]


def _beside_each_other(size: int, connections: int) -> list[Cell]:
    """Runs all systems in turns. They are new for each cell, since a process may keep memory that it once
    took.
    """
    print(f"  {size} bytes, {connections} at once...", flush=True)
    cells = [Cell(name, size, connections, problem=unavailable(name)) for name in SYSTEMS]
    with directory() as run_dir, Upstream(run_dir) as upstream, ExitStack() as running:
        loader = Loader()
        able = [cell for cell in cells if cell.problem is None]
        systems = {
            cell.system: running.enter_context(start(cell.system, run_dir, upstream, WORKERS))
            for cell in able
        }
        for system in systems.values():
            call = Call(f"{system.url}{system.prefix}/{WARM_UP_SIZE}/{{n}}.jpg")
            loader.run(call, connections=connections, requests=2 * connections, follow=True)
        for number in range(1 if size * connections > MANY else ROUNDS):
            for cell in able if number % 2 else reversed(able):
                _measure(cell, systems[cell.system], loader)
    return cells


def _measure(cell: Cell, system: System, loader: Loader) -> None:
    if cell.problem:
        return
    pids = system.pids()
    growth, before = Growth(*pids), cpu_seconds(pids)
    call = Call(f"{system.url}{system.prefix}/{cell.size}/{{n}}.jpg")
    # A large load ends by its number. Otherwise an object that is just begun would be the rest of the load.
    bound = {"requests": cell.connections} if cell.size >= LARGE else {"seconds": SECONDS}
    load = loader.run(call, connections=cell.connections, follow=True, **bound)
    served = load.statuses.get("200", 0)
    if served < sum(load.statuses.values()) or load.bytes < served * cell.size:
        wrong = {status: count for status, count in load.statuses.items() if status != "200"}
        cell.problem = f"answers instead of the object: {wrong}" if wrong else "truncated objects"
        return
    cell.cpu.append((cpu_seconds(pids) - before) / served * 1000)
    cell.memory.append(growth.highest())
    cell.ms.append(load.p50)
    cell.per_second.append(load.per_second)


def _rounded(values: list[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
