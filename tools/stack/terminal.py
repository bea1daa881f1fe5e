"""The output of `make run`: a line for each request, as it happens."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


class Follower:
    """The lines that are added to a file from now on."""

    def __init__(self, path: Path) -> None:
        self._file = path.open(errors="replace")
        self._file.seek(0, 2)
        self._partial = ""

    def lines(self) -> Iterator[str]:
        """Returns the complete lines written since the last call."""
        for line in self._file:
            self._partial += line
            if self._partial.endswith("\n"):
                yield self._partial.rstrip("\n")
                self._partial = ""


FILL = re.compile(
    r'\bfill key=(?P<key>\S+) outcome=(?P<outcome>\w+) detail="(?P<detail>(?:[^"\\]|\\.)*)"'
    r" .*?bytes=(?P<bytes>\d+) parts=(?P<parts>\d+) ms=(?P<ms>\d+) "
)
"""The module's line about a fill that has ended."""

STORED = {"exists", "stored"}
"""Outcomes of fills after which the bucket has the object."""

NOT_TO_BE_STORED = {"origin", "private", "served"}
"""Outcomes of fills that were not to store anything, and gave the object."""

GREEN, YELLOW, RED, PLAIN = "\033[32m", "\033[33m", "\033[31m", "\033[0m"


@dataclass(frozen=True)
class Line:
    """A line of the terminal, and its colour there."""

    text: str
    colour: str

    def shown(self, colours: bool) -> str:
        return f"{self.colour}{self.text}{PLAIN}" if colours else self.text


def colours(stream: TextIO) -> bool:
    """Tells if a stream shows colours: https://no-color.org"""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def fill_line(log: str) -> Line | None:
    """Turns the module's line about a fill into one for people: `/img/a.svg stored, 812 bytes in 23 ms`, or
    `/img/a.svg not_stored after 23 ms: the store answered 403`.
    """
    fill = FILL.search(log)
    if fill is None:
        return None
    key, outcome, ms = fill["key"], fill["outcome"], int(fill["ms"])
    if outcome in STORED:
        parts = f" in {fill['parts']} parts" if int(fill["parts"]) > 1 else ""
        return Line(f"fill: {key} {outcome}, {int(fill['bytes']):,} bytes{parts} in {ms:,} ms", YELLOW)
    if outcome in NOT_TO_BE_STORED:
        return Line(f"fill: {key} {outcome} and not stored, in {ms:,} ms", YELLOW)
    reason = f": {fill['detail']}" if fill["detail"] else ""
    return Line(f"fill: {key} {outcome} after {ms:,} ms{reason}", RED)


def request_line(access_log: str) -> Line:
    """Turns a line of the edge's JSON access log into one for people: `302 stored /img/a.svg in 25 ms`, or
    `200 /img/a.svg, 812 bytes in 3 ms`.
    """
    entry = json.loads(access_log)
    status = int(entry["status"])
    words = [str(status), entry["outcome"], entry["path"]]
    if entry["method"] != "GET":
        words.insert(0, entry["method"])
    text = " ".join(word for word in words if word)
    size = f", {int(entry['bytes']):,} bytes" if status in (200, 206) else ""
    colour = GREEN if status < 300 else YELLOW if status < 400 or status == 404 else RED
    return Line(f"edge: {text}{size} in {int(entry['ms']):,} ms", colour)
