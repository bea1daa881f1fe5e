"""From what was measured of a store to the settings that it needs, and to whether it will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

YES = "yes"
UNTRIED = "-"
"""Begins a cell that could not be tried; the reason follows."""

Cells = Mapping[str, str]
"""By the name of a fact or a check: "yes", what the store does instead, or "- " and why it was not tried."""

PUT = "`If-None-Match: *` on PUT"
COMPLETE = "`If-None-Match: *` on Complete"
SPELLINGS = "`a//b`, `c\\d` and `e/` are keys of their own"
DIRECTORIES = "`a` and `a/b` are two objects"
MISSING = "404 for a missing key"
BLIND = "the same to a reader that may not list"
PARTS = "`partNumber` on GET"
MARKERS = "`x-amz-delete-marker` on GET"
HOST = "`BUCKET.HOST` is the bucket"

ESSENTIAL: Sequence[str] = (
    "a small object, with its headers",
    "an empty object",
    "6 MiB - 1, 6 MiB, 6 MiB + 1",
    "an object of four parts",
    "hostile keys",
    "HEAD, and what is not there",
    "ranges",
    "another writer meanwhile",
    "another writer, several parts",
    "20 clients of one key",
    "20 keys at once",
)
"""Checks without which a store will not do. The others cost what they name, and nothing else."""


@dataclass(frozen=True)
class Settings:
    """What differs from the defaults."""

    if_none_match: bool
    exact_keys: bool
    """`bucket.keys: "exact"` may be set."""
    virtual: bool | None
    """The bucket may be named in the host; None if that was not tried."""
    hides_missing: bool | None
    """A reader without the right to list gets 403 for a missing key; None if that was not tried."""

    def plugin(self) -> dict[str, Any]:
        return {} if self.if_none_match else {"bucket": {"if_none_match": False}}

    def needed(self) -> list[str]:
        return [] if self.if_none_match else ["IF_NONE_MATCH=false"]


def settings(facts: Cells) -> Settings:
    """Derives them from the facts, without the checks."""
    return Settings(
        if_none_match=facts.get(PUT) == YES and facts.get(COMPLETE) == YES,
        exact_keys=facts.get(SPELLINGS) == YES and facts.get(DIRECTORIES) == YES,
        virtual=_tried(facts, HOST),
        hides_missing=None if _tried(facts, BLIND) is None else not _tried(facts, BLIND),
    )


def verdict(cells: Cells, given: Sequence[str] = ()) -> str:
    """Tells in a line if the store will do, with the settings that the run was given."""
    wrong = {name: said for name, said in cells.items() if is_no(said)}
    fatal = [f"{name}: {wrong[name]}" for name in ESSENTIAL if name in wrong]
    if fatal:
        return f"will not do because {'; '.join(fatal)}"
    needed = [*given, *settings(cells).needed()]
    return f"will do with these settings: {' '.join(needed)}" if needed else "will do"


def losses(cells: Cells) -> list[str]:
    """Lists what does not work, and does not decide."""
    return [f"{name}: {said}" for name, said in cells.items() if is_no(said) and name not in ESSENTIAL]


def is_no(cell: str) -> bool:
    return cell != YES and not cell.startswith(UNTRIED)


def surprises(cells: Cells, explained: Mapping[str, str]) -> list[str]:
    """Lists faults that nothing explains, and explanations of what is right."""
    new = [f"{name}: {said}" for name, said in cells.items() if is_no(said) and name not in explained]
    right = [name for name in explained if cells.get(name) == YES]
    gone = [f"{name}: is right now, and explained.json says no" for name in right]
    return new + gone


def joined(by_wiring: Mapping[str, str]) -> str:
    """Makes one cell of what a check said in each wiring."""
    said = list(dict.fromkeys(by_wiring.values()))
    if len(said) == 1:
        return said[0]
    wrong = [f"{wiring}: {each}" for wiring, each in by_wiring.items() if each != YES]
    return "; ".join(wrong)


def _tried(facts: Cells, name: str) -> bool | None:
    said = facts.get(name, UNTRIED)
    return None if said.startswith(UNTRIED) else said == YES
