"""target/bench.json: the results of the last run of each bench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stack.render import CHECKOUT

from .measure import Measure

RESULTS = CHECKOUT / "target" / "bench.json"


@dataclass
class Results:
    """Measures are objects with name, value, target, unit, spread and ok, and the bench that gave them."""

    path: Path = RESULTS
    content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path = RESULTS) -> Results:
        content = json.loads(path.read_text()) if path.exists() else {}
        return cls(path, content)

    def add(
        self,
        bench: str,
        machine: dict[str, str],
        measures: Sequence[Measure] = (),
        series: Sequence[dict[str, Any]] = (),
        rivals: Sequence[dict[str, Any]] = (),
    ) -> None:
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.content["machine"] = machine
        self.content.setdefault("benches", {})[bench] = {"at": at, "load": machine["load"]}
        named = {"measures": [each.as_json() for each in measures], "series": series, "rivals": rivals}
        for kind, entries in named.items():
            kept = [each for each in self.content.get(kind, []) if each["bench"] != bench]
            self.content[kind] = kept + [{"bench": bench, **each} for each in entries]
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=1) + "\n")
