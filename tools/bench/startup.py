"""The start of an edge, and its memory before any request: what the module itself takes of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from stack import Stack, StackError
from stack.stack import WASM

from .edges import bare
from .measure import Measure, typical
from .native import Upstream
from .resident import SETTLING, Growth
from .short import rounds
from .site import directory

ROUNDS = rounds(5)
WORKERS = 2
FEW, MANY = 1, 9
"""Workers. The difference in memory is that of eight."""

SMALL = 4096
FIRST_ANSWER = "start to first answer, a stored object"

Edit = Callable[[dict[str, Any]], None]


def first_answer() -> list[Measure]:
    """Measures from the start of Envoy's process on, with and without the module."""
    hits, misses, without, resident = [], [], [], []
    for _ in range(ROUNDS):
        hit, miss, memory = _started(lambda _: None)
        hits.append(hit)
        misses.append(miss)
        resident.append(memory)
        without.append(_started(bare)[0])
    worker, bare_worker = _worker(lambda _: None), _worker(bare)
    size = WASM.stat().st_size / 1000
    return [
        typical(FIRST_ANSWER, hits, "ms"),
        typical(f"{FIRST_ANSWER}, bare Envoy", without, "ms"),
        typical("start to first answer, a miss right after it", misses, "ms"),
        typical(f"memory of an idle edge, {WORKERS} workers, module of {size:.0f} kB", resident, "MiB"),
        typical(f"memory of an idle worker, module of {size:.0f} kB", [worker], "MiB"),
        typical("memory of an idle worker, bare Envoy", [bare_worker], "MiB"),
    ]


def _started(edit: Edit) -> tuple[float, float, float]:
    """Returns the milliseconds until the first stored object and until a miss, and the memory before both."""
    begun: list[float] = []

    def edit_last(edge: dict[str, Any]) -> None:
        edit(edge)
        begun.append(time.perf_counter())

    with directory() as run_dir, Upstream(run_dir) as upstream:
        options: dict[str, Any] = {"workers": WORKERS, "edit_edge": edit_last}
        with Stack(run_dir, origin=upstream.origin, store=upstream.store, **options) as stack:
            memory = Growth(stack.edge.pid).now()
            hit = _ask(stack.url, f"/hit/{SMALL}/photo.jpg", {200}, begun[0])
            miss = _ask(stack.url, f"/{SMALL}/photo.jpg", {302, 404}, begun[0])
            return hit, miss, memory


def _ask(url: str, path: str, expected: set[int], begun: float) -> float:
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=30)) as client:
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
    if answer.status not in expected:
        raise StackError(f"{path} is {answer.status}")
    return (time.perf_counter() - begun) * 1000


def _worker(edit: Edit) -> float:
    """Returns the MiB that each worker more takes."""
    few, many = (_resident(workers, edit) for workers in (FEW, MANY))
    return for_each(few, many)


def for_each(few: float, many: float) -> float:
    return (many - few) / (MANY - FEW)


def _resident(workers: int, edit: Edit) -> float:
    with directory() as run_dir, Upstream(run_dir) as upstream:
        options: dict[str, Any] = {"workers": workers, "edit_edge": edit}
        with Stack(run_dir, origin=upstream.origin, store=upstream.store, **options) as stack:
            time.sleep(SETTLING)
            return Growth(stack.edge.pid).now()
