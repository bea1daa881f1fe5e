"""Which headers pass an edge and the signer: from the table in docs/security.md to an expression of Envoy.

Envoy removes headers by name, by prefix or by expression, and cannot keep "these and no other". RE2 knows no
negation either, so the expression spells out each way in which a name can differ from those on the list. Lua
could keep a list as it stands, but costs each hit 10 microseconds more.

`make headers` writes the expressions into envoy/configuration/*.yaml. What `NAMES` lists passes the
transparent edge, too, for rules with `request_headers`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TABLE = CHECKOUT / "docs" / "security.md"

DEMANDED = "fill, store where `put_headers` has it"
"""The rows of headers that the signer takes with one value alone."""

PASSES: Mapping[str, tuple[str, ...]] = {
    "edge.yaml": ("client, bucket", "edge, bucket"),
    "signer.yaml": ("fill, store", DEMANDED),
    "transparent.yaml": ("client, bucket", "edge, bucket", "transparent edge, bucket"),
}
"""The table's rows for each configuration, by their first column."""

PREFIX = "*"
"""Ends a name of the list that stands for all which begin so."""

EXPRESSION = re.compile(r'(?P<before>remove_on_match:\s+key_matcher:\s+safe_regex:\s+regex: )"[^"]*"')
"""Where a configuration has it. YAML drops a line's end behind a backslash, and the white space after it."""

INDENT = " " * 24
WIDTH = 96
"""Characters of the expression in one line."""


def listed(*directions: str) -> list[str]:
    """The header names of the table's rows of these directions."""
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for direction, name in rows if direction in directions]


def expression(file: str, more: Iterable[str] = ()) -> str:
    """What a configuration removes from requests."""
    return all_but({*listed(*PASSES[file]), *more})


@dataclass
class _Node:
    """What may follow the characters so far."""

    children: dict[str, _Node] = field(default_factory=dict)
    ends: bool = False
    """A name of the list ends here."""
    whatever: bool = False
    """All that begins so is on the list."""


def all_but(names: Iterable[str]) -> str:
    """An expression that matches each header name but these. It never matches a pseudo-header."""
    root = _Node(ends=True)
    root.children[":"] = _Node(whatever=True)
    for name in names:
        node = root
        for character in name.removesuffix(PREFIX):
            node = node.children.setdefault(character, _Node())
        node.ends = True
        node.whatever |= name.endswith(PREFIX)
    return _differing(root)


def _differing(node: _Node) -> str:
    """What may follow so that the name is none of the list."""
    if not node.children:
        return ".+"
    others = "".join(sorted(node.children)).replace("-", "") + ("-" if "-" in node.children else "")
    branches = [f"[^{others}].*"]
    for character, child in sorted(node.children.items()):
        if not child.whatever:
            branches.append(character + _differing(child))
    joined = f"({'|'.join(branches)})"
    return joined if node.ends else f"{joined}?"


def main(more: list[str]) -> None:
    """Writes the expressions into the shipped files."""
    for file in PASSES:
        path = CHECKOUT / "envoy" / "configuration" / file
        added = more if file == "transparent.yaml" else []
        lines = textwrap.wrap(expression(file, added), WIDTH, break_on_hyphens=False)
        written = '"' + f"\\\n{INDENT}".join(lines) + '"'
        path.write_text(EXPRESSION.sub(lambda found, to=written: found["before"] + to, path.read_text()))
