"""A small miss of a healthy origin while another origin takes all that it can get.

All of it comes to one worker, whose module holds the shares. The bucket costs nothing, and keeps no bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from stack import Stack, StackError
from stack.render import named

from .measure import Measure, ratio, typical
from .native import Call, Loader, Upstream
from .short import rounds
from .site import PATIENCE, Site, directory
from .stats import stats, wait_until
from .unread import ask_and_read_nothing

GIB = 1 << 30

WORKERS = 1
ROUNDS = rounds(5)
SECONDS = 3.0
"""The seconds of a turn: each part of a large object comes and goes several times meanwhile."""
WARM_UP_REQUESTS = 500
SMALL = 4096

SILENT_KEYS = 280
"""More than `limits` has by default for all: 21 fills of one part run, and 256 wait."""
LARGE_FILLS = 12
LARGE = 2 * GIB
LARGE_RATE = 5_000_000
"""Bytes a second of each of the origin's answers."""

PARTS_BEFORE = 3
"""The parts stored by which the large objects are known to be under way."""

LIMIT = 2.0

OTHER = "other"
"""The origin that takes all, and its cluster."""

Trouble = Callable[[Site, Upstream, ExitStack], None]


def beside_silent() -> list[Measure]:
    return _beside(f"{SILENT_KEYS} keys of a silent origin", _silent)


def beside_large() -> list[Measure]:
    return _beside(f"{LARGE_FILLS} fills of 2 GiB at 5 MB/s", _large)


def with_other_origin(authority: str, edge: dict[str, Any]) -> None:
    """Adds the cluster of the other origin."""
    clusters = edge["static_resources"]["clusters"]
    other = deepcopy(named(clusters, "origin"))
    other["name"] = other["load_assignment"]["cluster_name"] = OTHER
    endpoint = other["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["socket_address"]["port_value"] = int(authority.rpartition(":")[2])
    clusters.append(other)


def _beside(title: str, trouble: Trouble) -> list[Measure]:
    """Measures in the same process, first idle: what another origin took does not come back at once."""
    idle, troubled, running = [], [], []
    for _ in range(ROUNDS):
        with _two_origins() as (here, other), ExitStack() as clients:
            _misses(here, requests=WARM_UP_REQUESTS)
            idle.append(_misses(here, seconds=SECONDS))
            trouble(here, other, clients)
            troubled.append(_misses(here, seconds=SECONDS))
            running.append(fills_in_flight(here))
            if not running[-1]:
                raise StackError(f"{title} were over before the misses")
    name = f"small miss beside {title}"
    return [
        ratio(f"{name} / on an idle edge", troubled, idle, LIMIT),
        typical(f"{name}", troubled, "ms"),
        typical(f"{name}: on the idle edge before", idle, "ms"),
        typical(f"{name}: fills that ran at its end", running, ""),
    ]


def _misses(here: Site, **bounds: Any) -> float:
    """Makes one client miss one key after the other. Returns the median of the milliseconds until the 302."""
    return here.loader.run(Call(f"{here.stack.url}/{SMALL}/{{n}}.jpg"), **bounds).expect(302).p50


def fills_in_flight(here: Site) -> int:
    return sum(stats(here.stack.edge, "^wasmcustom.mirror_on_miss_fills_in_flight$").values())


def _silent(here: Site, other: Upstream, clients: ExitStack) -> None:
    here.upstream.reset()
    for number in range(SILENT_KEYS):
        ask_and_read_nothing(clients, f"{here.stack.url}/gated/{SMALL}/{number}.jpg")
    wait_until(
        lambda: here.upstream.counts()["bucket_gets"] >= SILENT_KEYS and other.counts()["origin_gets"] > 0
    )


def _large(here: Site, other: Upstream, clients: ExitStack) -> None:
    for number in range(LARGE_FILLS):
        ask_and_read_nothing(clients, f"{here.stack.url}/{OTHER}/{LARGE}/{number}.mp4")
    wait_until(lambda: here.upstream.counts()["parts"] >= PARTS_BEFORE)


@contextmanager
def _two_origins() -> Iterator[tuple[Site, Upstream]]:
    """Runs a stack with a healthy origin, and another one, which is slow, or silent below `/gated/`."""
    with (
        directory() as run_dir,
        directory() as other_dir,
        Upstream(run_dir) as upstream,
        Upstream(other_dir, origin_rate=LARGE_RATE) as other,
    ):
        origins = {"healthy": upstream.origin, OTHER: other.origin}
        clusters = {"healthy": "origin", OTHER: OTHER}
        plugin: dict[str, Any] = {
            "wait": PATIENCE,
            "origin": None,
            "origins": {
                name: {"cluster": clusters[name], "authority": urlsplit(url).netloc, "timeout": PATIENCE}
                for name, url in origins.items()
            },
            "rules": [
                {"prefix": "/gated/", "origins": [OTHER]},
                {"prefix": f"/{OTHER}/", "origins": [OTHER]},
                {"prefix": "/", "origins": ["healthy"]},
            ],
        }
        with Stack(
            run_dir,
            origin=upstream.origin,
            store=upstream.store,
            workers=WORKERS,
            plugin=plugin,
            edit_edge=partial(with_other_origin, urlsplit(other.origin).netloc),
        ) as stack:
            yield Site(stack, upstream.store, upstream, Loader()), other
