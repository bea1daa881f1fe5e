"""The tables and plots of docs/performance*.md, from target/bench.json: `python -m bench.document`.

The text between `<!-- NAME -->` and `<!-- end -->` is replaced, all other text is prose and stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stack.render import CHECKOUT

from .measure import columns
from .plot import draw
from .results import Results

PAGES = [CHECKOUT / "docs" / name for name in ("performance.md", "performance-appendix.md")]
PLOTS = CHECKOUT / "docs" / "performance"

SIZES = {1 << 10: "KiB", 1 << 20: "MiB", 1 << 30: "GiB"}

FIGURES = {
    "latency_ms": "latency, ms",
    "per_second": "per second",
    "cpu_seconds_per_1000": "CPU seconds per 1,000",
    "peak_mib": "peak memory, MiB",
}


def main() -> None:
    content = Results.load().content
    PLOTS.mkdir(exist_ok=True)
    for series in content.get("series", []):
        (PLOTS / f"{series['name']}.svg").write_text(draw(series))
    blocks = {
        "machine": _machine(content),
        "targets": _markdown(targets_rows(content)),
        "others": _markdown(_others(content)),
        "rivals": _markdown(rivals_rows(content.get("rivals", []))),
        "plots": "\n\n".join(_plot(each) for each in content.get("series", [])),
        **{each["name"]: _markdown(each["rows"]) for each in content.get("tables", [])},
    }
    for page in PAGES:
        page.write_text(filled(page.read_text(), blocks))


def filled(page: str, blocks: dict[str, str]) -> str:
    """Returns the page with the blocks that it has a place for."""
    end = "<!-- end -->"
    for name, text in blocks.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        if begin:
            page = f"{before}{begin}\n{text}\n\n{end}{rest.partition(end)[2]}"
    return page


def rivals_table(rivals: Sequence[dict[str, Any]]) -> str:
    return columns(rivals_rows(rivals))


def rivals_rows(rivals: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Makes one row for a system with a size and a concurrency: medians, or the reason for none."""
    rows = [["size", "at once", "system", *FIGURES.values()]]
    for row in rivals:
        figures = [f"{row[name][0]:g}" if row[name] else "" for name in FIGURES]
        if row["problem"]:
            figures = [row["problem"], "", "", ""]
        rows.append([_size(row["size"]), str(row["concurrency"]), row["system"], *figures])
    return rows


def targets_rows(content: dict[str, Any]) -> list[list[str]]:
    """Makes one row for each measure with a target: its runs, the newest last."""
    rows = [["measure", "target", "runs", "spread of the last", ""]]
    for each in content["measures"]:
        if each["target"]:
            low, high = each["spread"]
            missed = sum(not run["ok"] for run in each["runs"])
            verdict = "ok" if not missed else f"**missed**, {missed} of {len(each['runs'])}"
            values = ", ".join(f"{run['value']:g}" for run in each["runs"])
            rows.append(
                [
                    _name(content, each),
                    each["target"],
                    f"{values} {each['unit']}".strip(),
                    f"{low:g} to {high:g}",
                    verdict,
                ]
            )
    return rows


def _others(content: dict[str, Any]) -> list[list[str]]:
    rows = [["measure", "value", "spread"]]
    for each in content["measures"]:
        if not each["target"]:
            low, high = each["spread"]
            value = f"{each['value']:g} {each['unit']}".strip()
            rows.append([_name(content, each), value, f"{low:g} to {high:g}"])
    return rows


def _name(content: dict[str, Any], measure: dict[str, Any]) -> str:
    """Returns the name of a measure. One of another module than the newest bench's is marked."""
    benches = content["benches"]
    newest = max(benches.values(), key=lambda each: each["at"])
    of_newest = benches[measure["bench"]]["module"] == newest["module"]
    return measure["name"] if of_newest else f"(older) {measure['name']}"


def _machine(content: dict[str, Any]) -> str:
    """Describes the machine and the time of the run."""
    times = sorted(each["at"] for each in content.get("benches", {}).values())
    where = "; ".join(f"{name} {value}" for name, value in content["machine"].items())
    modules = ", ".join(sorted({each["module"] for each in content.get("benches", {}).values()}))
    return f"{where}. Measured from {times[0]} to {times[-1]}. SHA-256 of the module: {modules}."


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plot(series: dict[str, Any]) -> str:
    return f"![{series['title']} over {series['axis']}]({PLOTS.name}/{series['name']}.svg)"


def _size(size: int) -> str:
    unit = max((unit for unit in SIZES if unit <= size), default=1)
    return f"{size // unit} {SIZES.get(unit, 'B')}"


if __name__ == "__main__":
    main()
