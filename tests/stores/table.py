"""The tables of docs/compatibility.md, from what was measured and the explanations beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.render import CHECKOUT

from .verdict import YES, Cells, is_no, losses, settings, verdict

PAGE = CHECKOUT / "docs" / "compatibility.md"
MEASURED = Path(__file__).with_name("measured.json")
"""The last run of each server, kept so that a run of some leaves the others' rows."""
EXPLAINED = Path(__file__).with_name("explained.json")


@dataclass(frozen=True)
class Row:
    title: str
    kind: str
    """The value of STORE_KIND."""
    version: str
    cells: Cells


Rows = Mapping[str, Row]
Explained = Mapping[str, Mapping[str, str]]


def load() -> dict[str, Row]:
    return {name: Row(**row) for name, row in json.loads(MEASURED.read_text()).items()}


def save(rows: Rows) -> None:
    known = {name: vars(row) for name, row in rows.items()}
    MEASURED.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")


def explained() -> dict[str, dict[str, str]]:
    return json.loads(EXPLAINED.read_text())


def page(text: str, rows: Rows, why: Explained) -> str:
    """Writes both tables between the marks that the page has for them."""
    for name, lines in (("settings", of_settings(rows)), ("checks", of_checks(rows, why))):
        before, mark, rest = text.partition(f"<!-- {name}: make stores -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"the page has no marks for {name}")
        table = "\n".join(lines)
        text = f"{before}{mark}{table}\n{end}{after}"
    return text


def of_settings(rows: Rows) -> Iterable[str]:
    columns = ["store", "measured", "`STORE_KIND`", "`IF_NONE_MATCH`", "`ADDRESSING_STYLE`", "`bucket.keys`"]
    columns += ["`on_403`", "verdict"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows.values():
        found = settings(row.cells)
        cells = [
            row.title,
            row.version,
            f"`{row.kind}`",
            "`true`" if found.if_none_match else "`false`",
            "`path`, `virtual`" if found.virtual else "`path`",
            "`plain`, `exact`" if found.exact_keys else "`plain`",
            {None: "not seen", True: "`check`", False: "`check`, `ignore`"}[found.hides_missing],
            short(verdict(row.cells)),
        ]
        yield f"| {' | '.join(cells)} |"


def short(verdict: str) -> str:
    """Leaves out what the row says already."""
    return verdict.partition(" because ")[0].partition(":")[0]


def of_checks(rows: Rows, why: Explained) -> Iterable[str]:
    """Has a row for each question and a column for each store; the reasons are numbered below."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row.cells))
    notes: list[str] = []
    yield f"| | {' | '.join(row.title for row in rows.values())} |"
    yield f"| --- |{' --- |' * len(rows)}"
    for name in names:
        cells = []
        for store, row in rows.items():
            said = row.cells.get(name, "-")
            if not is_no(said):
                cells.append(YES if said == YES else "–")
                continue
            reason = why.get(store, {}).get(name) or said
            if reason not in notes:
                notes.append(reason)
            cells.append(f"no ({notes.index(reason) + 1})")
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield from (f"{number}. {note}" for number, note in enumerate(notes, 1))


def of_one(title: str, cells: Cells) -> Iterable[str]:
    """Shows one store in a terminal."""
    width = max(map(len, cells), default=0)
    yield title
    for name, said in cells.items():
        yield f"  {name:<{width}}  {said if said == YES or said.startswith('-') else f'no: {said}'}"


def conclusion(title: str, cells: Cells, given: Sequence[str] = ()) -> Iterable[str]:
    """Says what does not decide, and then in one line if it will do."""
    yield from (f"does not decide: {loss}" for loss in losses(cells))
    yield f"verdict: {title} {verdict(cells, given)}"
