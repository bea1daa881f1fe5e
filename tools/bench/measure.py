"""Measures and their bounds."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import harmonic_mean, median
from typing import Any

BOUNDS = {"<=": operator.le, ">=": operator.ge, "=": operator.eq}


@dataclass(frozen=True)
class Measure:
    """A value and its bound. Without a target it is only reported."""

    name: str
    value: float
    target: float | None
    unit: str
    lowest: float
    highest: float
    """The bounds of the single runs that the value comes from."""
    bound: str = "<="
    allowance: str = ""
    """What else would do, in words."""
    allowed: bool = False
    """That holds."""

    @property
    def ok(self) -> bool:
        return self.allowed or self.target is None or BOUNDS[self.bound](self.value, self.target)

    @property
    def aim(self) -> str | None:
        return None if self.target is None else f"{self.bound} {self.target:g}{self.allowance}"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": _digits(self.value),
            "target": self.aim,
            "unit": self.unit,
            "spread": [_digits(self.lowest), _digits(self.highest)],
            "ok": self.ok,
        }


def worst(name: str, values: Sequence[float], target: float | None, unit: str) -> Measure:
    """Makes a measure that may never exceed its bound."""
    return Measure(name, max(values), target, unit, min(values), max(values))


def exactly(name: str, values: Sequence[float], target: float, unit: str) -> Measure:
    """Makes a measure that has one right value in every run: the value is the one that is furthest from
    it.
    """
    furthest = max(values, key=lambda value: abs(value - target))
    return Measure(name, furthest, target, unit, min(values), max(values), "=")


def typical(name: str, values: Sequence[float], unit: str) -> Measure:
    """Makes a measure that is only reported."""
    return Measure(name, median(values), None, unit, min(values), max(values))


def ratio(
    name: str, values: Sequence[float], over: Sequence[float], target: float | None, bound: str = "<="
) -> Measure:
    """Takes the median of the ratios of runs that took turns; the spread is theirs.

    Other work on the machine comes and goes slower than a turn, and so mostly strikes both runs or none.
    """
    turns = [value / other for value, other in zip(values, over, strict=True)]
    return Measure(name, median(turns), target, "x", min(turns), max(turns), bound)


def ratio_or_more(
    name: str, values: Sequence[float], over: Sequence[float], target: float, more: float, unit: str
) -> Measure:
    """Makes such a ratio, which does not count where the median turn is less than `more` above the other."""
    measure = ratio(name, values, over, target)
    above = median(value - other for value, other in zip(values, over, strict=True))
    return replace(measure, allowance=f", or {more:g} {unit} more", allowed=above < more)


def ratio_of_rates(
    name: str, rates: Sequence[float], over: Sequence[float], target: float | None, bound: str = ">="
) -> Measure:
    """Divides all work by all its time, of each, in turns of equal work; the spread is the turns'.

    It suits many short turns that differ by chance, where the median of their ratios wanders more.
    """
    turns = [rate / other for rate, other in zip(rates, over, strict=True)]
    value = harmonic_mean(rates) / harmonic_mean(over)
    return Measure(name, value, target, "x", min(turns), max(turns), bound)


def table(measures: Iterable[Measure]) -> str:
    rows = [("measure", "value", "target", "spread", "")]
    for each in measures:
        value = f"{each.value:.4g} {each.unit}"
        spread = f"{each.lowest:.4g} to {each.highest:.4g}"
        verdict = "" if each.target is None else "ok" if each.ok else "BROKEN"
        rows.append((each.name, value, each.aim or "", spread, verdict))
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _digits(value: float) -> float:
    """Four digits are more than a run can repeat."""
    return float(f"{value:.4g}") if abs(value) < 1000 else round(value)
