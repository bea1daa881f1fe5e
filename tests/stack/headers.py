"""The expression for every header name that is not on a list.

Envoy removes headers by name, by prefix or by expression, and cannot keep "these and no other". RE2 knows no negation
either, so the expression spells out each way in which a name can differ from those on the list.

    python -m stack.headers range if-match x-amz-meta-*
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

PREFIX = "*"
"""Ends a name of the list that stands for all which begin so."""


@dataclass
class _Node:
    """What may follow the characters so far."""

    children: dict[str, _Node] = field(default_factory=dict)
    ends: bool = False
    """A name of the list ends here."""
    whatever: bool = False
    """All that begins so is on the list."""


def all_but(names: Iterable[str]) -> str:
    """An expression that matches the whole of each header name but these. A pseudo-header it never matches."""
    root = _Node()
    for name in names:
        node = root
        for character in name.removesuffix(PREFIX):
            node = node.children.setdefault(character, _Node())
        node.ends = True
        node.whatever = name.endswith(PREFIX)
    root.children[":"] = _Node(whatever=True)
    root.ends = True
    return _differing(root)


def _differing(node: _Node) -> str:
    """What may follow so that the name is none of the list; empty if nothing may."""
    if not node.children:
        return ".+"
    known = "".join(re.escape(character) for character in sorted(node.children))
    branches = [f"[^{known}].*"]
    for character, child in sorted(node.children.items()):
        if not child.whatever:
            branches.append(re.escape(character) + _differing(child))
    joined = "|".join(branches)
    if node.ends:
        return f"({joined})"
    return f"({joined})?"


if __name__ == "__main__":
    print(all_but(sys.argv[1:]))
