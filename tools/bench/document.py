"""The tables and plots of docs/performance*.md, from target/bench.json: `python -m bench.document`.

The text between `<!-- NAME -->` and `<!-- end -->` is replaced, all other text is prose and stays. What was
not measured stays, too, with the commit that it is of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from stack.render import CHECKOUT

from .distant import (
    FILLING,
    FILLING_IN_LUA,
    SEAWEEDFS,
    STORING,
    title_of_site,
    title_of_site_process,
)
from .measure import columns
from .misses import title_of_process
from .peers import OURS, SYSTEMS
from .plot import draw
from .results import Results
from .sizing import sizing_rows

PAGES = [CHECKOUT / "docs" / name for name in ("performance.md", "performance-appendix.md")]
PLOTS = CHECKOUT / "docs" / "performance"

SIZES = {1 << 10: "KiB", 1 << 20: "MiB", 1 << 30: "GiB"}

TABLES = ("distant", "stream-peers")
PICTURE = re.compile(rf"\({PLOTS.name}/([a-z-]+)\.svg\)")

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
    for page in PAGES:
        text = page.read_text()
        page.write_text(filled(text, {**blocks_of(content), "plots": plots(text, content)}))


def blocks_of(content: dict[str, Any]) -> dict[str, str]:
    rivals = content.get("rivals", [])
    tables = {name: "" for name in TABLES}
    measures = content["measures"]
    for name, costs in (("miss-costs", cost_rows(measures)), ("site-costs", site_cost_rows(measures))):
        tables[name] = _markdown(costs) if any("".join(row[1:-1]) for row in costs[1:]) else ""
    for each in content.get("tables", []):
        tables[each["name"]] = f"{_markdown(each['rows'])}\n\n{_of_commit(content, each)}"
    return {
        "better": _markdown(better_rows(rivals)) if rivals else "",
        "machine": _machine(content),
        "others": _markdown(_others(content)),
        "rivals": f"{_markdown(rivals_rows(rivals))}\n\n{_of_commit(content, rivals[0])}" if rivals else "",
        "sizing": _markdown(sizing_rows(content)),
        "targets": _markdown(targets_rows(content)),
        **tables,
    }


def plots(page: str, content: dict[str, Any]) -> str:
    """Returns the pictures that the page has, with those of the newest run in their places."""
    _, _, rest = page.partition("<!-- plots -->\n")
    before = rest.partition("<!-- end -->")[0].strip()
    pictures = {PICTURE.findall(each)[0]: each for each in before.split("\n\n") if PICTURE.search(each)}
    for series in content.get("series", []):
        picture = f"![{series['title']} over {series['axis']}]({PLOTS.name}/{series['name']}.svg)"
        pictures[series["name"]] = f"{picture}\n{_of_commit(content, series)}"
    return "\n\n".join(pictures.values())


def filled(page: str, blocks: dict[str, str]) -> str:
    """Returns the page with the blocks that it has a place for. An empty one leaves what is there."""
    end = "<!-- end -->"
    for name, text in blocks.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        if begin and text:
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


def better_rows(rivals: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Makes one row for each peer and size: where it has more per second, less processor time or less memory.

    It is compared with the best of our three, figure by figure. A peer that is better nowhere has one row.
    """
    rows = [["peer", "size", "more per second", "less CPU", "less memory"]]
    for peer in [name for name in SYSTEMS if name not in OURS]:
        sizes = sorted({row["size"] for row in rivals if row["system"] == peer})
        found = [(size, [_better(rivals, peer, size, *figure) for figure in BETTER]) for size in sizes]
        better = [[peer, _size(size), *cells] for size, cells in found if any(cells)]
        rows += better or [[peer, "", *["nowhere"] * len(BETTER)]]
    return rows


BETTER = (("per_second", 1), ("cpu_seconds_per_1000", -1), ("peak_mib", -1))
"""Figures, and the sign of what is better."""


def _better(rivals: Sequence[dict[str, Any]], peer: str, size: int, figure: str, sign: int) -> str:
    """Lists the numbers of requests at once with which a peer is better."""
    return "; ".join(
        f"at {row['concurrency']}: {_percent(row[figure][0], ours)}"
        for row in rivals
        if (row["system"], row["size"]) == (peer, size) and row[figure]
        for ours in [_best(rivals, row, figure, sign)]
        if ours is not None and sign * row[figure][0] > sign * ours
    )


def _best(rivals: Sequence[dict[str, Any]], row: dict[str, Any], figure: str, sign: int) -> float | None:
    values = [
        each[figure][0]
        for each in rivals
        if each["system"] in OURS
        and (each["size"], each["concurrency"]) == (row["size"], row["concurrency"])
        and each[figure]
    ]
    return max(values, key=lambda value: sign * value, default=None)


def _percent(value: float, ours: float) -> str:
    return f"{value / ours - 1:+.0%}"


PROCESSES = ("edge", "signer", "bucket", "origin", "load")


def cost_rows(measures: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Makes one row for each kind of load on SeaweedFS: the microseconds of each process for one of it."""
    loads = {"a miss": "misses", "its three calls made by clients": "sequences", "a PUT": "PUTs"}
    return _cost_rows(measures, partial(title_of_process, bucket="SeaweedFS"), loads)


def site_cost_rows(measures: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Makes such rows for the objects of a site, which have all sizes."""
    loads = {"a fill": FILLING, "a fill by the Lua filter": FILLING_IN_LUA, "a PUT": STORING[1]}
    return _cost_rows(measures, partial(title_of_site_process, title_of_site(SEAWEEDFS)), loads)


def _cost_rows(
    measures: Sequence[dict[str, Any]], title: Callable[..., str], loads: Mapping[str, str]
) -> list[list[str]]:
    known = {each["name"]: each["value"] for each in measures}
    rows = [["", *PROCESSES, "all"]]
    for name, load in loads.items():
        costs = [known.get(title(load, process=process)) for process in PROCESSES]
        whole = sum(cost for cost in costs if cost is not None)
        rows.append([name, *("" if cost is None else f"{cost:.0f}" for cost in costs), f"{whole:.0f}"])
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


def _of_commit(content: dict[str, Any], entry: dict[str, Any]) -> str:
    return f"Of commit `{content['benches'][entry['bench']]['commit']}`."


def _size(size: int) -> str:
    unit = max((unit for unit in SIZES if unit <= size), default=1)
    return f"{size // unit} {SIZES.get(unit, 'B')}"


if __name__ == "__main__":
    main()
