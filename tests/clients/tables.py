"""The tables of docs/clients.md, written between the marks that it has for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from stack.render import CHECKOUT

from .catalogue import CLIENTS, Operation
from .tools import TOOLS

PAGE = CHECKOUT / "docs" / "clients.md"
OPERATIONS: Sequence[Operation] = get_args(Operation)
TITLES = {"get": "GET", "range": "range", "head": "HEAD", "download": "20 MiB to a file"}
SETUPS = {
    "transparent": "transparent",
    "serve": "transparent, `serve`",
    "redirect": "redirect",
    "distinct": "redirect, `distinct`",
}

Results = Mapping[str, Mapping[str, Any]]


def write(results: Results) -> None:
    for name, rows in tables(results).items():
        fill_in(name, rows)


def fill_in(name: str, rows: Sequence[str]) -> None:
    """Writes the rows of one table between its marks."""
    marked = re.compile(rf"(<!-- {name}: make [a-z-]+ -->\n).*?(<!-- end -->)", re.DOTALL)
    text = PAGE.read_text()
    PAGE.write_text(marked.sub(lambda found: found[1] + "".join(f"{row}\n" for row in rows) + found[2], text))


def tables(results: Results) -> dict[str, list[str]]:
    wirings = {
        wiring: list(_of_operations(results, wiring)) for wiring in ("transparent", "serve", "redirect")
    }
    return {**wirings, "tools": list(_of_tools(results))}


def _of_operations(results: Results, setup: str) -> Iterable[str]:
    yield f"| client | version | {' | '.join(TITLES[each] for each in OPERATIONS)} | 3xx seen |"
    yield f"| --- | --- |{' --- |' * len(OPERATIONS)} --- |"
    for client in CLIENTS:
        found = results.get(client.name, {})
        if setup in found:
            cells = [_word(found[setup].get(each)) for each in OPERATIONS]
            redirects = found[setup]["redirects"] or "none"
            yield f"| {client.name} | {found['version']} | {' | '.join(cells)} | {redirects} |"


def _of_tools(results: Results) -> Iterable[str]:
    yield f"| client | version | {' | '.join(SETUPS.values())} |"
    yield f"| --- | --- |{' --- |' * len(SETUPS)}"
    for each in (*[client for client in CLIENTS if not client.signs], *TOOLS):
        found = results.get(each.name, {})
        if "transparent" in found:
            cells = [_word(_all(found.get(setup))) for setup in SETUPS]
            yield f"| {each.name} | {found['version']} | {' | '.join(cells)} |"


def _all(verdict: Mapping[str, Any] | None) -> bool | None:
    return None if verdict is None else all(right for each, right in verdict.items() if each != "redirects")


def _word(right: bool | None) -> str:
    return "" if right is None else "right" if right else "**wrong**"
