"""`python -m dashboard http://127.0.0.1:9090 SECONDS HOUR`: the picture of docs/migration.md, as SVG.

It asks a Prometheus for the queries of the shipped dashboard, over the last SECONDS, and draws the panels at
their places. It is no screenshot of Grafana: colours and fonts are its own, the values come of the scrape.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html import escape
from typing import Any

from stack.render import CHECKOUT

DASHBOARD = CHECKOUT / "envoy" / "observability" / "grafana" / "dashboards" / "mirror-on-miss.json"
ROWS = ("Is it well?", "Progress", "Misses")
COLUMN, LINE, GAP = 50, 34, 6
"""Pixels of one step of Grafana's grid, and between panels."""

WIDTH = 24 * COLUMN
POINTS = 120
COLOURS = {"red": "#c4162a", "yellow": "#b38600", "green": "#2f7d32", "blue": "#1f60c4"}
SERIES = ["#1f60c4", "#2f7d32", "#c4162a", "#b38600", "#8f3bb8", "#0a7a8a"]

Series = tuple[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Scrape:
    """What a Prometheus has scraped in some time. `hour` stands for an hour in the records that it made."""

    url: str
    begin: float
    end: float
    hour: str


def main() -> None:
    url, seconds, hour = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    end = time.time()
    panels = list(chosen(json.loads(DASHBOARD.read_text())["panels"]))
    top = min(panel["gridPos"]["y"] for panel in panels)
    drawn = [draw(panel, top, Scrape(url, end - seconds, end, hour)) for panel in panels]
    height = max((panel["gridPos"]["y"] - top + panel["gridPos"]["h"]) * LINE for panel in panels)
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="100%" height="100%" fill="#f4f5f5"/>\n'
        + "\n".join(drawn)
        + "\n</svg>"
    )


def chosen(panels: list[dict[str, Any]]) -> Any:
    """Yields the panels below the rows that are drawn."""
    row = ""
    for panel in panels:
        row = panel["title"] if panel["type"] == "row" else row
        if row in ROWS:
            yield panel


def draw(panel: dict[str, Any], top: int, scrape: Scrape) -> str:
    place = panel["gridPos"]
    x, y = place["x"] * COLUMN + GAP / 2, (place["y"] - top) * LINE + GAP / 2
    width, height = place["w"] * COLUMN - GAP, place["h"] * LINE - GAP
    title = f'<text x="10" y="19" fill="#24292e" font-weight="bold">{escape(panel["title"])}</text>'
    if panel["type"] == "row":
        return f'<g transform="translate({x} {y})">{title}</g>'
    found = [series for target in panel["targets"] for series in asked(target, scrape) if series[1]]
    inside = (
        stat(panel, found, width, height) if panel["type"] == "stat" else graph(panel, found, width, height)
    )
    frame = f'<rect width="{width}" height="{height}" rx="2" fill="#fff" stroke="#dcdcdd"/>'
    return f'<g transform="translate({x} {y})">{frame}{title}{inside}</g>'


def asked(target: dict[str, Any], scrape: Scrape) -> list[Series]:
    """Asks Prometheus for a panel's query."""
    url, begin, end = scrape.url, scrape.begin, scrape.end
    replaced = {
        "$__rate_interval": "1m",
        "$__range": f"{int(end - begin)}s",
        "$instance": ".*",
        ":1h]": f":{scrape.hour}]",
    }
    query = target["expr"]
    for name, value in replaced.items():
        query = query.replace(name, value)
    step = max(1, int((end - begin) / POINTS))
    parameters = urllib.parse.urlencode({"query": query, "start": begin, "end": end, "step": step})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{parameters}", timeout=30) as answer:
        results = json.load(answer)["data"]["result"]
    return [(label(target["legendFormat"], result["metric"]), points(result["values"])) for result in results]


def points(values: list[list[Any]]) -> list[tuple[float, float]]:
    return [(float(at), float(value)) for at, value in values if value not in ("NaN", "+Inf", "-Inf")]


def label(legend: str, metric: dict[str, str]) -> str:
    for name, value in metric.items():
        legend = legend.replace("{{" + name + "}}", value)
    return legend


def stat(panel: dict[str, Any], found: list[Series], width: float, height: float) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    if not found:
        return nothing(width, height)
    value = found[0][1][-1][1]
    colour = "blue"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return (
        f'<text x="{width / 2}" y="{height / 2 + 24}" text-anchor="middle" font-size="34" '
        f'fill="{COLOURS[colour]}">{escape(written(value, defaults["unit"]))}</text>'
    )


def nothing(width: float, height: float) -> str:
    return f'<text x="{width / 2}" y="{height / 2 + 10}" text-anchor="middle" fill="#8e8e8e">No data</text>'


def graph(panel: dict[str, Any], found: list[Series], width: float, height: float) -> str:
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    left, right, upper, lower = 64.0, width - 14, 34.0, height - 44
    flat = [point for _, values in found for point in values]
    if not flat:
        return nothing(width, height)
    first, last = min(at for at, _ in flat), max(at for at, _ in flat)
    most = max(value for _, value in flat) or 1.0

    def place(at: float, value: float) -> str:
        across = left + (right - left) * (at - first) / ((last - first) or 1)
        return f"{across:.1f},{lower - (lower - upper) * value / most:.1f}"

    drawn = []
    for part in (0.0, 0.5, 1.0):
        y = lower - (lower - upper) * part
        drawn.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e6e6e6"/>')
        mark = written(most * part, unit)
        drawn.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#6e6e6e">{mark}</text>')
    across = left
    for number, (name, values) in enumerate(found):
        colour = SERIES[number % len(SERIES)]
        line = " ".join(place(at, value) for at, value in values)
        drawn.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        drawn.append(f'<text x="{across}" y="{height - 12}" fill="{colour}">{escape(name)}</text>')
        across += 8 * len(name) + 20
    minutes = (last - first) / 60
    drawn.append(
        f'<text x="{right}" y="{lower + 16}" text-anchor="end" fill="#6e6e6e">{minutes:.0f} minutes</text>'
    )
    return "".join(drawn)


def written(value: float, unit: str) -> str:
    """Writes a number as Grafana does, nearly."""
    if unit == "percentunit":
        return f"{value:.1%}" if value < 10 else f"{value * 100:.0f}%"
    if unit == "s":
        return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"
    if unit.lower() in ("bytes", "bps"):
        for name in ("B", "KiB", "MiB"):
            if value < 1024:
                return f"{value:.3g} {name}"
            value /= 1024
        return f"{value:.3g} GiB"
    for name in ("", " K", " Mil"):
        if value < 1000:
            return f"{value:.3g}{name}"
        value /= 1000
    return f"{value:.3g} Bil"


if __name__ == "__main__":
    main()
