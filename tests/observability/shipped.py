"""The files that operators load or read, and the metrics that they name."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
PROMETHEUS = CHECKOUT / "envoy" / "observability" / "prometheus"
DASHBOARD = CHECKOUT / "envoy" / "observability" / "grafana" / "dashboards" / "mirror-on-miss.json"
OPERATIONS = CHECKOUT / "docs" / "operations.md"

NOT_OF_ENVOY = {"instance", "job"}
"""Labels that Prometheus adds."""

_SUFFIX = re.compile(r"_(bucket|count|sum)$")
_GRAFANA = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "6h"}


@dataclass(frozen=True)
class Selector:
    """A series that an expression asks for. `where` is its place, for a failing test's message."""

    where: str
    name: str
    labels: dict[str, str]


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def records() -> list[dict[str, Any]]:
    document = yaml.safe_load((PROMETHEUS / "progress.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def alert_tests() -> list[dict[str, Any]]:
    return yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]


def panels() -> list[dict[str, Any]]:
    return json.loads(DASHBOARD.read_text())["panels"]


def selectors() -> Iterator[Selector]:
    """Returns the selectors of all alerts, records and panels that Envoy itself answers."""
    recorded = {rule["record"] for rule in records()}
    yield from (selector for selector in _all_selectors() if selector.name not in recorded)


def _all_selectors() -> Iterator[Selector]:
    for rule in alerts():
        yield from _selectors(rule["alert"], rule["expr"])
    for rule in records():
        yield from _selectors(rule["record"], rule["expr"])
    for panel in panels():
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in _GRAFANA.items():
                expression = expression.replace(variable, value)
            yield from _selectors(f"panel {panel['title']!r}", expression)


def documented() -> dict[str, tuple[str, set[str]]]:
    """Returns type and labels of each metric in the table of docs/operations.md."""
    row = re.compile(r"^\| `(mirror_on_miss_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
    rows = row.findall(OPERATIONS.read_text())
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def documented_values(label: str) -> set[str]:
    """Returns the values of a label, each a row of the table under the heading that names the label."""
    section = re.search(rf"^### `{label}`\n(.*?)(?=^#)", OPERATIONS.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"{OPERATIONS.name} has no heading for {label}"
    return set(re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE))


def relabelling() -> list[dict[str, Any]]:
    """Returns the rules for an Envoy without stats_tags."""
    snippet = re.compile(r"^```yaml\n(metric_relabel_configs:.*?)^```", re.MULTILINE | re.DOTALL)
    (rules,) = snippet.findall(OPERATIONS.read_text())
    return yaml.safe_load(rules)["metric_relabel_configs"]


def named_in_docs() -> dict[str, str]:
    """Returns every metric that any page names, and one page that does."""
    found = {}
    for page in [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("**/*.md"))]:
        for name in re.findall(
            r"`((?:mirror_on_miss|envoy_(?:cluster|http|wasm))_\w+)[`{]", page.read_text()
        ):
            found.setdefault(metric_of(name), page.name)
    return found


def metric_of(series: str) -> str:
    """Returns a histogram's own name for one of its series."""
    return _SUFFIX.sub("", series)


def _selectors(where: str, expression: str) -> Iterator[Selector]:
    for node in _walk(promql_parser.parse(expression)):
        if isinstance(node, promql_parser.VectorSelector):
            matchers = [
                [(matcher.name, value) for value in _alternatives(matcher)]
                for matcher in _matchers(node)
                if matcher.name not in NOT_OF_ENVOY
            ]
            for labels in itertools.product(*matchers):
                yield Selector(where, node.name, dict(labels))


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for name in ("lhs", "rhs", "expr", "args", "vector_selector"):
        children = getattr(node, name, None) or []
        for child in children if isinstance(children, list) else [children]:
            yield from _walk(child)


def _matchers(selector: Any) -> list[Any]:
    return list(selector.matchers.matchers)


def _alternatives(matcher: Any) -> list[str]:
    """Returns the values of `=` and of `=~` with a list of words. The files use nothing else."""
    values = matcher.value.split("|")
    assert all(re.fullmatch(r"\w+", value) for value in values), f"cannot tell what {matcher} matches"
    return values
