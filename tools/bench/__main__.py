"""`make bench`: measures, prints a table, writes target/bench.json; exit code 1 if a bound is broken."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from . import growth, hits, large, machine, misses, module, shares, unread
from .document import rivals_table
from .measure import Measure, table
from .results import RESULTS, Results
from .rivals import rivals

BENCHES: dict[str, Callable[[], list[Measure]]] = {
    "size": module.size_of_module,
    "hits": hits.cost_of_hits,
    "large-hits": hits.throughput_of_hits,
    "miss": misses.miss_alone,
    "herd": misses.herd,
    "rate": misses.rate,
    "memory-of-one": large.memory_of_one,
    "memory-of-ten": large.memory_of_ten,
    "time-of-one": large.time_of_one,
    "shares-silent": shares.beside_silent,
    "shares-large": shares.beside_large,
    "idle-clients": unread.idle_clients,
    "bodies": unread.bodies,
}

GROWTH: dict[str, Callable[[], tuple[list[Measure], list[dict[str, Any]]]]] = {
    "growth-sizes": growth.sizes,
    "growth-waiters": growth.waiters,
    "growth-time": growth.over_time,
    "growth-workers": growth.workers,
    "growth-keys": growth.keys,
}

PEERS = "peers"

GROUPS = {
    "targets": list(BENCHES),
    "memory": ["memory-of-one", "memory-of-ten"],
    "shares": ["shares-silent", "shares-large"],
    "growth": list(GROWTH),
}

ALL = [*BENCHES, PEERS, *GROWTH]


def main() -> int:
    asked = os.environ.get("BENCH") or ""
    wanted = GROUPS.get(asked, [asked] if asked else ALL)
    if not set(wanted) <= set(ALL):
        allowed = ", ".join([*GROUPS, *ALL])
        print(f"make bench: BENCH={asked} is not allowed, but one of {allowed}", file=sys.stderr)
        return 1
    where = machine.description()
    print("; ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    measures = _run(wanted, where, Results() if wanted == ALL else Results.load())
    print(table(measures))
    print(f"written to {RESULTS}")
    return 0 if all(measure.ok for measure in measures) else 1


def _run(wanted: Sequence[str], where: dict[str, str], results: Results) -> list[Measure]:
    measured: list[Measure] = []
    for name in wanted:
        start = time.monotonic()
        print(f"{name}...", flush=True)
        if name == PEERS:
            rows = rivals()
            results.add(name, where, rivals=rows)
            print(rivals_table(rows))
        elif name in GROWTH:
            measures, series = GROWTH[name]()
            measured += measures
            results.add(name, where, measures, series)
        else:
            measures = BENCHES[name]()
            measured += measures
            results.add(name, where, measures)
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
    return measured


if __name__ == "__main__":
    sys.exit(main())
