"""What was measured, and whether it keeps its bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A value that must not be above its target."""

    name: str
    value: float
    target: float
    unit: str
    lowest: float
    highest: float
    """Of the single runs that the value comes from."""

    @property
    def ok(self) -> bool:
        return self.value <= self.target

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "target": f"<= {self.target:g}",
            "unit": self.unit,
            "spread": [round(self.lowest, 3), round(self.highest, 3)],
            "ok": self.ok,
        }


def worst(name: str, values: Sequence[float], target: float, unit: str) -> Measure:
    """For what may never be exceeded."""
    return Measure(name, max(values), target, unit, min(values), max(values))


def ratio(name: str, values: Sequence[float], over: Sequence[float], target: float) -> Measure:
    """Median over median, of runs that took turns; the spread is that of the turns."""
    turns = [value / other for value, other in zip(values, over)]
    return Measure(name, median(values) / median(over), target, "x", min(turns), max(turns))


def table(measures: Iterable[Measure]) -> str:
    rows = [("measure", "value", "target", "spread", "")]
    for each in measures:
        value = f"{each.value:.3g} {each.unit}"
        spread = f"{each.lowest:.3g} to {each.highest:.3g}"
        rows.append((each.name, value, f"<= {each.target:g}", spread, "ok" if each.ok else "BROKEN"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    )
