"""The metrics that Envoy shows at /stats/prometheus."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TYPE = re.compile(r"# TYPE (\S+) (\S+)")


@dataclass(frozen=True)
class Series:
    name: str
    labels: dict[str, str]
    value: float

    def relabelled(self, rules: list[dict[str, Any]]) -> Series:
        """Returns the series as Prometheus relabels it, by rules that read the name."""
        name, labels = self.name, dict(self.labels)
        for rule in rules:
            assert rule["source_labels"] == ["__name__"]
            if match := re.fullmatch(rule["regex"], name):
                value = _expanded(rule.get("replacement", "${1}"), match)
                if rule["target_label"] == "__name__":
                    name = value
                else:
                    labels[_expanded(rule["target_label"], match)] = value
        return Series(name, labels, self.value)


def _expanded(template: str, match: re.Match[str]) -> str:
    return re.sub(r"\$\{(\d)\}", lambda group: match[int(group[1])], template)


class Scrape:
    def __init__(self, text: str) -> None:
        self.types: dict[str, str] = {}
        self.series: list[Series] = []
        for line in text.splitlines():
            if match := _TYPE.match(line):
                self.types[match[1]] = match[2]
            elif match := _SAMPLE.fullmatch(line):
                labels = dict(_LABEL.findall(match["labels"] or ""))
                self.series.append(Series(match["name"], labels, float(match["value"])))

    @property
    def own(self) -> dict[str, str]:
        """Returns the module's metrics, and their types."""
        return {name: kind for name, kind in self.types.items() if name.startswith("mirror_on_miss_")}

    def has(self, name: str, labels: dict[str, str]) -> bool:
        """Tells if there is a series of that name with at least these labels."""
        return any(each.name == name and labels.items() <= each.labels.items() for each in self.series)

    def labels(self, name: str) -> set[str]:
        """Returns the labels of a metric; those of a histogram without its own `le`."""
        names = {name, f"{name}_sum"}
        return {label for each in self.series if each.name in names for label in each.labels}

    def values(self, name: str, label: str) -> dict[str, float]:
        """Returns the counts by a label's value."""
        found = (each for each in self.series if each.name == name and label in each.labels)
        return {each.labels[label]: each.value for each in found}
