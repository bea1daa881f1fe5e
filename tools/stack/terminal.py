"""The output of `make run`: a line for each request, as it happens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path


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


FILL = re.compile(r'\bfill key=(?P<key>\S+) outcome=(?P<outcome>\w+) detail="(?P<detail>(?:[^"\\]|\\.)+)"')
"""The module's line about a fill that has something to say: why it failed."""


def failed_fill(log: str) -> str | None:
    """Turns the module's line about a failed fill into one for people: `/img/a.svg not_stored: PUT: 403`."""
    fill = FILL.search(log)
    return f"{fill['key']} {fill['outcome']}: {fill['detail']}" if fill else None


def request_line(access_log: str) -> str:
    """Turns a line of the edge's JSON access log into one for people: `302 stored /img/a.svg`."""
    entry = json.loads(access_log)
    words = [str(entry["status"]), entry["outcome"], entry["path"]]
    if entry["method"] != "GET":
        words.insert(0, entry["method"])
    return " ".join(word for word in words if word)
