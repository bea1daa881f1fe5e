"""Kinds of S3 servers and what each needs, by the table of start.sh: it alone is in every deployment."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

START = Path(__file__).resolve().parents[2] / "envoy" / "configuration" / "start.sh"


class Kind(NamedTuple):
    if_none_match: str
    """`true`, `false`, or the header that forbids to overwrite."""
    addressing_style: str
    """`path`, or `virtual` for a bucket in the host."""


CONDITIONS = ("true", "false", "x-cos-forbid-overwrite", "x-oss-forbid-overwrite", "x-tos-forbid-overwrite")
STYLES = ("path", "virtual")


@functools.cache
def kinds() -> dict[str, Kind]:
    """Returns the table."""
    table = re.search(r"^kinds='\n(.*?)^'$", START.read_text(), re.MULTILINE | re.DOTALL)
    rows = table[1].splitlines() if table else []
    return {name: Kind(*needs) for name, *needs in map(str.split, rows)}


def patch(condition: str, style: str) -> dict[str, Any]:
    """Returns what a store needs as fields of the plugin's `bucket`: only those that are no defaults."""
    bucket: dict[str, Any] = {}
    if condition != "true":
        bucket["if_none_match"] = False if condition == "false" else condition
    if style == "virtual":
        bucket["path_prefix"] = ""
    return bucket
