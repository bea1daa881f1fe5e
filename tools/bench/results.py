"""target/bench.json: the results of the last run of each bench."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stack.render import CHECKOUT

from .measure import Measure

RESULTS = CHECKOUT / "target" / "bench.json"

RUNS = 3
"""The runs that are remembered."""

KINDS = ("measures", "series", "rivals", "tables")


@dataclass(frozen=True)
class Table:
    """Figures that belong beside each other: the first row is the head."""

    name: str
    rows: Sequence[Sequence[str]]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "rows": [list(row) for row in self.rows]}


@dataclass
class Results:
    """Measures are objects with name, value, target, unit, spread, ok and runs, and the bench that gave them.

    The runs are the last ones of one module, the oldest first.
    """

    path: Path = RESULTS
    content: dict[str, Any] = field(default_factory=dict)
    module: str = ""
    """The digest of what is measured now."""

    @classmethod
    def load(cls, path: Path = RESULTS, module: str = "") -> Results:
        content = json.loads(path.read_text()) if path.exists() else {}
        return cls(path, content, module)

    def forget_all_but(self, benches: Collection[str]) -> None:
        """Drops what no bench of these names gave: it has gone, or has another name."""
        for kind in KINDS:
            entries = self.content.get(kind, [])
            self.content[kind] = [each for each in entries if each["bench"] in benches]
        known = self.content.get("benches", {})
        self.content["benches"] = {name: each for name, each in known.items() if name in benches}

    def add(
        self,
        bench: str,
        machine: dict[str, str],
        measures: Sequence[Measure] = (),
        series: Sequence[dict[str, Any]] = (),
        rivals: Sequence[dict[str, Any]] = (),
        tables: Sequence[Table] = (),
    ) -> None:
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.content["machine"] = machine
        runs = self._runs(bench)
        commit = machine.get("commit", "unknown")
        of_bench = {"at": at, "load": machine["load"], "commit": commit, "module": self.module}
        self.content.setdefault("benches", {})[bench] = of_bench
        named = {
            "measures": [_with_runs(each, runs.get(each.name, [])) for each in measures],
            "series": series,
            "rivals": rivals,
            "tables": [each.as_json() for each in tables],
        }
        for kind, entries in named.items():
            kept = [each for each in self.content.get(kind, []) if each["bench"] != bench]
            self.content[kind] = kept + [{"bench": bench, **each} for each in entries]
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=1) + "\n")

    def _runs(self, bench: str) -> dict[str, list[dict[str, Any]]]:
        """Returns the earlier runs of the same module, by measure."""
        if self.content.get("benches", {}).get(bench, {}).get("module") != self.module:
            return {}
        return {each["name"]: each["runs"] for each in self.content["measures"] if each["bench"] == bench}


def _with_runs(measure: Measure, earlier: Sequence[dict[str, Any]]) -> dict[str, Any]:
    entry = measure.as_json()
    this = {name: entry[name] for name in ("value", "ok")}
    return {**entry, "runs": [*earlier, this][-RUNS:]}
