"""Envoy's own counters and gauges, and waiting for what they show."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

from stack import StackError
from stack.envoy import Envoy

PATIENCE = 60.0
"""Seconds until something that must come is given up."""

INTERVAL = 0.05
STILL = 4
"""The intervals without a change after which a counter has come to rest."""


def stats(envoy: Envoy, matching: str) -> dict[str, int]:
    with closing(HTTPConnection(urlsplit(envoy.admin).netloc, timeout=PATIENCE)) as admin:
        admin.request("GET", f"/stats?filter={matching}")
        return parsed(admin.getresponse().read().decode())


def parsed(text: str) -> dict[str, int]:
    """Reads `name: value` lines. Histograms are left out."""
    lines = (line.rpartition(": ") for line in text.splitlines())
    return {name: int(value) for name, _, value in lines if value.isdigit()}


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            raise StackError(f"what the bench waits for did not come within {PATIENCE:g} s")
        time.sleep(INTERVAL)


def wait_until_still(count: Callable[[], int]) -> None:
    """Waits until a counter has not moved for a while."""
    seen: list[int] = []

    def is_still() -> bool:
        seen.append(count())
        return len(seen) > STILL and len(set(seen[-STILL - 1 :])) == 1

    wait_until(is_still)
