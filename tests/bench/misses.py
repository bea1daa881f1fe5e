"""What a miss of a small object costs, alone and among many."""

from __future__ import annotations

import resource
import threading
import time
from contextlib import ExitStack

from stack import S3Store, SeaweedFS

from .edges import FETCH_HOST
from .measure import Measure, exactly, ratio, typical
from .native import Load
from .site import Site, directory, site

WORKERS = 2
SMALL = 4096

ALONE_ROUNDS = 11
ALONE_REQUESTS = 150

HERD = 5_000
HERD_ROUNDS = 3

CONNECTIONS = 64
RATE_ROUNDS = 5
RATE_SECONDS = 2.0

S3_PUT_SLOTS = 35
S3_PUT_MS = 10
"""3,500 PUTs a second: what S3 promises at least for a prefix, as its user guide says in "Best practices
design patterns: optimizing Amazon S3 performance"."""


def miss_alone() -> list[Measure]:
    """Up to the 302, against a GET from the origin and then a PUT to the bucket through the same Envoys."""
    miss, fetch, store = [], [], []
    with site(workers=WORKERS) as here:
        for number in range(ALONE_ROUNDS + 1):
            times = [_miss(here).p50, _fetch(here).p50, _store(here).p50]
            if number:  # The first round warms up.
                for kept, value in zip((miss, fetch, store), times):
                    kept.append(value)
    both = [one + other for one, other in zip(fetch, store)]
    return [
        ratio("small miss: request to 302 / GET and PUT in sequence", miss, both, 1.15),
        typical("small miss: request to 302", miss, "ms"),
        typical("small object: GET through the edge", fetch, "ms"),
        typical("small object: PUT through the signer", store, "ms"),
    ]


def herd() -> list[Measure]:
    """Everybody wants the same object, and nobody has it."""
    gets, puts, answered = [], [], []
    for _ in range(HERD_ROUNDS):
        with site(workers=WORKERS) as here:
            load, _ = gated(here, HERD)
            counts = here.upstream.counts()
            gets.append(counts["origin_gets"])
            puts.append(counts["puts"])
            answered.append(load.statuses.get("302", 0))
    return [
        exactly(f"{HERD} clients miss one key: GETs from the origin", gets, 1, ""),
        exactly(f"{HERD} clients miss one key: PUTs to the bucket", puts, 1, ""),
        exactly(f"{HERD} clients miss one key: answered with 302", answered, HERD, ""),
    ]


def rate() -> list[Measure]:
    """Distinct small objects, against what the bucket takes without us."""
    measures = _rate("SeaweedFS", None, {})
    return measures + _rate(
        "a bucket of 3,500 PUTs/s", S3_PUT_SLOTS, {"put_slots": S3_PUT_SLOTS, "put_ms": S3_PUT_MS}
    )


def gated(here: Site, clients: int) -> tuple[Load, float]:
    """As many clients want one new object, and the origin answers once all of them wait.

    Returns what came of it, and the seconds from there to the last answer.
    """
    needed = clients + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    opened: list[float] = []

    def open_when_all_wait() -> None:
        while here.upstream.counts()["bucket_gets"] < clients:
            time.sleep(0.01)
        opened.append(time.perf_counter())
        here.upstream.open_gate()

    here.upstream.reset()
    opener = threading.Thread(target=open_when_all_wait, daemon=True)
    opener.start()
    path = f"/gated/{SMALL}/{here.loader.asked}.jpg"
    load = here.loader.run(here.stack.url, path, connections=clients, requests=clients)
    took = time.perf_counter() - opened[0]
    opener.join()
    return load, took


def _rate(name: str, slots: int | None, options: dict[str, int]) -> list[Measure]:
    misses, puts = [], []
    with ExitStack() as running:
        store: S3Store | None = None
        if slots is None:
            store = running.enter_context(SeaweedFS(running.enter_context(directory())))
        here = running.enter_context(site(workers=WORKERS, store=store, **options))
        for number in range(RATE_ROUNDS + 1):
            filled = _many(here, here.stack.url, f"/{SMALL}/{{n}}.jpg").expect(302)
            stored = _many(here, here.stack.signer.url, f"/mirror/{SMALL}/{{n}}.jpg", put=SMALL).expect(200)
            if number:
                misses.append(filled.per_second)
                puts.append(stored.per_second)
    return [
        ratio(f"distinct small misses per second / PUTs per second, {name}", misses, puts, 0.80, ">="),
        typical(f"distinct small misses, {name}", misses, "/s"),
        typical(f"PUTs, {name}", puts, "/s"),
    ]


def _many(here: Site, url: str, path: str, put: int | None = None) -> Load:
    return here.loader.run(url, path, connections=CONNECTIONS, seconds=RATE_SECONDS, put=put)


def _miss(here: Site) -> Load:
    return here.loader.run(here.stack.url, f"/{SMALL}/{{n}}.jpg", requests=ALONE_REQUESTS).expect(302)


def _fetch(here: Site) -> Load:
    path = f"/{SMALL}/{{n}}.jpg"
    return here.loader.run(here.stack.url, path, host=FETCH_HOST, requests=ALONE_REQUESTS).expect(200)


def _store(here: Site) -> Load:
    path = f"/mirror/{SMALL}/put-{{n}}.jpg"
    return here.loader.run(here.stack.signer.url, path, put=SMALL, requests=ALONE_REQUESTS).expect(200)
