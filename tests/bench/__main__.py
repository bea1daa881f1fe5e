"""`make bench`: measures, prints a table, writes target/bench.json; exit code 1 if a bound is broken."""

from __future__ import annotations

import json
import os
import sys

from stack.render import CHECKOUT

from . import large, machine
from .measure import Measure, table

RESULTS = CHECKOUT / "target" / "bench.json"

BENCHES = {
    "memory-of-one": large.memory_of_one,
    "memory-of-ten": large.memory_of_ten,
    "time-of-one": large.time_of_one,
}


def main() -> int:
    wanted = os.environ.get("BENCH") or None
    if wanted is not None and wanted not in BENCHES:
        print(f"make bench: BENCH={wanted} is not allowed, but one of {', '.join(BENCHES)}", file=sys.stderr)
        return 1
    where = machine.description()
    print("; ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    measures: list[Measure] = []
    for name, bench in BENCHES.items():
        if wanted in (None, name):
            print(f"{name}...", flush=True)
            measures += bench()
    print(table(measures))
    RESULTS.parent.mkdir(exist_ok=True)
    results = {"machine": where, "measures": [measure.as_json() for measure in measures]}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if all(measure.ok for measure in measures) else 1


if __name__ == "__main__":
    sys.exit(main())
