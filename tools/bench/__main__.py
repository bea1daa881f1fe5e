"""`make bench`: measures, prints tables, writes target/bench.json; exit code 1 if a bound is broken."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from stack.stack import WASM

from . import distant, growth, hits, large, machine, misses, module, shares, startup, stream, thin, unread
from .document import rivals_table
from .measure import Measure, columns, table
from .results import RESULTS, Results, Table
from .rivals import rivals

Series = dict[str, Any]

TARGETS: dict[str, Callable[[], list[Measure]]] = {
    "size": module.size_of_module,
    "start": startup.first_answer,
    "hits": hits.cost_of_hits,
    "large-hits": hits.throughput_of_hits,
    "miss": misses.miss_alone,
    "miss-followed": misses.miss_followed,
    "rate": misses.rate,
    "distant": distant.small_from_afar,
    "distant-site": distant.mixed_site,
    "stream-first-byte": stream.first_byte,
    "stream-rate": stream.rate,
    "herd": misses.herd,
    "memory-of-one": large.memory_of_one,
    "memory-of-ten": large.memory_of_ten,
    "time-of-one": large.time_of_one,
    "shares-silent": shares.beside_silent,
    "shares-large": shares.beside_large,
    "idle-clients": unread.idle_clients,
    "bodies": unread.bodies,
    "thin": thin.thin,
}

TABLES: dict[str, Callable[[], Table]] = {
    "distant-matrix": distant.matrix,
    "stream-peers": stream.peers,
}

GROWTH: dict[str, Callable[[], tuple[list[Measure], list[Series]]]] = {
    "growth-sizes": growth.sizes,
    "growth-waiters": growth.waiters,
    "growth-time": growth.over_time,
    "growth-workers": growth.workers,
    "growth-keys": growth.keys,
    "growth-first-byte": stream.first_byte_over_size,
}

PEERS = "peers"

ALL = [*TARGETS, *TABLES, PEERS, *GROWTH]

GROUPS = {
    # The thin line takes minutes of nothing but waiting.
    "targets": [name for name in TARGETS if name != "thin"],
    "misses": ["miss", "miss-followed", "rate", "herd"],
    "far": ["distant", "distant-site", "distant-matrix", "thin"],
    "stream": ["stream-first-byte", "stream-rate", "stream-peers", "growth-first-byte"],
    "memory": ["memory-of-one", "memory-of-ten"],
    "shares": ["shares-silent", "shares-large"],
    "growth": list(GROWTH),
}


def main() -> int:
    asked = [name for name in os.environ.get("ONLY", "").split(",") if name]
    try:
        wanted = selected(asked)
    except KeyError as error:
        allowed = ", ".join([*GROUPS, *ALL])
        print(f"make bench: ONLY={error.args[0]} is not allowed, but some of {allowed}", file=sys.stderr)
        return 1
    where = machine.description()
    print("; ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    results = Results.load(module=sha256(WASM.read_bytes()).hexdigest()[:12])
    results.forget_all_but(ALL)
    measures, failed = _run(wanted, where, results)
    bounded = [measure for measure in measures if measure.target is not None]
    print(table(bounded) if bounded else "nothing of that has a target")
    for name in failed:
        print(f"{name} FAILED, see above")
    print(f"written to {RESULTS}")
    return 1 if failed or not all(measure.ok for measure in measures) else 0


def selected(asked: Sequence[str]) -> list[str]:
    """Returns the benches of these names and groups, each once, or all. KeyError names what is neither."""
    names = [name for each in asked for name in (GROUPS.get(each) or [each])]
    for name in names:
        if name not in ALL:
            raise KeyError(name)
    return [name for name in ALL if name in names] if names else ALL


def _run(wanted: Sequence[str], where: dict[str, str], results: Results) -> tuple[list[Measure], list[str]]:
    """Returns all measures, and the benches that failed. What they had before stays."""
    measured: list[Measure] = []
    failed: list[str] = []
    begun = time.monotonic()
    for number, name in enumerate(wanted, 1):
        start = time.monotonic()
        print(f"{name} ({number} of {len(wanted)}, after {(start - begun) / 60:.0f} min)...", flush=True)
        try:
            measured += _measure(name, where, results)
        except Exception:
            # The other results are worth more than an early end.
            traceback.print_exc()
            failed.append(name)
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
    return measured, failed


def _measure(name: str, where: dict[str, str], results: Results) -> list[Measure]:
    """Runs one bench, prints and keeps what it found."""
    measures: list[Measure] = []
    if name == PEERS:
        rows = rivals()
        results.add(name, where, rivals=rows)
        print(rivals_table(rows))
    elif name in TABLES:
        found = TABLES[name]()
        results.add(name, where, tables=[found])
        print(columns(found.rows))
    elif name in GROWTH:
        measures, series = GROWTH[name]()
        results.add(name, where, measures, series)
    else:
        measures = TARGETS[name]()
        results.add(name, where, measures)
    if measures:
        print(table(measures))
    return measures


if __name__ == "__main__":
    sys.exit(main())
